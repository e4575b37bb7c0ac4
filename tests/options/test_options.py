"""Flags, TOML keys, Python keywords, help texts and defaults are one set: derived here four ways, and compared."""

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest

import reslab
from reslab.api.runs import rehearse
from reslab.cli.main import main
from reslab.cli.options import given
from reslab.cli.verbs import VERBS, app
from reslab.errors import UserError
from reslab.nets.names import SWITCHES
from reslab.options.auditing import AuditOptions
from reslab.options.checking import CheckOptions
from reslab.options.converting import ExportOptions, ImportOptions
from reslab.options.health import DoctorOptions
from reslab.options.network import Switches
from reslab.options.option import Options, option
from reslab.options.pages import ClaimsOptions, FigureOptions, NotesOptions, ReportOptions, ReproduceOptions
from reslab.options.scoring import ClassifierOptions, EvaluateOptions, PredictOptions, ProbeOptions
from reslab.options.training import OF_MANY_RUNS, SeedsOptions, TrainOptions
from reslab.runs.config import KEYS, read

# verb of the command line: (its function, its options, arguments of the function alone, flags of the verb alone)
VERBS_WITH_OPTIONS = {
    "train": (reslab.train_seeds, SeedsOptions, {"model", "tell"}, {"config", "dry_run"}),
    "evaluate": (reslab.evaluate, EvaluateOptions, {"paths"}, {"json"}),
    "predict": (reslab.predict, PredictOptions, {"source", "images", "tell", "tell_bad"}, {"json", "csv", "null"}),
    "probe": (reslab.probe, ProbeOptions, {"source", "tell"}, {"json"}),
    "import": (reslab.import_weights, ImportOptions, {"source"}, {"json"}),
    "export": (reslab.export, ExportOptions, {"source", "second", "tell"}, set()),
    "audit": (reslab.audit, AuditOptions, {"target"}, {"json"}),
    "check": (reslab.check, CheckOptions, {"data", "tell"}, {"json", "all"}),
    "reproduce": (reslab.reproduce, ReproduceOptions, {"what", "tell", "command"}, set()),
    "claims": (reslab.verdicts, ClaimsOptions, {"ids"}, {"json", "lang"}),
    "notes": (reslab.notes, NotesOptions, {"section", "tell"}, {"json"}),
    "report": (reslab.report, ReportOptions, {"sources", "tell", "progress"}, set()),
    "doctor": (reslab.doctor, DoctorOptions, set(), {"json"}),
    "figure": (reslab.picture, FigureOptions, {"name", "sources", "tell"}, set()),
}
PAGES = [[*verb.split()] for verb in (*VERBS, "recipe list", "recipe show")]


def flags_of(verb: str) -> set[str]:
    """The flags that the parser knows, by the name of the option."""
    names = {name for one in app[verb].assemble_argument_collection() for name in one.names}
    return {name[2:].replace("-", "_") for name in names if name.startswith("--")}


