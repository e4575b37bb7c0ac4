"""Exported weights load strictly into the library's network and give equal logits; what it lacks is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.test_model_folder import model_of
from safetensors.torch import load_file

import reslab
from reslab.errors import RunError, UserError

MAKERS = {"torchvision": lambda name, n: getattr(torchvision.models, name)(num_classes=n),
          "timm": lambda name, n: timm.create_model(name, num_classes=n)}  # fmt: skip
DEEP = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet34", "resnet50", "resnet101", "resnet152")]


@pytest.mark.parametrize("to", MAKERS)
@pytest.mark.parametrize("name", ["resnet18", *DEEP])
def test_out_and_in_again_is_exact(tmp_path, name, to):
    model = model_of(name, classes=5, **({"stride_in": "3x3"} if name not in ("resnet18", "resnet34") else {}))
    file = reslab.export(model, to=to, out=tmp_path / "a.safetensors")
    state = load_file(file)
    net = MAKERS[to](name, 5)
    net.load_state_dict(state, strict=True)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        mine, theirs = model.network(images), net.eval()(images)
    assert float((mine - theirs).abs().max() / mine.abs().max()) <= 1e-5
    again = reslab.import_weights(file, layout=to)
    assert again.spec == replace(model.spec, zero_init=False)
    assert again.weights.keys() == model.weights.keys()
    assert all(torch.equal(again.weights[key], value) for key, value in model.weights.items())


@pytest.mark.slow  # its 144 million weights
def test_vgg19_and_a_pickle(tmp_path):
    model = model_of("vgg19", classes=3)
    file = reslab.export(model, to="torchvision", out=tmp_path / "a.pth")
    torchvision.models.vgg19(num_classes=3).load_state_dict(torch.load(file, weights_only=True), strict=True)
    with pytest.raises(UserError, match="--to timm: its vgg19 has convolutions"):
        reslab.export(model, to="timm", out=tmp_path / "b.pth")


@pytest.mark.parametrize(
    ("name", "switches", "message"),
    [
        ("resnet50", {}, "its resnet50 has stride_in '3x3', and this network '1x1'"),
        ("resnet18", {"shortcut": "A"}, "its resnet18 has shortcut 'B', and this network 'A'"),
        ("resnet18", {"stem": "3x3", "image_size": 32}, "its first convolution is 3x3"),
        ("resnet18", {"order": "pre"}, "has order 'post', and this network 'pre'"),
        ("resnet18", {"padding": "circular"}, "has padding 'zeros', and this network 'circular'"),
        ("resnet18", {"batch_norm": False}, "has batch_norm True, and this network False"),
        ("resnet18", {"widths": (8, 16, 32, 64)}, "has widths"),
        ("resnet18", {"in_channels": 1}, "has in_channels 3, and this network 1"),
        ("cifar_resnet8", {}, "its first convolution is 3x3"),
        ("plain18", {}, "no residual network"),
        ("mlp_resnet4", {}, "no residual network"),
    ],
)
def test_what_the_library_cannot_hold(tmp_path, name, switches, message):
    channels = switches.pop("in_channels", 3)
    with pytest.raises(UserError) as caught:
        reslab.export(model_of(name, channels, **switches), to="torchvision", out=tmp_path / "a.pth")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_other_logits_are_not_published(tmp_path, monkeypatch):
    """A library whose network computes something else: the file is not written."""
    model = model_of("resnet18", classes=4)
    make = torchvision.models.resnet18

    def other(**arguments):
        net = make(**arguments)
        net.relu = torch.nn.GELU()
        return net

    monkeypatch.setattr(torchvision.models, "resnet18", other)
    with pytest.raises(RunError, match="gives other logits"):
        reslab.export(model, to="torchvision", out=tmp_path / "a.pth")
    assert [*tmp_path.iterdir()] == []


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["cifar_resnet8", "cifar_plain14", "mlp_resnet4", "cifar_resnet20"]),
    st.sampled_from(["A", "B", "C"]), st.sampled_from(["post", "pre"]), st.booleans(), st.integers(1, 12),
    st.sampled_from([1, 3]),
)  # fmt: skip
def test_our_own_file_holds_every_network(tmp_path, name, shortcut, order, batch_norm, classes, channels):
    switches = {"shortcut": shortcut, "order": order, "batch_norm": batch_norm, "classes": classes}
    if "plain" in name:
        del switches["shortcut"]
    try:
        model = model_of(name, channels, **switches)
    except UserError:
        return  # switches that exclude each other
    file = reslab.export(model, out=tmp_path / f"{os.urandom(6).hex()}.safetensors")
    again = reslab.load(file)
    assert (again.spec, again.classes, again.transform.view) == (model.spec, model.classes, model.transform.view)
    assert all(torch.equal(again.weights[key], value) for key, value in model.weights.items())
    assert again.statistics().keys() == model.statistics().keys()
    assert all(torch.equal(again.statistics()[key], value) for key, value in model.statistics().items())


def test_our_own_file_is_checked(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    file = reslab.export(model_of("cifar_resnet8"), out=tmp_path / "a.safetensors")
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()["reslab"])
    for number, change in enumerate(({"spec": 3}, {"statistics": {}}, {"classes": []}, {"input": {}}, None)):
        text = "{" if change is None else json.dumps({**header, **change})
        place = tmp_path / f"{number}.safetensors"
        save_file(load_file(file), place, {"reslab": text})
        with pytest.raises(UserError, match=f"{number}.safetensors: its"):
            reslab.load(place)


def test_files_are_not_overwritten(tmp_path):
    model = model_of("cifar_resnet8")
    file = reslab.export(model, out=tmp_path / "a.safetensors")
    for out, message in ((file, "exists already"), (tmp_path / "a.onnx", "is written as .safetensors")):
        with pytest.raises(UserError, match=message):
            reslab.export(model, out=out)
    with pytest.raises(UserError, match="cannot be written"):
        reslab.export(model, out=file / "b.safetensors")
