"""`reslab probe`: the real command line, its text, its JSON, its refusals."""

import json

import pytest
from cases import some

QUICK = ("--samples", "16", "--threads", "1", "--device", "cpu")
KEYS = [
    "model", "checkpoint", "iteration", "data", "split", "seed", "n", "bn", "responses", "responses_sorted",
    "activations", "gradient_batch", "loss", "gradients", "layers", "weight_gradients", "residuals", "jacobians",
    "notes",
]  # fmt: skip
SPECTRUM = {"n", "min", "max", "median", "below"}


def test_json_of_a_run(warm, trained):
    """`cifar_resnet8` after two updates: every key, every layer and block, plain numbers."""
    told = json.loads(warm("probe", trained, *QUICK, "--json").good().out)
    assert list(told) == KEYS
    assert (told["model"], told["iteration"], told["data"], told["split"]) == ("cifar_resnet8", 2, "digits", "train")
    assert (told["n"], told["bn"], told["gradient_batch"], told["seed"]) == (16, "running", 16, 0)
    assert [set(r) for r in told["responses"]] == [{"layer", "at", "std"}] * 7
    assert sorted(told["responses_sorted"]) == sorted(r["layer"] for r in told["responses"])
    blocks = ["conv2_1", "conv3_1", "conv4_1"]
    for key in ("activations", "gradients"):
        assert [set(a) for a in told[key]] == [{"block", "rms"}] * 3
        assert [a["block"] for a in told[key]] == blocks
    assert [set(x) for x in told["layers"]] == [{"layer", "at", "activation", "gradient"}] * 8
    assert [set(g) for g in told["weight_gradients"]] == [{"layer", "norm", "rms"}] * 8
    assert [r["block"] for r in told["residuals"]] == blocks
    assert all(r["ratio"] == pytest.approx(r["branch"] / r["shortcut"]) for r in told["residuals"])
    (block,) = told["jacobians"]  # the one identity block
    assert (block["block"], block["line"], block["inputs"], block["outputs"]) == ("conv2_1", "solid", 1024, 1024)
    assert all(set(block[key]) == SPECTRUM and block[key]["n"] == 1024 for key in ("branch", "before", "after"))
    assert block["gap"] < 1e-10


def test_text_of_a_run(warm, trained):
    out = warm("probe", trained, *QUICK).good().out
    assert out.startswith("cifar_resnet8 at iteration 2, the first 16 samples of digits train, BN by its moving")
    for title in (
        "Layer responses (Fig. 7)",
        "Block outputs x",
        "Layers: their out",
        "Residual ratios",
        "Singular val",
    ):
        assert title in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 120


def test_some_parts_of_a_net_at_initialisation(warm):
    words = ("probe", "cifar_plain14", *QUICK, "--widths", "2,3,4", "--seed", "5", "--only", "residuals, responses")
    told = json.loads(warm(*words, "--json").good().out)
    assert (told["checkpoint"], told["iteration"], told["seed"], told["bn"]) == (None, None, 5, "samples")
    assert (told["residuals"], told["gradients"], told["jacobians"]) == ([], None, None)
    assert len(told["responses"]) == 13
    out = warm(*words).good().out
    assert "at initialisation, seed 5" in out
    assert "note: no ‖F(x)‖/‖x‖: the net has no shortcuts" in out
    assert "Singular values" not in out


def test_switches_and_the_block_of_the_jacobian(warm):
    words = ("probe", "cifar_resnet11", "--block", "bottleneck", "--order", "pre", "--widths", "2,3,4", *QUICK)
    told = json.loads(warm(*words, "--only", "jacobians", "--at", "conv4_1", "--json").good().out)
    (block,) = told["jacobians"]
    assert (block["block"], block["line"], block["after"], block["inactive"]) == ("conv4_1", "dotted", None, None)
    out = warm("probe", "mlp_resnet4", *QUICK, "--data", "digits", "--split", "test").good().out
    assert "largest entry of J_H - (J_F + I) before the last ReLU" in out


REFUSED = {
    "unknown model": (("cifar_resnt8",), ["unknown model 'cifar_resnt8'", "did you mean cifar_resnet8"]),
    "impossible depth": (("cifar_resnet21",), ["21 is not 6n+2"]),
    "no path": (("runs/nothing",), ["runs/nothing: no such checkpoint or run"]),
    "unknown part": (("cifar_resnet8", "--only", "responses,jacobian"), ["'jacobian'", "did you mean jacobians"]),
    "empty part": (("cifar_resnet8", "--only", ""), ["--only: ''", "none of responses"]),
    "unknown block": (("cifar_resnet8", "--at", "conv3_2"), ["no block 'conv3_2'", "did you mean conv3_1"]),
    "block without a Jacobian": (("cifar_resnet8", "--at", "conv3_1", "--only", "responses"), ["--at conv3_1"]),
    "unknown split": (("cifar_resnet8", "--split", "tset"), ["--split: 'tset'", "did you mean test"]),
    "split that is not there": (("cifar_resnet8", "--split", "val"), ["digits has no 'val' split"]),
    "one sample": (("cifar_resnet8", "--samples", "1"), ["--samples: 1 must be at least 2"]),
    "samples in words": (("cifar_resnet8", "--samples", "many"), ["--samples", "'many' is not a whole number"]),
    "unknown data": (("cifar_resnet8", "--data", "digit"), ["'digit'", "did you mean digits"]),
    "other classes": (("cifar_resnet8", "--classes", "7"), ["classes: 7, but digits has 10"]),
    "too small for it": (("resnet18",), ["8 is too small for resnet18"]),
    "no such device": (("cifar_resnet8", "--device", "cdua"), ["'cdua'", "did you mean cuda"]),
    "nothing": ((), ["requires an argument"]),
}


@pytest.mark.parametrize("case", some(REFUSED, quick=6))
def test_refused(warm, case):
    words, fragments = REFUSED[case]
    warm("probe", *words).refused(*fragments)


def test_refused_paths(warm, trained, tmp_path):
    warm("probe", trained.parent / "rnu").refused("no such checkpoint or run", "did you mean run")
    warm("probe", tmp_path).refused(str(tmp_path))
    warm("probe", trained, "--shortcut", "B").refused("shortcut given with a run")
