"""What is known before torch is needed: names, options, values, files of settings. One line, exit 2, nothing made."""

import os
import shutil

import pytest
from cases import some
from commands import untrained

TRAIN = ("train", "cifar_resnet8")

REFUSED = {
    # names
    "unknown model": (("train", "cifar_resnt20"), ["unknown model 'cifar_resnt20'", "did you mean cifar_resnet20"]),
    "nothing like it": (("describe", "alexnet9"), ["unknown model 'alexnet9'", "`reslab list` shows them all"]),
    "a line break in it": (("describe", "resnet18\nresnet34"), ["unknown model"]),
    "impossible depth": (("train", "cifar_resnet21"), ["21 is not 6n+2", "20 and 26"]),
    "of a bottleneck": (("describe", "cifar_resnet30", "--block", "bottleneck"), ["30 is not 9n+2", "29 and 38"]),
    "possible as bottleneck": (("describe", "cifar_resnet29"), ["29 is not 6n+2", "--block bottleneck", "29 exists"]),
    "ImageNet depth": (("train", "resnet20"), ["unknown model 'resnet20'", "18, 34, 50, 101, 152", "cifar_resnet20"]),
    "VGG depth": (("describe", "vgg16"), ["unknown model 'vgg16'", "did you mean vgg19"]),
    "glob of nothing": (("list", "zz*"), ["no model matches 'zz*'", "`reslab list`"]),
    "unknown verb": (("trian",), ["unknown command 'trian'", "did you mean train", "describe"]),
    "unknown verb below": (("recipe", "lits"), ["unknown command 'lits'", "did you mean list", "there are list, show"]),
    "unknown option": ((*TRAIN, "--dvice", "cpu"), ["--dvice", "Did you mean --device"]),
    "unknown recipe": ((*TRAIN, "--recipe", "paper-cifr"), ["unknown recipe 'paper-cifr'", "did you mean paper-cifar"]),
    "recipe to show": (("recipe", "show", "digit"), ["unknown recipe 'digit'", "did you mean digits"]),
    "unknown experiment": (("reproduce", "degradatoin"), ["'degradatoin'", "did you mean degradation"]),
    # what is missing, what is too much
    "no model": (("train",), ["which model?", "reslab train"]),
    "no value": ((*TRAIN, "--seed"), ["--seed", "requires an argument"]),
    "no path": (("evaluate",), ["requires an argument"]),
    "two models": ((*TRAIN, "resnet18"), ["unexpected resnet18", "`reslab train --help`"]),
    "option twice": ((*TRAIN, "--seed", "1", "--seed", "2"), ["--seed", "multiple times"]),
    # values
    "--set of nothing": ((*TRAIN, "--set", "lr"), ["--set: 'lr'", "expected key=value"]),
    "--set key": ((*TRAIN, "--set", "weight_deca=1"), ["unknown key 'weight_deca'", "did you mean weight_decay"]),
    "--set text for a number": ((*TRAIN, "--set", "lr=fast"), ["--set: lr='fast'", "must be a number"]),
    "--set number for a count": ((*TRAIN, "--set", "batch=12.5"), ["--set: batch='12.5'", "must be a whole number"]),
    "--set list": ((*TRAIN, "--set", "drops=1,b"), ["drops='1,b'", "separated by commas"]),
    "--set falling list": ((*TRAIN, "--set", "drops=9,3"), ["drops = [9, 3]", "rising"]),
    "--set nan": ((*TRAIN, "--set", "lr=nan"), ["lr = nan", "not a number"]),
    "--set range": ((*TRAIN, "--set", "momentum=1"), ["momentum = 1.0", "[0, 1)"]),
    "--set zero": ((*TRAIN, "--set", "batch=0"), ["batch = 0", "at least 1"]),
    "--set word": ((*TRAIN, "--set", "augment=crop-flop"), ["'crop-flop'", "did you mean crop-flip"]),
    "--set name": ((*TRAIN, "--set", "name=x"), ["name", "--recipe"]),
    "--set ghost": ((*TRAIN, "--set", "bn_batch=7"), ["bn_batch = 7", "must divide batch"]),
    "--iterations 0": ((*TRAIN, "--iterations", "0"), ["iterations = 0", "at least 1"]),
    "--iterations 1.5": ((*TRAIN, "--iterations", "1.5"), ["--iterations", "'1.5' is not a whole number"]),
    "--seed x": ((*TRAIN, "--seed", "x"), ["--seed", "'x' is not a whole number"]),
    "--epochs 0": ((*TRAIN, "--epochs", "0"), ["--epochs: 0", "positive"]),
    "--epochs inf": ((*TRAIN, "--epochs", "inf"), ["--epochs: inf", "positive"]),
    "--epochs nan": ((*TRAIN, "--epochs", "nan"), ["--epochs: nan", "positive"]),
    "--epochs beyond counting": ((*TRAIN, "--epochs", "1e308"), ["--epochs: 1e+308", "at most 1e+09"]),
    "--scale beyond counting": ((*TRAIN, "--scale", "1e308"), ["--scale: 1e+308", "at most 1e+09"]),
    "a recipe beyond counting": (("recipe", "show", "digits", "--scale", "1e308"), ["--scale: 1e+308"]),
    "a study beyond counting": (("reproduce", "C1", "--scale", "1e308"), ["--scale: 1e+308"]),
    "--scale 0": ((*TRAIN, "--scale", "0"), ["--scale: 0", "positive"]),
    "--scale -1": ((*TRAIN, "--scale", "-1"), ["--scale: -1", "positive"]),
    "--scale nan": ((*TRAIN, "--scale", "nan"), ["--scale: nan", "positive"]),
    "--precision": ((*TRAIN, "--precision", "fp16"), ["--precision: 'fp16' is not one of auto, fp32, bf16"]),
    "--bad-images": ((*TRAIN, "--bad-images", "ignore"), ["--bad-images: 'ignore' is not one of error, skip"]),
    # switches
    "--shortcut": (("describe", "resnet18", "--shortcut", "D"), ["--shortcut: 'D' is not one of A, B, C"]),
    "--block kind": (("describe", "cifar_resnet20", "--block", "basik"), ["'basik'", "did you mean basic"]),
    "--block for ImageNet": (("describe", "resnet18", "--block", "bottleneck"), ["resnet18", "basic blocks", "cifar_"]),
    "--block of one layer": (("train", "resnet50", "--block", "single"), ["resnet50", "bottleneck blocks", "cifar_"]),
    "bottleneck MLP": (("describe", "mlp_resnet20", "--block", "bottleneck"), ["MLP has no bottleneck", "triple"]),
    "stem of an MLP": (("describe", "mlp_resnet20", "--stem", "7x7"), ["stem", "MLP"]),
    "shortcut of VGG": (("describe", "vgg19", "--shortcut", "A"), ["shortcut", "vgg19 has no blocks"]),
    "too few widths": (("describe", "cifar_resnet20", "--widths", "16,32"), ["2 given", "3 stages"]),
    "widths in words": (("describe", "cifar_resnet20", "--widths", "16,x"), ["--widths", "whole numbers"]),
    "width 0": (("describe", "cifar_resnet20", "--widths", "16,32,0"), ["widths", "at least 1"]),
    "classes 0": (("describe", "resnet18", "--classes", "0"), ["classes: 0", "at least 1"]),
    "shrinking A": (
        ("describe", "cifar_resnet20", "--shortcut", "A", "--widths", "64,32,16"),
        ["A pads", "shrink 64 channels to 32", "use B or C"],
    ),
    "image too small": (("describe", "resnet18", "--image-size", "8"), ["8 is too small for resnet18", "works is 17"]),
    "last γ without BN": (("describe", "resnet18", "--zero-init", "--no-batch-norm"), ["zero_init", "batch_norm"]),
    # experiments
    "--depths": (("reproduce", "degradation", "--depths", "8,x"), ["--depths: '8,x'", "whole numbers"]),
    "--depths of nothing": (("reproduce", "degradation", "--depths", ""), ["--depths: ''", "whole numbers"]),
    "--depths one": (("reproduce", "degradation", "--depths", "8"), ["--depths: 8", "at least two"]),
    "--depths impossible": (("reproduce", "degradation", "--depths", "8,9"), ["9 is not 6n+2", "8 and 14"]),
    "--seeds 0": (("reproduce", "degradation", "--seeds", "0"), ["--seeds: 0", "at least 1"]),
}


