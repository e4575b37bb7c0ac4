"""hf:, torchvision: and timm: names, against a server on the loopback and prepared caches; nothing else is asked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from convert.hubserver import hub
from safetensors.torch import save as bytes_of

import reslab
from benchmarks.origins import cifar6n2, randomised
from reslab.models.trained import load


def python(code: str, here, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, whose caches are in `here`."""
    names = {"HF_HOME": str(here / "hf"), "TORCH_HOME": str(here / "torch"), "HF_HUB_DISABLE_XET": "1",
             "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_of_nobody"}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **names, **environment}, capture_output=True, text=True,
        timeout=300, cwd=here,
    )  # fmt: skip


def resnet18(kind: str, classes: int) -> dict[str, torch.Tensor]:
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(3)
    config = ResNetConfig(depths=[2, 2, 2, 2], layer_type=kind, hidden_sizes=[64, 128, 256, 512], num_labels=classes)
    return ResNetForImageClassification(config).state_dict()


CONFIG = {"model_type": "resnet", "hidden_act": "relu", "downsample_in_bottleneck": False,
          "downsample_in_first_stage": False, "depths": [2, 2, 2, 2], "layer_type": "basic",
          "id2label": {"0": "cat", "1": "dog", "2": "cow"}}  # fmt: skip
IMAGE = {"crop_pct": 0.875, "size": {"shortest_edge": 224}, "resample": 3, "do_normalize": True,
         "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}  # fmt: skip
LOAD = (
    "import reslab, json; m = reslab.load({!r}); print(json.dumps(m.to_dict()), m.transform.statistics.mean.tolist())"
)


@pytest.mark.slow
def test_a_model_of_transformers_by_its_name(tmp_path):
    files = {
        "them/small/config.json": json.dumps(CONFIG).encode(),
        "them/small/preprocessor_config.json": json.dumps(IMAGE).encode(),
        "them/small/model.safetensors": bytes_of(resnet18("basic", 3)),
    }
    with hub(files) as (address, requests):
        done = python(LOAD.format("hf:them/small"), tmp_path, HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
        first = len(requests)
        unknown = python("import reslab; reslab.load('hf:them/none')", tmp_path, HF_ENDPOINT=address)
    told = json.JSONDecoder().raw_decode(done.stdout)[0]
    assert (told["model"], told["classes"]) == ("resnet18", ["cat", "dog", "cow"])
    assert told["input"] == {"channels": 3, "size": 224, "shorter": 256, "interpolation": "bicubic"}
    assert told["origin"]["imported"]["source"] == "hf:them/small"
    assert told["origin"]["imported"]["assumed"] == {"padding": "zeros"}  # all else came with the files
    assert told["origin"]["imported"]["sha256"] == hashlib.sha256(files["them/small/model.safetensors"]).hexdigest()
    assert "127.5, 102.0, 76.5" in done.stdout
    assert first
    assert "hf:them/none: config.json cannot be had" in unknown.stderr
    # what is in the cache needs no server
    offline = python(LOAD.format("hf:them/small"), tmp_path, HF_HUB_OFFLINE="1")
    assert offline.stdout == done.stdout, offline.stderr


@pytest.mark.slow
def test_a_model_is_published_and_fetched(tmp_path):
    torch.save(randomised(cifar6n2(8)).state_dict(), tmp_path / "a.pt")
    with hub({}) as (address, requests):
        code = "import reslab; print(reslab.load('a.pt').push_to_hub('me/mine'))"
        done = python(code, tmp_path, HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(address)
        assert any("/commit/main" in line for line in requests)
        code = "import reslab; print(reslab.load('hf:me/mine').save_pretrained('copy'))"
        done = python(code, tmp_path, HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
    ours, theirs = load(tmp_path / "copy"), reslab.load(tmp_path / "a.pt")
    assert ours.spec == theirs.spec
    assert all(torch.equal(ours.weights[key], value) for key, value in theirs.weights.items())
    assert ours.origin.imported == theirs.origin.imported


@pytest.mark.slow
def test_a_name_of_torchvision_from_its_cache(tmp_path):
    from torchvision.models import ResNet50_Weights, resnet50

    place = tmp_path / "torch" / "hub" / "checkpoints"
    place.mkdir(parents=True)
    for weights in ResNet50_Weights:
        torch.save(resnet50().state_dict(), place / weights.url.rsplit("/", 1)[1])
    told = {}
    for name in ("torchvision:resnet50", "torchvision:resnet50:IMAGENET1K_V1"):
        done = python(LOAD.format(name), tmp_path)
        assert done.returncode == 0, done.stderr
        told[name] = json.JSONDecoder().raw_decode(done.stdout)[0]
    assert [one["input"]["shorter"] for one in told.values()] == [232, 256]  # the second weights, and the first
    assert told[name]["classes"] == ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    assert list(told[name]["origin"]["imported"]["assumed"]) == ["stride_in", "padding"]


@pytest.mark.slow
def test_a_name_of_timm_from_the_server(tmp_path):
    import timm

    weights = timm.create_model("resnet18").state_dict()
    config = {"architecture": "resnet18", "pretrained_cfg": {}}
    files = {
        "timm/resnet18.a1_in1k/model.safetensors": bytes_of(weights),
        "timm/resnet18.a1_in1k/config.json": json.dumps(config).encode(),
    }
    with hub(files) as (address, _):
        done = python(LOAD.format("timm:resnet18"), tmp_path, HF_ENDPOINT=address)
    assert done.returncode == 0, done.stderr
    told = json.JSONDecoder().raw_decode(done.stdout)[0]
    known = timm.get_pretrained_cfg("resnet18")
    assert told["origin"]["imported"]["layout"] == "timm"
    assert told["input"]["interpolation"] == known.interpolation
    assert told["input"]["shorter"] == int(224 / known.crop_pct)


def test_files_ask_no_network(tmp_path):
    torch.save(randomised(cifar6n2(8)).state_dict(), tmp_path / "a.pt")
    code = """
import socket, sys
def connect(*_): raise SystemExit("the network was touched")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = connect
import reslab
model = reslab.import_weights("a.pt", out="model")
reslab.load("model")
print(sorted({"huggingface_hub", "timm", "transformers"} & {*sys.modules}))
"""
    done = python(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:resnet51", "unknown; did you mean resnet50"),
        ("torchvision:resnet50:IMAGENET1K_V3", "unknown"),
        ("timm:resnet51", "unknown"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(reslab.errors.UserError, match=message) as caught:
        reslab.load(name)
    assert str(caught.value).startswith(name)
