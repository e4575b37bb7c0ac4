"""8-bit ONNX files: computed as written, by two runtimes; published only if nearly all answers are those of fp32."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from convert.test_onnx import trained
from onnx.reference import ReferenceEvaluator

import reslab
from reslab.convert.runtimes.onnx_file import file_of
from reslab.engines.quantise import int8_layers, quantised, twin
from reslab.errors import RunError, UserError

CASES = [
    ("cifar_resnet8", {"shortcut": "A"}),
    ("cifar_resnet11", {"block": "bottleneck", "shortcut": "B"}),
    ("cifar_resnet8", {"order": "pre", "activation": "tanh"}),
]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run on the digits that has learned something: its answers have margins."""
    out = tmp_path_factory.mktemp("learned") / "run"
    return reslab.train("cifar_resnet8", recipe="digits", iterations=60, device="cpu", threads=1, out=out).folder


@pytest.mark.parametrize(("name", "switches"), CASES)
def test_computed_as_written(name, switches):
    """onnx's own evaluator, which takes every rounding literally; our twin in torch; onnxruntime, which fuses."""
    model = trained(name, **switches)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    made = quantised(model.graph, [images])
    spread = float(model.network(images).detach().std())
    for sums in (False, True):
        file = file_of(model, False, made, sums)
        (literal,) = ReferenceEvaluator(file).run(None, {"images": images.numpy()})
        if not sums:
            assert np.abs(literal - twin(made, written=True)(images).numpy()).max() < 0.02 * spread
        (fused,) = onnxruntime.InferenceSession(
            file.SerializeToString(), providers=["CPUExecutionProvider"]
        ).run(None, {"images": images.numpy()})  # fmt: skip
        assert np.abs(fused - literal).max() < 0.1 * spread
        stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
        layers = [f"{step.name}.weight.bytes" for step in int8_layers(made.graph)]
        assert all(stored[layer].dtype == np.int8 for layer in layers)
        assert len(layers) == sum(row.kind == "conv" for row in model.network.rows) - 1


def test_published(learned, tmp_path):
    told: list[str] = []
    file = reslab.export(learned, to="onnx-int8", out=tmp_path / "a.onnx", min_agreement=95, tell=told.append)
    whole = reslab.export(learned, to="onnx", out=tmp_path / "b.onnx")
    assert "calibrated on 768 training images" in told[0]
    session, exact = (onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (file, whole))
    said = json.loads(session.get_modelmeta().custom_metadata_map["check"])
    assert (said["source"], said["labelled"], said["calibration"]) == ("digits test", said["pictures"], 768)
    data = reslab.load(learned)
    from reslab.data.sets.digits import digits

    test = digits().split("test")
    inputs = data.transform.inputs([*test.images]).numpy()
    ours, theirs = (one.run(None, {"images": inputs})[0].argmax(1) for one in (session, exact))
    assert said["pictures"] == len(test)
    assert abs(int((ours == theirs).sum()) - said["equal"]) <= 1  # batches of other sizes may sum in another order
    assert abs(float((ours != test.labels).mean()) * 100 - said["error"]) < 0.5
    assert 0.2 < file.stat().st_size / whole.stat().st_size < 0.6


def test_too_few_equal_answers_leave_nothing(learned, tmp_path):
    with pytest.raises(RunError, match="fewer than --min-agreement 100; nothing written"):
        reslab.export(learned, to="onnx-int8", out=tmp_path / "a.onnx", min_agreement=100)
    assert [*tmp_path.iterdir()] == []


def test_refused(learned, tmp_path):
    for source, options, message in (
        (trained("cifar_resnet8"), {}, "int8: needs training images to measure its ranges on; name data with --data"),
        (trained("mlp_resnet8"), {"data": "digits"}, "has no convolution for 8 bits; use --to onnx"),
        (
            learned,
            {"to": "onnx", "min_agreement": 98},
            "--min-agreement: is for --to onnx-int8 and page, not for --to onnx",
        ),
        (learned, {"min_agreement": 101}, "101"),
    ):
        with pytest.raises(UserError) as caught:
            reslab.export(source, **{"to": "onnx-int8", "out": tmp_path / "a.onnx", **options})
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []
