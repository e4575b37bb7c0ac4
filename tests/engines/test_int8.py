"""8 bits against the same rounding in fp32, step by step; the kernel against torch; weights against a slow twin."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import some
from engines.test_inference import NETS, off, ready

import reslab
from reslab.api.samples import calibration
from reslab.data import sources
from reslab.data.source import source_of
from reslab.engines import calibrated, host, int8, kept
from reslab.engines.calibrated import FEWEST, Int8Inference
from reslab.engines.inference import Inference
from reslab.engines.int8 import Int8, rounded
from reslab.engines.machine import scoring
from reslab.engines.quantise import DAMPING, LARGEST, Scale, _compensated, quantised, twin

needs_int8 = pytest.mark.skipif(bool(int8.unsuitable_reason()), reason=int8.unsuitable_reason())
RESULTS = Path(__file__).parents[2] / "results"
CIFAR10 = Path(os.environ.get("RESLAB_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10")


@needs_int8
@torch.no_grad()
@pytest.mark.parametrize(("model", "switches"), some(NETS, quick=9, names=2))
def test_as_rounded_step_by_step(model, switches):
    """The same logits as in fp32 with rounded weights and activations, up to levels that lie on the border of two."""
    net, images = ready(model, **switches)
    made = quantised(net.graph(), [images], compensate=False)
    wanted, exact = twin(made)(images), net(images)
    found = Int8(made, torch.float32).run(images)[1]
    assert off(found, wanted) < 0.6 * max(off(wanted, exact), 0.05)
    assert float((found - wanted).abs().amax(1).median() / wanted.std()) < 0.15 * max(off(wanted, exact), 0.05)
    assert off(Int8(made).run(images)[1], wanted) < 1.5 * max(off(wanted, exact), 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [Scale(0.013, 0), Scale(0.013, 97)])
def test_the_kernel_rounds_as_torch(dtype, scale):
    values = torch.cat([torch.linspace(-3, 5, 4_001), (torch.arange(-200, 300) + 0.5) * scale.step])
    x = values[: 7 * 640].to(dtype).reshape(7, 640, 1, 1).contiguous(memory_format=torch.channels_last)
    assert int8._kernels() is not None
    assert torch.equal(rounded(x, scale), rounded(x, scale, compiled=False))
    assert len(rounded(x, scale).unique()) > 200


def test_weights_round_so_that_errors_cancel():
    """Equal to the textbook's way, which inverts what is left of the Hessian after each column; better than nearest."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 3, generator=generator) @ torch.randn(3, 150, generator=generator)
    inputs += 0.3 * torch.randn(inputs.shape, generator=generator)
    weight = torch.randn(5, 150, generator=generator).double()
    scales, moment = weight.abs().amax(1) / LARGEST, (inputs.T @ inputs).double()
    found = _compensated(weight, scales, moment.clone())

    damped = moment + DAMPING * moment.diagonal().mean() * torch.eye(150, dtype=torch.float64)
    left, order, wanted = weight.clone(), damped.diagonal().argsort(descending=True).tolist(), torch.zeros_like(weight)
    for place, column in enumerate(order):
        free = order[place:]
        inverse = damped[free][:, free].inverse()
        wanted[:, column] = (left[:, column] / scales).round().clamp(-LARGEST, LARGEST)
        error = (left[:, column] - wanted[:, column] * scales) / inverse[0, 0]
        left[:, free] -= error[:, None] * inverse[0]
    assert torch.equal(found, wanted)

    def error_of(values: torch.Tensor) -> float:
        return float((inputs.double() @ (values * scales[:, None] - weight).T).norm())

    assert error_of(found) < 0.5 * error_of((weight / scales[:, None]).round())


@needs_int8
def test_a_cpu_without_units_computes_in_fp32(monkeypatch):
    monkeypatch.setattr(host, "INT8_UNITS", ("none",))
    net, images = ready("cifar_resnet8")
    found = Int8Inference(net, [], lambda images: torch.zeros(0))
    assert "no int8 units" in found.about
    assert torch.equal(found(images), Inference(net, "fp32")(images))


@needs_int8
def test_strange_images_are_computed_in_fp32():
    """Values far beyond those of calibration would be cut off at the ends of the ranges; NaN would become a number."""
    net, images = ready("cifar_resnet8")
    found = Int8Inference(net, [*np.zeros((FEWEST, 1))], lambda part: torch.randn(len(part), 3, 32, 32))
    images[0] *= 1e6
    images[1, 0, 0, 0] = torch.nan
    with torch.no_grad():
        logits = found(images)
    assert found.again >= 2
    wanted = Inference(net, "fp32")(images)
    assert torch.equal(logits[:2].isnan(), wanted[:2].isnan())
    assert torch.allclose(logits[0], wanted[0])


@needs_int8
def test_a_calibration_is_kept(monkeypatch, tmp_path):
    """The same bits without quantising again; not of other weights, images or a file that is damaged or not private."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[int] = []
    real = calibrated.quantised
    monkeypatch.setattr(calibrated, "quantised", lambda *words, **more: made.append(1) or real(*words, **more))
    net, images = ready("cifar_resnet8")
    training = torch.randn(FEWEST, 3, 32, 32, generator=torch.Generator().manual_seed(1)).numpy()

    def logits(net, training) -> torch.Tensor:
        inference = Int8Inference(net, [*training], lambda part: torch.from_numpy(np.stack(part)))
        return torch.cat([inference(images), torch.full((1, net.spec.classes), inference.bound)])

    with torch.no_grad():
        first = logits(net, training)
        assert torch.equal(logits(net, training), first)
        assert len(made) == 1
        (file,) = (tmp_path / "reslab").glob("int8-*.npz")
        whole = file.read_bytes()
        for damaged in (b"", whole[:-1], whole[:-9] + b"x" + whole[-8:]):
            file.write_bytes(damaged)
            assert torch.equal(logits(net, training), first)
            assert file.read_bytes() == whole
        file.chmod(0o666)
        assert torch.equal(logits(net, training), first)
        assert len(made) == 5
        logits(net, training[::-1].copy())
        net.get_parameter("head.fc.weight").mul_(1.5)
        assert not torch.equal(logits(net, training), first)
        assert len(made) == 7
        monkeypatch.setattr(kept, "MOST", 2)
        logits(net, training + 0.01)
    assert len([*(tmp_path / "reslab").glob("int8-*.npz")]) == 2


@needs_int8
@pytest.mark.slow
@pytest.mark.skipif(
    not CIFAR10.exists(), reason="no CIFAR-10 here: set RESLAB_CIFAR10 to a folder or archive that has it"
)
@pytest.mark.parametrize("run", ["gpu-whole/cifar_resnet20-s0", "cifar10-quarter/cifar_resnet56-*-s0-*"])
def test_every_answer_of_cifar10_is_that_of_fp32(run):
    (folder,) = RESULTS.glob(run)
    model, settings = reslab.load(folder), scoring("cpu", 0, "int8")
    source = f"cifar10:{CIFAR10}"
    fast = model.logits(settings, calibration(model, [source], "--calibration"))
    exact, test = Inference(model.network, "fp32"), sources.load(source_of(source), splits=("test",)).test
    equal = 0
    for start in range(0, len(test), 250):
        images = model.transform.inputs([*test.images[start : start + 250]])
        equal += int((fast(images).argmax(1) == exact(images).argmax(1)).sum())
    assert equal == fast.seen == 10_000
    assert 0 < fast.again <= 1_000