@pytest.mark.parametrize("case", some(REFUSED, quick=24))
def test_refused(warm, tmp_path, case):
    words, fragments = REFUSED[case]
    warm(*words).refused(*fragments)
    assert untrained(tmp_path)


def test_what_is_nearly_refused_is_not(warm):
    """The neighbours of the refusals above."""
    warm("describe", "cifar_resnet164").good()  # 6n+2
    warm("describe", "cifar_resnet29", "--block", "bottleneck").good()
    warm("describe", "cifar_resnet20", "--shortcut", "B", "--widths", "64,32,16").good()
    warm("describe", "resnet18", "--image-size", "17").good()
    warm("recipe", "show", "paper-cifar", "--scale", "0.25", "--set", "drops=100,200").good()


def test_a_depth_of_thousands_of_digits(warm):
    warm("describe", "cifar_resnet" + "9" * 5000).refused("unknown model")


# -- files of settings

TOML = {
    "malformed": ("seed = 1\nmodel = \n", ["not valid TOML", "line 2"]),
    "cut off": ("model = ", ["not valid TOML", "end of document"]),
    "duplicate key": ("seed = 1\nseed = 2\n", ["not valid TOML", "overwrite"]),
    "unknown key": ('modle = "resnet18"', ["unknown key 'modle'", "did you mean model"]),
    "a recipe's key at the top": ("lr = 0.1", ["unknown key 'lr'", "under [set]"]),
    "a switch at the top": ('shortcut = "A"', ["unknown key 'shortcut'", "net.shortcut"]),
    "unknown key of the recipe": ("[set]\nweight_deca = 1e-4", ["[set]", "'weight_deca'", "did you mean weight_decay"]),
    "unknown switch": ('[net]\nshortct = "A"', ["[net]", "'shortct'", "did you mean shortcut"]),
    "text for a number": ('seed = "1"', ["seed = '1'", "int"]),
    "a fraction for a count": ("iterations = 1.5", ["iterations = 1.5", "int"]),
    "true for a number": ("threads = true", ["threads = True", "int"]),
    "a number for text": ("data = 3", ["data = 3", "text"]),
    "a number for a table": ("set = 3", ["set = 3", "table"]),
    "a date": ("seed = 2015-12-10", ["seed", "int"]),
    "text for a rate": ('[set]\nlr = "0.1"', ["[set]", "lr = '0.1'", "not a number"]),
    "text for a list": ('[set]\ndrops = "1,2"', ["[set]", "drops", "list of whole numbers"]),
    "out of range": ("[set]\nmomentum = 2.0", ["[set]", "momentum = 2.0", "[0, 1)"]),
    "widths as a number": ("[net]\nwidths = 16", ["[net]", "widths = 16", "[16, 32, 64]"]),
    "widths as text": ('[net]\nwidths = "16,32,64"', ["[net]", "widths", "[16, 32, 64]"]),
    "block as a number": ("[net]\nblock = 3", ["[net]", "block = 3", "text"]),
    "thousands of digits": ("seed = " + "1" * 5000, ["cannot be read as TOML", "5000 digits"]),
    "deeply nested": ("a = " + "[" * 20_000, ["cannot be read as TOML", "recursion"]),
    "control character": ("seed = 1\x07", ["not valid TOML"]),
}


