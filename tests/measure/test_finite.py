"""Broken weights under right hashes, through the real verbs: none is answered as if nothing were wrong."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import reslab
from reslab.cli.main import main
from reslab.data.sets.digits import digits
from reslab.engines.inference import Inference
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.nets.model import build
from reslab.store.files import MANIFEST, aside_folder, publish_folder

BLOCK = "conv3_1"
KINDS = {
    "conv weight": "stem.conv1.weight",
    "BN weight": f"{BLOCK}.branch.bn1.weight",
    "BN bias": f"{BLOCK}.branch.bn2.bias",
    "running mean": f"{BLOCK}.branch.bn1.running_mean",
    "running variance": "stem.bn1.running_var",
    "fc weight": "head.fc.weight",
    "fc bias": "head.fc.bias",
}
VALUES = {"NaN": float("nan"), "infinity": float("inf"), "minus infinity": float("-inf")}
FAULTS = [
    *((name, VALUES["NaN"]) for name in KINDS.values()),
    *((name, VALUES["infinity"]) for name in KINDS.values()),
    ("stem.conv1.weight", VALUES["minus infinity"]),
    ("stem.bn1.running_var", -0.5),
]
VERBS = {
    "evaluate fp32": "evaluate RUN",
    "evaluate bf16": "evaluate RUN --precision bf16",
    "predict fp32": "predict RUN IMAGES --precision fp32",
    "predict bf16": "predict RUN IMAGES --precision bf16",
    "probe": "probe RUN --samples 8",
    "ensemble": "evaluate GOOD RUN --ensemble softmax",
    "ensemble bf16": "evaluate GOOD RUN --ensemble logits --precision bf16",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("good") / "run"
    reslab.train(
        "cifar_resnet8", "digits", iterations=30, out=out, device="cpu", threads=1, widths=(8, 8, 16),
        tell=lambda event: None,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of the first 30 images of the test split."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(30):
        Image.fromarray(digits().test.images[number, ..., 0]).save(folder / f"{number:02d}.png")
    return folder


def rewritten(run, target, change, file=checkpoints.WEIGHTS):
    """A copy of a run whose newest checkpoint has other tensors, and hashes that vouch for them."""
    shutil.copytree(run, target)
    newest = checkpoints.folders(target)[-1]
    aside = aside_folder(newest)
    for name in (checkpoints.WEIGHTS, checkpoints.STATE, checkpoints.FACTS):
        shutil.copy(newest / name, aside / name)
    shutil.rmtree(newest)
    tensors = load_file(aside / file)
    change(tensors)
    save_file(tensors, aside / file)
    publish_folder(aside, newest, checkpoints.FORMAT)
    assert (newest / MANIFEST).is_file()
    return target


def verb(words, run, good, images, capsys):
    """(exit status, standard output, standard error) of a command line."""
    there = {"RUN": run, "GOOD": good, "IMAGES": images}
    status = main([str(there.get(word, word)) for word in words.split()] + ["--threads", "1"])
    return status, *capsys.readouterr()


@pytest.mark.parametrize(("name", "value"), FAULTS)
def test_one_broken_weight_is_refused_by_every_verb(run, images, tmp_path, capsys, name, value):
    def breaks(tensors):
        tensors[name].view(-1)[-1] = value

    broken = rewritten(run, tmp_path / "run", breaks)
    for words in VERBS.values():
        status, out, err = verb(words, broken, run, images, capsys)
        assert (status, out) == (2, ""), words
        assert name in err
        assert "1 of " in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(("name", "value"), [("mean", float("nan")), ("scale", float("inf")), ("scale", 0.0)])
def test_broken_statistics_of_the_images_are_refused(run, images, tmp_path, capsys, name, value):
    def breaks(tensors):
        tensors[name].view(-1)[0] = value

    broken = rewritten(run, tmp_path / "run", breaks, checkpoints.STATE)
    for words in VERBS.values():
        status, out, err = verb(words, broken, run, images, capsys)
        assert (status, out) == (2, ""), words
        assert name in err


OVERFLOWS = {
    "the first convolution": ("stem.conv1.weight", 3e38),
    "the fold of BN": ("conv2_1.branch.bn1.weight", 2e38),
    "the last layer": ("head.fc.weight", 3e38),
    "a convolution on the way": (f"{BLOCK}.branch.conv2.weight", 3e38),
}


@pytest.mark.parametrize(("name", "size"), OVERFLOWS.values(), ids=[*OVERFLOWS])
def test_finite_weights_that_overflow(run, images, tmp_path, capsys, name, size):
    """Every weight is finite, so the net is loaded; its scores are not, and no verb hides it."""

    def grows(tensors):
        largest = tensors[name].abs().max()
        tensors[name] = tensors[name] / largest * size
        assert torch.isfinite(tensors[name]).all()

    huge = rewritten(run, tmp_path / "run", grows)
    (truth,) = reslab.evaluate(huge, threads=1)
    assert truth.scores.unfit > 0
    for words in VERBS.values():
        status, out, err = verb(words, huge, run, images, capsys)
        if words.startswith("evaluate"):
            assert status == 0
            assert out.count("images have scores that are not finite") == (2 if "GOOD" in words else 1)
        elif words.startswith("predict"):
            assert (status, out) == (1, "")
            assert re.search(rf"{images}/\d\d\.png: its scores are not finite", err)
        else:
            assert status == 0
            assert "figures are not finite" in out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_images_without_finite_scores_count_as_wrong_and_are_counted(run, tmp_path, precision):
    """Of each class the scores of all images are made infinite: none of them is right, whatever the label."""

    def grows(tensors):
        tensors["stem.conv1.weight"] *= 1e37

    huge = rewritten(run, tmp_path / "run", grows)
    (found,) = reslab.evaluate(huge, precision=precision, threads=1, device="cpu")
    unfit = found.scores.unfit
    assert unfit
    assert found.scores.top1_wrong >= unfit
    assert found.note.startswith(f"{unfit} of 500 images have scores that are not finite")
    (good,) = reslab.evaluate(run, precision=precision, threads=1, device="cpu")
    assert good.scores.unfit == 0
    assert good.note == ""


@torch.no_grad()
@pytest.mark.parametrize("model", ["cifar_plain8", "cifar_plain56"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_overflow_that_a_fused_relu_would_hide(model, precision):
    """The second convolution of a block sums infinities of both signs: NaN, and 0 behind oneDNN's ReLU."""
    net = build(model, seed=1, batch_norm=False).eval()
    net.stem.conv1.weight.mul_(1e38)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images[1:] = 0  # one image overflows, the others do not
    logits = Inference(net, precision)(images)
    plain = net(images)
    assert not plain[0].isfinite().all()
    assert torch.equal(logits.isfinite().all(1), plain.isfinite().all(1))
    assert torch.equal(logits[1:], plain[1:])