def page(*words: str, columns: int = 80, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([*words]) == 0
    return out.getvalue()


@pytest.mark.parametrize("verb", VERBS_WITH_OPTIONS)
def test_the_sets_are_equal(verb):
    function, options, own, alone = VERBS_WITH_OPTIONS[verb]
    fields = set(options.described())
    parameters = inspect.signature(function).parameters
    keywords = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    flags = flags_of(verb) - alone
    negative = {f"no_{name}" for name, one in Switches.described().items() if one.types[0] is bool}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        assert flags >= {*SWITCHES} | negative
        flags -= {*SWITCHES} | negative
    assert flags == fields
    assert keywords - own == fields
    assert {name: parameters[name].default for name in fields} == {n: d.default for n, d in options.described().items()}


def test_the_keys_of_a_file_are_the_options_of_train():
    assert KEYS.keys() - {"model", "net"} == SeedsOptions.described().keys()


def test_one_run_takes_all_but_their_number():
    function, described = inspect.signature(reslab.train).parameters, TrainOptions.described()
    assert {name for name, p in function.items() if p.kind is not p.VAR_KEYWORD} - {"model", "tell", "command"} == {
        *described
    }
    assert [*SeedsOptions.described()] == [*described, *OF_MANY_RUNS]


def test_the_switches_are_those_of_the_nets():
    assert tuple(Switches.described()) == SWITCHES


def test_the_classifier_takes_its_options():
    assert [*inspect.signature(reslab.classifier).parameters][1:] == [*ClassifierOptions.described()]


def test_a_rehearsal_takes_what_train_takes():
    one, other = (inspect.signature(f).parameters for f in (reslab.train, rehearse))
    assert one.keys() - other.keys() == {"tell"}


# a value for each option of train: as words of the command line, as TOML, as Python gives it
VALUES = {
    "data": ("photos", '"photos"', "photos"),
    "recipe": ("digits", '"digits"', "digits"),
    "out": ("there", '"there"', Path("there")),
    "seed": ("3", "3", 3),
    "iterations": ("7", "7", 7),
    "epochs": ("1.5", "1.5", 1.5),
    "batch": ("auto", '"auto"', "auto"),
    "extend": ("70", "70", 70),
    "init_from": ("runs/x", '"runs/x"', "runs/x"),
    "freeze": ("stem..conv2_x", '"stem..conv2_x"', "stem..conv2_x"),
    "log": ("tensorboard", '"tensorboard"', "tensorboard"),
    "seeds": ("5", "5", 5),
    "scale": ("0.25", "0.25", 0.25),
    "set": ("lr=0.05", "{lr = 0.05}", {"lr": 0.05}),
    "download": (None, "true", True),
    "val_share": ("0.2", "0.2", 0.2),
    "group": (r"(clip\d+)", r"'(clip\d+)'", r"(clip\d+)"),
    "range": ("0,4095", '"0,4095"', "0,4095"),
    "bad_images": ("skip", '"skip"', "skip"),
    "workers": ("2", "2", 2),
    "device": ("cpu", '"cpu"', "cpu"),
    "precision": ("fp32", '"fp32"', "fp32"),
    "engine": ("eager", '"eager"', "eager"),
    "threads": ("1", "1", 1),
    "recompute": ("off", '"off"', "off"),
    "processes": ("2", "2", 2),
    "sync_bn": (None, "true", True),
    "on": ("folder", '"folder"', "folder"),
    "cores_per_run": ("2", "2", 2),
    "gpus_per_run": ("1", "1", 1),
    "lease": ("60", "60.0", 60.0),
    "timeout": ("60", "60", 60.0),
    "max_restarts": ("3", "3", 3),
}


def test_a_value_means_the_same_as_flag_key_and_keyword(tmp_path):
    assert VALUES.keys() == SeedsOptions.described().keys()
    for name, (word, toml, value) in VALUES.items():
        expected = SeedsOptions.of({name: value})
        assert expected != SeedsOptions()
        words = ["train", "cifar_resnet8", SeedsOptions.described()[name].flag, *([word] if word else [])]
        _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        by_flag = given(SeedsOptions, bound.arguments["options"])
        if name == "set":
            by_flag = {"set": {key: float(text) for key, text in by_flag["set"].items()}}
        assert SeedsOptions.of(by_flag) == expected
        (tmp_path / "run.toml").write_text(f"{name} = {toml}\n")
        assert SeedsOptions.of(read(tmp_path / "run.toml")) == expected


# -- the help page


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_help_fits_one_screen(words, monkeypatch):
    """80 columns and 24 lines, the size of a terminal since the VT100; `recipe` alone lists its verbs."""
    assert len(page(*words, "--help", monkeypatch=monkeypatch).splitlines()) <= 24


@pytest.mark.parametrize("verb", VERBS_WITH_OPTIONS)
def test_help_all_states_every_option_and_its_default(verb, monkeypatch):
    short, full = (page(verb, flag, columns=100, monkeypatch=monkeypatch) for flag in ("--help", "--help-all"))
    whole = re.sub(r"\s+", " ", re.sub(r"\s*│\s*│\s*", " ", full.replace("\n", "")))
    _, options, _, alone = VERBS_WITH_OPTIONS[verb]
    hidden = sum(f"│ --{flag} " in full and f"│ --{flag} " not in short for flag in alone)
    for one in options.described().values():
        assert f"│ {one.flag} " in full
        assert f"(default: {one.about.default})" in whole, one.flag
        hidden += f"│ {one.flag} " not in short
    more = re.search(r"(\d+) more option", short)
    switches = len(SWITCHES) if verb in ("train", "probe", "audit") else 0
    assert (int(more[1]) if more else 0) == hidden + switches
    assert "more option" not in whole


def test_the_docstring_lists_every_option():
    for function, options, _, _ in VERBS_WITH_OPTIONS.values():
        lines = re.sub(r"\s+", " ", function.__doc__ or "")
        assert "{options}" not in lines
        for one in options.described().values():
            assert f" {one.name} " in lines
            assert f"(default: {one.about.default})" in lines


def test_an_option_without_a_word_for_none_cannot_be_written():
    with pytest.raises(TypeError, match="say in words what None means"):
        option(None, "a new option", "Data")


# -- what is refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "cifar_resnet8", "--lr", "0.05"], "use --set lr=0.05"),
        (["train", "cifar_resnet8", "--weight-decay=5e-4"], "use --set weight_decay=5e-4"),
        (["train", "cifar_resnet8", "--drops", "--seed", "3"], "use --set drops=…"),
        (["reproduce", "C3", "--batch", "64"], "use --set batch=64"),
        (["recipe", "show", "digits", "--lr=1"], "use --set lr=1"),
        (["evaluate", "run", "--lr", "1"], "Unknown option: --lr"),
        (["train", "cifar_resnet8", "--sed", "1"], "Did you mean --seed"),
        (["evaluate", "run", "--batch", "0"], "--batch: 0 must be at least 1"),
        (["predict", "run", "a.png", "--top", "0"], "--top: 0 must be at least 1"),
        (["train", "cifar_resnet8", "--epochs", "1e12"], "--epochs: 1e+12 is longer than any run"),
    ],
)
def test_a_wrong_flag(words, told, capsys):
    assert main(words) == 2
    assert told in capsys.readouterr().err