@pytest.mark.parametrize("case", some(TOML, quick=12))
def test_refused_file(warm, tmp_path, case):
    text, fragments = TOML[case]
    file = tmp_path / "run.toml"
    file.write_text(text)
    warm("train", "resnet18", "--config", file).refused(f"--config {file}: ", *fragments)
    assert untrained(tmp_path)


def test_refused_files_that_are_no_text(warm, tmp_path):
    file = tmp_path / "run.toml"
    warm("train", "--config", file).refused(f"--config {file}", "No such file")
    warm("train", "--config", tmp_path).refused(f"--config {tmp_path}", "Is a directory")
    file.write_bytes(b"\xff\xfem\x00")
    warm("train", "--config", file).refused(f"--config {file}", "not UTF-8")


def test_values_of_a_file_are_refused_like_words(warm, tmp_path):
    file = tmp_path / "run.toml"
    for text, fragments in {
        'model = "cifar_resnet21"': ["21 is not 6n+2"],
        'model = "cifar_resnet8"\nrecipe = "digit"': ["unknown recipe 'digit'", "did you mean digits"],
        'model = "cifar_resnet8"\niterations = 0': ["iterations = 0"],
        'model = "cifar_resnet8"\nepochs = nan': ["--epochs: nan"],
        'model = "cifar_resnet8"\nscale = inf': ["--scale: inf"],
        'model = "cifar_resnet8"\nepochs = 1e300': ["--epochs: 1e+300"],
        'model = "cifar_resnet8"\n[net]\nshortcut = "D"': ["shortcut: 'D'", "A, B, C"],
        'model = "cifar_resnet8"\n[net]\nbatch_norm = 1': ["batch_norm: 1", "neither true nor false"],
        'model = "cifar_resnet8"\nout = "a\\u0000b"': ["--out", "zero byte"],
        "seed = 1": ["which model?", "--config"],
    }.items():
        file.write_text(text)
        warm("train", "--config", file).refused(*fragments)
    assert untrained(tmp_path)