@torch.no_grad()
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nan_in_a_network_or_an_image_shows_in_the_logits(precision):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    net = build("cifar_resnet8").eval()
    images[1, 0, 5, 5] = float("nan")
    assert Inference(net, precision)(images).isfinite().all(1).tolist() == [True, False]
    net.stem.conv1.weight.fill_(float("nan"))
    inference = Inference(net, precision)
    assert inference.fallback == "not folded, as its weights with batch norm are not finite: slower, not broken"
    assert not inference(images).isfinite().any()


@torch.no_grad()
def test_bf16_overflows_only_where_fp32_does():
    """A value beyond the largest bf16 is finite in fp32, and its scores are those of fp32."""
    net = build("cifar_resnet8", batch_norm=False).eval()
    net.head.fc.weight.mul_(1e-30)
    net.stem.conv1.weight.mul_(1e30)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Inference(net, "bf16")(images), net(images))
    assert net(images).isfinite().all()


@torch.no_grad()
def test_a_ready_network_is_checked_too():
    net = build("cifar_resnet8", in_channels=1, image_size=8).eval()
    net.conv2_1.branch.conv1.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=r"cifar_resnet8: 1 of 2,304 values of conv2_1\.branch\.conv1\.weight"):
        reslab.probe(net, samples=4, threads=1)


def test_a_sum_that_overflows_is_no_broken_weight(run, tmp_path):
    """The check sums; where finite values sum to infinity they are looked at one by one."""

    def grows(tensors):
        tensors["head.fc.bias"].fill_(3e38)

    huge = rewritten(run, tmp_path / "run", grows)
    (found,) = reslab.evaluate(huge, threads=1)
    assert found.scores.unfit == 0


def test_a_weight_too_large_for_float32_is_refused(run, tmp_path):
    """Stored in float64 it is finite; the network would hold infinity."""

    def widens(tensors):
        tensors["head.fc.bias"] = tensors["head.fc.bias"].double()
        tensors["head.fc.bias"][3] = 1e300

    with pytest.raises(UserError, match=r"1 of 10 values of head\.fc\.bias are not finite"):
        reslab.evaluate(rewritten(run, tmp_path / "run", widens), threads=1)


def test_the_good_run_answers(run, images, capsys):
    for words in VERBS.values():
        status, out, err = verb(words, run, run, images, capsys)
        assert status == 0, err
        assert "not finite" not in out + err
    assert np.isfinite(json.loads(verb("evaluate RUN --json", run, run, images, capsys)[1])[0]["loss"])
