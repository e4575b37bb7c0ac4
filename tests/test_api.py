"""The package as a notebook uses it: from Python alone, without the command line's libraries."""

import html
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import reslab
from reslab.cli.options import given
from reslab.cli.verbs import app
from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.options.network import Switches
from reslab.options.pages import ReproduceOptions
from reslab.options.training import TrainOptions
from reslab.runs.naming import command_of, resolve_recipe, run_name
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.show.terminal.text import evaluation_text

TINY = {"widths": (4, 4, 8)}
SHORT = {"batch": 16, "iterations": 6, "drops": (), "eval_every": 6, "clean_every": 6, "log_every": 3}


def quiet(event: dict) -> None:
    pass


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "run"
    return reslab.train(
        "cifar_resnet8", "digits", recipe="digits", set=SHORT, out=out, threads=1, engine="eager", tell=quiet, **TINY
    )


# -- the verbs


def test_the_package_shows_the_verbs():
    assert set(reslab.__all__) == {
        "audit", "build", "check", "classifier", "doctor", "evaluate", "explain", "export", "import_weights", "load",
        "notes", "picture", "predict", "probe", "report", "reproduce", "spec", "train", "train_seeds",
        "verdicts",
    }  # fmt: skip
    for name in reslab.__all__:
        assert getattr(reslab, name).__module__.startswith("reslab.api.")
        assert getattr(reslab, name).__doc__
    assert [name for name in dir(reslab) if not name.startswith("__")] == sorted(reslab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = reslab.trian


def test_spec_and_build_agree():
    found = reslab.spec("resnet50", classes=10, shortcut="C")
    assert (found.classes, found.shortcut, found.depth) == (10, "C", 50)
    net = reslab.build("cifar_resnet8", in_channels=1, image_size=8, **TINY)
    assert net.spec == reslab.spec("cifar_resnet8", in_channels=1, image_size=8, **TINY)
    assert reslab.build(net.spec).spec == net.spec


def test_train_returns_the_record(record):
    assert record.finished
    assert (record.model, record.depth, record.residual, record.seed) == ("cifar_resnet8", 8, True, 0)
    assert record.run["spec"]["in_channels"] == 1  # it followed from the data
    assert record.run["recipe"]["iterations"] == 6
    assert record.final("test")["n"] == 500


@pytest.mark.parametrize(("split", "n"), [("test", 500), ("train", 1297), (None, 500)])
def test_evaluate_counts_every_sample_once(record, split, n):
    (found,) = reslab.evaluate(record.folder, split=split, threads=1)
    told = found.to_dict()
    assert found.scores.n == told["n"] == n == sum(c["n"] for c in told["per_class"])
    assert sum(c["wrong"] for c in told["per_class"]) == found.scores.top1_wrong
    assert told["top1_error"] == 100 * found.scores.top1_wrong / n
    assert told["top1_interval"][0] < told["top1_error"] < told["top1_interval"][1]
    assert told["top5_error"] <= told["top1_error"]


def test_evaluate_takes_many_paths_in_order(record):
    (step,) = (record.folder / "checkpoints").glob("step-*")
    found = reslab.evaluate([record.folder, str(step), record.folder], threads=1, batch=77)
    assert [f.checkpoint for f in found] == [step] * 3
    assert len({f.scores.top1_wrong for f in found}) == 1


def test_bf16_says_why_where_it_is_not_quicker(record, tmp_path):
    """A net of convolutions is folded where this CPU has bf16; one without them cannot be, and its scores say so."""
    (found,) = reslab.evaluate(record.folder, precision="bf16", threads=1)
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert found.to_dict()["note"] == (None if has_bf16 else found.note)
    assert has_bf16 or "no bf16 on this CPU" in found.note
    done = reslab.train("mlp_resnet8", "digits", set=SHORT, threads=1, out=tmp_path / "mlp", tell=quiet)
    (slow,) = reslab.evaluate(done.folder, precision="bf16", threads=1)
    assert "no convolutions" in slow.note
    assert f"  note         {slow.note}" in evaluation_text(slow.to_dict())
    assert "note" not in evaluation_text(found.to_dict()) or not has_bf16
    (exact,) = reslab.evaluate(done.folder, threads=1)
    assert exact.note == ""


def test_reprs_are_short(record):
    (found,) = reslab.evaluate(record.folder, threads=1)
    for thing in (reslab.build("cifar_resnet1202", device="meta"), found, record, reslab.spec("cifar_resnet1202")):
        assert len(repr(thing)) < 500, repr(thing)[:200]
        assert "\n" not in repr(thing)
    assert "n = 500" in repr(found)


def test_epochs_are_passes_over_the_training_split(tmp_path):
    short = {k: v for k, v in SHORT.items() if k != "iterations"}
    for last_batch, iterations in (("fill", 13), ("keep", 14), ("drop", 12)):  # 1,297 / 200 = 6.485
        done = reslab.train(
            "cifar_resnet8", "digits", set={**short, "batch": 200, "last_batch": last_batch}, epochs=2, threads=1,
            out=tmp_path / last_batch, tell=quiet, **TINY,
        )  # fmt: skip
        assert done.run["recipe"]["iterations"] == iterations, last_batch


def test_train_and_evaluate_need_no_command_line_libraries(tmp_path):
    """With these libraries taken away both work: plain lines on standard error, nothing on standard output."""
    code = f"""
import sys
for name in ("cyclopts", "rich", "altair", "jinja2", "vl_convert"):
    sys.modules[name] = None  # from here on, importing it fails
import reslab
record = reslab.train("cifar_resnet8", set={SHORT!r}, out={str(tmp_path / "run")!r}, threads=1, widths=(4, 4, 8))
reslab.evaluate(record.folder, threads=1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "iteration 6: test error" in done.stderr
    assert done.stdout == ""


# -- names and commands

NETS = [
    ("cifar_resnet20", {}),
    ("cifar_plain14", {"batch_norm": False, "activation": "tanh"}),
    ("cifar_resnet20", {"block": "bottleneck", "stride_in": "3x3", "zero_init": True}),
    ("cifar_resnet26", {"block": "basic,basic", "shortcut": "C", "widths": (4, 8, 8), "pad_at": "both"}),
    ("cifar_resnet8", {"order": "pre", "downsample": "pool", "fan": "out"}),
    ("mlp_resnet10", {"widths": (32, 16), "shortcut": "B"}),
    ("resnet18", {"stem": "3x3"}),
    ("vgg19", {"batch_norm": True}),
]
RECIPES = [
    recipe("digits"),
    recipe("digits-study"),
    recipe("paper-cifar-smoke"),
    changed(recipe("paper-cifar"), {"lr": 0.05, "drops": (), "augment": "none", "weight_decay": 5e-5, "holdout": 5000}),
    changed(recipe("digits"), {"drops": (10, 200), "warmup_error": 33.3, "bn_batch": 32, "momentum_form": "caffe"}),
]


def understood(command: str) -> tuple:
    """(spec, recipe, data, seed) that the command line makes of a printed command."""
    words = shlex.split(command)
    assert words[:2] == ["reslab", "train"]
    _, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    options = TrainOptions.of(given(TrainOptions, bound.arguments["options"]))
    switches = given(Switches, bound.arguments.get("switches"))
    base = resolve_recipe(options.data, options.recipe, set=options.set)
    return spec_of(*bound.args, **switches), base, options.data, options.seed


@pytest.mark.parametrize(("model", "switches"), NETS)
def test_the_printed_command_builds_the_same_net(model, switches):
    spec, base = spec_of(model, **switches), recipe("digits")
    assert understood(command_of(spec, "digits", base, 3)) == (spec, base, "digits", 3)


@pytest.mark.parametrize("base", RECIPES, ids=lambda r: r.name)
@pytest.mark.parametrize("data", ["digits", "cifar10:a folder/with 'quotes'"])
def test_the_printed_command_means_the_same_recipe(base, data):
    spec = spec_of("cifar_resnet20")
    assert understood(command_of(spec, data, base, 0)) == (spec, base, data, 0)


def test_the_printed_command_keeps_a_folders_image_size():
    """Sets in memory have a size of their own; a folder is read at the size that was asked for."""
    spec = spec_of("cifar_resnet8", image_size=48)
    assert understood(command_of(spec, "photos", recipe("paper-cifar"), 0))[0].image_size == 48


def test_run_names_are_stable_and_distinct():
    found = {}
    for model, switches in NETS:
        for base in RECIPES:
            for data in ("digits", "cifar10"):
                for seed in (0, 1):
                    spec = spec_of(model, **switches)
                    name = run_name(spec, data, base, seed)
                    assert name == run_name(replace(spec), data, replace(base), seed)
                    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
                    assert name not in found, found[name]
                    found[name] = (model, switches, base.name, data, seed)
    assert run_name(spec_of("cifar_resnet20"), "digits", recipe("digits"), 0) == "cifar_resnet20-digits-digits-s0"
    assert run_name(spec_of("cifar_resnet20"), "a b/../c", recipe("digits"), 0) == "cifar_resnet20-a-b----c-digits-s0"


@pytest.mark.parametrize("name", ["photos", "digits"])
def test_run_names_tell_a_folders_image_sizes_apart(name):
    """Whatever the folder is called."""
    specs = [spec_of("cifar_resnet8", image_size=size) for size in (32, 48)]
    assert len({run_name(spec, name, recipe("paper-cifar"), 0, "folder") for spec in specs}) == 2


# -- reproduce


@pytest.mark.slow
def test_reproduce_from_python_prints_the_command_that_made_the_page(tmp_path):
    chosen = {**SHORT, "drops": "", "batch": 64}
    study = reslab.reproduce(
        "degradation", depths=(14, 8, 8), seeds=1, set=chosen, out=tmp_path / "study", processes=2, tell=quiet
    )
    page = study.page
    assert page == tmp_path / "study" / "report.html"
    assert [j.claim.id for j in study.judgements] == ["C1", "C2"]
    runs = sorted(p.parent.name for p in (tmp_path / "study").glob("*/run.json"))
    assert len(runs) == 4  # a depth said twice is one depth
    assert all(reslab.evaluate(page.parent / name, threads=1)[0].scores.n == 500 for name in runs[:1])
    text = html.unescape(page.read_text(encoding="utf-8"))
    commands = [c for c in re.findall(r"reslab reproduce degradation[^<\n]*", text) if "--depths" in c]
    assert commands, "the page's command does not say which depths"
    words = shlex.split(commands[0])
    _, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    options = ReproduceOptions.of(given(ReproduceOptions, bound.arguments["options"]))
    assert options.depths == (8, 14)
    assert options.seeds == 1
    means = resolve_recipe("digits", options.recipe or "digits-study", set=options.set)
    assert means == resolve_recipe("digits", "digits-study", set=chosen)


# -- refused


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda out: reslab.train("cifar_resnet8", out=out, shortcutt="A"), "did you mean shortcut"),
        (lambda out: reslab.train("cifar_resnt8", out=out), "did you mean cifar_resnet8"),
        (lambda out: reslab.train("cifar_resnet8", "digit", out=out), "did you mean digits"),
        (lambda out: reslab.train("cifar_resnet8", recipe="digist", out=out), "did you mean digits"),
        (lambda out: reslab.train("cifar_resnet8", set={"lrr": 1}, out=out), "unknown key 'lrr'"),
        (lambda out: reslab.train("cifar_resnet8", set={"name": "x"}, out=out), "choose a recipe with --recipe"),
        (lambda out: reslab.train("cifar_resnet8", classes=7, out=out), "classes: 7, but digits has 10"),
        (lambda out: reslab.train("cifar_resnet8", image_size=32, out=out), "image_size: 32, but"),
        (lambda out: reslab.train(reslab.spec("cifar_resnet8"), out=out, shortcut="B"), "given with a Spec"),
        (lambda out: reslab.train("cifar_resnet8", epochs=0, out=out), "--epochs: 0"),
        (lambda out: reslab.train("cifar_resnet8", epochs=1, iterations=5, out=out), "epochs"),
        (lambda out: reslab.train("cifar_resnet8", iterations=0, out=out), "iterations = 0"),
        (lambda out: reslab.train("cifar_resnet8", precision="fp16", out=out), "not one of auto, fp32, bf16"),
        (lambda out: reslab.train("cifar_resnet8", threads=-1, out=out), "threads"),
        (lambda out: reslab.build(reslab.spec("cifar_resnet8"), order="pre"), "given with a Spec"),
        (lambda out: reslab.build("cifar_resnet21"), "21 is not 6n"),
        (lambda out: reslab.spec("cifar_resnet8", batchnorm=True), "did you mean batch_norm"),
        (lambda out: reslab.evaluate(out, split="tset"), "did you mean test"),
        (lambda out: reslab.evaluate(out, precision="fp8"), "not one of fp32, bf16"),
        (lambda out: reslab.evaluate(out / "nowhere"), "no such checkpoint or run"),
        (lambda out: reslab.reproduce("degradatoin", out=out), "did you mean degradation"),
        (lambda out: reslab.reproduce("degradation", depths=(8,), out=out), "compares depths; give at least two"),
        (lambda out: reslab.reproduce("degradation", depths=(8, 9), out=out), "9 is not 6n"),
        (lambda out: reslab.reproduce("degradation", seeds=0, out=out), "--seeds: 0"),
        (
            lambda out: reslab.reproduce("degradation", processes=-1, depths=(8, 14), seeds=1, set=SHORT, out=out),
            "processes",
        ),
    ],
)
def test_refused_in_one_line_before_any_step(tmp_path, call, words):
    with pytest.raises(UserError, match=re.escape(words)) as told:
        call(tmp_path)
    assert "\n" not in str(told.value)
    assert not list(Path(tmp_path).rglob("metrics.jsonl"))


def test_an_unknown_argument_is_refused_with_the_nearest(record):
    with pytest.raises(UserError, match="evaluate: unknown argument 'splitt'; did you mean split"):
        reslab.evaluate(record.folder, splitt="test")
    with pytest.raises(UserError, match="reproduce: unknown argument 'depth'; did you mean depths"):
        reslab.reproduce("degradation", depth=(8, 20))


def test_a_budget_counts_measurements_too(tmp_path):
    """C23 trains no net of the study, but its measurements take minutes: ten seconds are not enough for it."""
    told = []
    found = reslab.reproduce(["C10", "C23"], seeds=1, budget=10, out=tmp_path / "s", tell=told.append)
    assert found.left_out == ("C23",)
    assert [one.claim.id for one in found.judgements] == ["C10"]
    assert [p.stem for p in (tmp_path / "s" / "measured").iterdir()] == ["architecture-depths"]
    assert any("1 of 2 claims fit" in event.get("text", "") for event in told)


def test_a_scaled_study_keeps_its_own_recipe(tmp_path):
    """`--scale` alone shortens the study's recipe; it does not put another in its place."""
    reslab.reproduce("C10", scale=0.5, out=tmp_path / "s", tell=lambda event: None)
    kept = json.loads((tmp_path / "s" / "study.json").read_text())["recipe"]
    whole = recipe("digits-study")
    assert (kept["lr"], kept["probe_every"], kept["iterations"]) == (whole.lr, whole.probe_every, whole.iterations / 2)
    with pytest.raises(UserError, match="--scale"):
        reslab.reproduce("C10", scale=0.0, out=tmp_path / "t")
