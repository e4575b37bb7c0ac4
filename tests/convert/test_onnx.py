"""ONNX files run by onnxruntime: torch's logits for every kind of net, Pillow's pixels; no file if they differ."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from cases import some
from commands import environment
from models.test_model_folder import model_of
from nets.test_counts import VARIANTS
from PIL import Image

import reslab
from reslab.convert.runtimes import onnx_nodes, onnx_view
from reslab.convert.runtimes.pictures import made_pictures
from reslab.data.batches.loader import Statistics
from reslab.data.batches.views import View, centre_crop, view_of
from reslab.errors import RunError, UserError
from reslab.models.transform import InputTransform
from reslab.nets.cost import cost
from reslab.nets.graph import graph_of

TOLD = {"order", "batch_norm", "activation", "in_channels"}  # switches that change which nodes there are
SMALL = [case for case in VARIANTS if case[0].startswith("mlp") or (case[0].endswith("20") and TOLD & {*case[1]})]
LARGE = [case for case in VARIANTS if case not in SMALL]


def trained(name: str, **switches):
    """A model whose BN statistics and affine values are drawn: fresh ones would hide a wrong fold."""
    model = model_of(name, switches.pop("in_channels", 3), **switches)
    generator = torch.Generator().manual_seed(5)
    for key, value in model.network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2.0, generator=generator)
        elif value.dim() == 1 and value.is_floating_point():
            value.add_(torch.empty_like(value).uniform_(-0.2, 0.2, generator=generator))
    return model


WHOLE = ("squash", "letterbox")


def run(file, **inputs):
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(["logits"], inputs)[0]


def logits_of(model, inputs) -> np.ndarray:
    with torch.no_grad():
        return model.network.double()(torch.from_numpy(np.asarray(inputs)).double()).numpy()


@pytest.mark.parametrize(("name", "switches"), [*SMALL, *some(LARGE, 0, names=2)])
def test_logits_are_torchs(tmp_path, name, switches):
    """Against float64: the file rounds where torch's fp32 does."""
    model = trained(name, **switches)
    told: list[str] = []
    file = reslab.export(model, to="onnx", out=tmp_path / "net.onnx", tell=told.append)
    assert told[0].startswith("checked on 100 pictures (made, as no data are here): 100 answers equal torch's")
    spec = model.spec
    for batch in (1, 3):
        images = np.random.default_rng(batch).standard_normal(
            (batch, spec.in_channels, spec.image_size, spec.image_size), np.float32
        )
        found, wanted = run(file, images=images), logits_of(model, images)
        assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()
    rows = {row.kind for row in model.network.rows}
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    assert "BatchNormalization" not in kinds
    assert ("Mul" in kinds) == ("bn" in rows and spec.order == "pre")  # folded wherever a weight layer stands before