WRONG = [None, 3, 2.5, True, b"x", object(), [3], {"a": 1}, ("x", 3), float("nan")]


@pytest.mark.parametrize("name", reslab.__all__)
def test_a_wrong_argument_is_one_line(name, tmp_path, monkeypatch):
    """Each argument of each public function is given ten values; nothing but a UserError of one line is raised."""
    monkeypatch.chdir(tmp_path)
    function = getattr(reslab, name)
    parameters = inspect.signature(function).parameters
    first = {n: "no such thing" for n, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    first |= {n: ["no such thing"] for n in ("sources", "records") if n in parameters}  # not the committed results
    refused = 0
    for argument, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        for value in WRONG:
            line = ""
            try:
                function(**{**first, argument: value})
            except UserError as error:
                line = str(error)
            assert "\n" not in line
            refused += argument in line.replace("-", "_")
    assert refused >= 3


def test_a_wrong_call_is_one_line():
    for call, told in (
        (lambda: reslab.train(), "train: missing a required argument: 'model'"),
        (lambda: reslab.build("resnet50", 3), "build: too many positional arguments"),
        (lambda: reslab.train("cifar_resnet8", lr=0.1), "lr is a field of the recipe; use set={'lr': …}"),
        (lambda: reslab.train("cifar_resnet8", sede=1), "unknown argument 'sede'; did you mean seed"),
        (lambda: reslab.spec("resnet50", clases=3), "unknown argument 'clases'; did you mean classes"),
        (lambda: reslab.report(lang="fr"), "--lang: 'fr' is not one of en, ko"),
        (lambda: TrainOptions.of({"sead": 3}), "train: unknown option 'sead'; did you mean seed"),
    ):
        with pytest.raises(UserError, match=re.escape(told)):
            call()


def test_options_cannot_be_changed():
    with pytest.raises(AttributeError):
        TrainOptions().seed = 3  # type: ignore[misc]
    assert issubclass(TrainOptions, Options)