def test_byte_order_mark_and_crlf_are_no_mistakes(warm, tmp_path):
    """The last value is: so the file was read to its end."""
    file = tmp_path / "run.toml"
    file.write_bytes("\ufeffmodel = 'cifar_resnet8'\r\nseed = 1\r\niterations = 0\r\n".encode())
    warm("train", "--config", file).refused("iterations = 0")


def test_a_flag_wins_over_the_file(warm, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('model = "cifar_resnet8"\niterations = 5\n[set]\nbn_batch = 24\n')
    warm("train", "--config", file, "--set", "bn_batch=0", "--iterations", "0").refused("iterations = 0")
    warm("train", "--config", file, "--set", "batch=100").refused("bn_batch = 24 must divide batch = 100")
    # 24 divides 48: the file was no mistake, the next one is
    warm("train", "--config", file, "--set", "batch=48", "--epochs", "0").refused("--epochs: 0")


# -- places to write to


@pytest.mark.parametrize("below", ["", "deeper"])
def test_the_output_is_a_file(warm, tmp_path, below):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    warm(*TRAIN, "--out", file / below).refused("--out", str(file), "is a file", "choose another folder")
    assert file.read_text() == "mine"


def test_the_output_cannot_be_made(warm):
    warm(*TRAIN, "--out", "/proc/reslab").refused("--out /proc/reslab", "not writable", "choose another folder")


@pytest.mark.parametrize("verb", [("draw", "resnet18"), ("draw", "--blocks"), ("figure", "table1"), ("figure", "fig6")])
@pytest.mark.parametrize("name", some(["/proc/deeper/x.png", "/proc/x.html", "/proc/x.svg"], quick=1))
def test_a_picture_that_cannot_be_written(warm, verb, name):
    warm(*verb, "--out", name).refused(f"--out {name}", "cannot be written", "choose another place")


def test_the_output_has_too_long_a_name(warm, tmp_path):
    warm(*TRAIN, "--out", tmp_path / ("x" * 300)).refused("not writable", "too long")


@pytest.mark.slow
def test_the_output_is_read_only(cold, tmp_path):
    """chmod holds for root only where its power to override is taken away."""
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        before = ("setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override")

        if shutil.which("setpriv") is None:
            pytest.skip("root may write anywhere, and there is no setpriv to take that away")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for out in (locked, locked / "run"):
        cold(*TRAIN, "--out", out, before=before).refused(f"--out {out}", "not writable (Permission denied)")
    assert list(locked.iterdir()) == []


# -- what is not an error


def test_debug_shows_the_traceback_and_the_line(warm):
    told = warm("describe", "cifar_resnet21", "--debug")
    assert told.code == 2
    assert told.err.startswith("Traceback (most recent call last):")
    assert "UserError: depth 21" in told.err
    assert told.err.splitlines()[-1].startswith("reslab: depth 21: ")