def test_parameters_are_those_of_the_plan():
    """Folding takes two numbers a channel of BN and gives one: the bias."""
    model = trained("resnet50", image_size=64)
    graph = graph_of(model.spec, {key: value.numpy() for key, value in model.network.state_dict().items()})
    norms = sum(row.c_out for row in model.network.rows if row.kind == "bn")
    assert graph.parameters == cost(model.spec).parameters - norms


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "view",
    [centre_crop(224), View(32, 32), View(224, 224), *(view_of(s, r, (9, 200, 81)) for s in (32, 224) for r in WHOLE)],
)
def test_pixels_are_pillows(view, interpolation):
    """Enlarged, shrunk, odd, long, and of the very size. Bicubic overshoots, which Pillow cuts off after each pass."""
    view = replace(view, interpolation=interpolation)
    transform = InputTransform(3, view, Statistics(np.zeros((1, 1, 3), np.float32), np.ones(1, np.float32)))
    nodes = onnx_nodes.Nodes()
    onnx_view.add_preprocessing(nodes, transform)
    value, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in nodes.constants.items()]
    first = value("pixels", onnx.TensorProto.UINT8, ["batch", "height", "width", 3])
    graph = onnx.helper.make_graph(nodes.nodes, "pixels", [first], [value("images", floats, None)], constants)
    opset = [onnx.helper.make_opsetid("", onnx_nodes.OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=onnx_nodes.IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sizes = [(300, 401), (1000, 777), (100, 61), (32, 32), (224, 224), (480, 223), (1200, 150), (40, 400), (3, 5)]
    for (height, width), picture in zip(sizes, made_pictures(224, 3, len(sizes)), strict=True):
        picture = picture.resize((width, height))
        (found,) = session.run(None, {"pixels": np.asarray(picture)[None]})
        gap = np.abs(found[0].transpose(1, 2, 0) - view(picture)).max()
        assert gap <= (1 if interpolation == "bilinear" else 6), (height, width)
        assert gap == 0 or picture.size != (view.size, view.size) or view.shorter != view.size


def test_what_the_file_says(tmp_path):
    model = replace(trained("cifar_resnet8", in_channels=1), classes=tuple(f"클래스 {k}" for k in range(10)))
    file = reslab.export(model, to="onnx", with_preprocessing=True, out=tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == list(model.classes)
    assert json.loads(said["model"]) == json.loads(json.dumps(model.to_dict()))
    told = json.loads(said["input"])
    assert (told["size"], told["shorter"], told["interpolation"], told["channels"]) == (32, 35, "bicubic", 1)
    assert told["mean"] == model.statistics()["mean"].tolist()
    assert json.loads(said["check"])["equal"] == 100
    assert session.get_inputs()[0].shape == ["batch", "height", "width", 1]
    grey = np.asarray(made_pictures(40, 1, 1)[0])
    wanted = logits_of(model, model.transform.inputs([model.transform.pixels(Image.fromarray(grey))]))
    assert run(file, pixels=grey[None, :, :, None]).argmax() == wanted.argmax()


def test_pictures_of_the_runs_own_data(tmp_path):
    record = reslab.train("cifar_resnet8", recipe="digits-smoke", iterations=3, device="cpu", out=tmp_path / "run")
    told: list[str] = []
    reslab.export(record.folder, to="onnx", out=tmp_path / "a.onnx", tell=told.append)
    assert "checked on 100 pictures (digits test): 100 answers equal" in told[0]


@pytest.mark.parametrize("with_preprocessing", [False, True])
def test_other_answers_are_not_published(tmp_path, monkeypatch, with_preprocessing):
    """A graph that computes something else; and one whose logits are near, but not near enough."""
    model = trained("cifar_resnet8")
    monkeypatch.setitem(onnx_nodes.ACTIVATIONS, "relu", "Softplus")
    with pytest.raises(RunError, match=r"--to onnx: onnxruntime gives other answers .*; nothing written"):
        reslab.export(model, to="onnx", out=tmp_path / "a.onnx", with_preprocessing=with_preprocessing)
    monkeypatch.undo()
    monkeypatch.setattr("reslab.nets.graph.EPSILON", 1e-2)
    with pytest.raises(RunError, match="nothing written"):
        reslab.export(model, to="onnx", out=tmp_path / "a.onnx", with_preprocessing=with_preprocessing)
    assert [*tmp_path.iterdir()] == []


def test_refused(tmp_path, monkeypatch):
    model = trained("cifar_resnet8")
    (tmp_path / "there.onnx").write_text("mine")
    for options, message in (
        ({"to": "onnx", "out": tmp_path / "there.onnx"}, "exists already"),
        ({"to": "onnx", "out": tmp_path / "a.pth"}, "--to onnx is written as .onnx"),
        ({"to": "onnx", "out": "/proc/a.onnx"}, "cannot be written"),
        ({"to": "onnx", "out": tmp_path / "a.onnx", "data": tmp_path / "none"}, "none"),
        ({"to": "timm", "with_preprocessing": True}, "--with-preprocessing: is for --to onnx"),
        ({"to": "torchvision", "data": "digits"}, "--data: is for --to onnx"),
    ):
        with pytest.raises(UserError) as caught:
            reslab.export(model, **options)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    for package in ("onnxruntime", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=rf"--to onnx: needs {package}; pip install 'reslab\[onnx\]'"):
            reslab.export(model, to="onnx", out=tmp_path / "a.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(tmp_path):
    """The limit of a file's size stands for it; one line, exit 2."""
    reslab.train("cifar_resnet8", recipe="digits-smoke", iterations=1, device="cpu", out=tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "export", "run", "--to", "onnx"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "--out cifar_resnet8.onnx: cannot be written" in line
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
