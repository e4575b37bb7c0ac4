"""What a GPU computes, against the CPU, against itself and against the plain way. Skipped where there is no GPU."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import reslab
from reslab.data.batches.loader import statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.splits import Memory
from reslab.engines import memory
from reslab.engines.machine import ComputeOptions, Settings, prepare, settle
from reslab.errors import UserError
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import fast_cifar
from reslab.training.step import Step

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU"),
    pytest.mark.timeout(300),
]
SMALL = changed(Recipe(), {"batch": 32})
GHOSTS = changed(SMALL, {"bn_batch": 16})
CAFFE = changed(SMALL, {"momentum_form": "caffe"})
FAST = changed(fast_cifar(), {"batch": 32, "small_until": 5})


def images(count=256):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Memory(pixels, draw.integers(0, 10, count, dtype=np.int64))


def loader(recipe, device):
    split = images()
    return TrainLoader(
        split, statistics(split), seed=0, batch=recipe.batch, augment=recipe.augment, pad=recipe.pad,
        last_batch=recipe.last_batch, flip=recipe.flip, small=(recipe.small_size, recipe.small_until), device=device,
    )  # fmt: skip


def updates(
    engine, recipe=SMALL, count=12, precision="bf16", device="cuda", recompute=False, model="cifar_resnet8", frozen=()
):
    """A network after `count` updates at changing rates, and its losses."""
    settings = Settings(device, precision, "channels_last", engine, 1, recompute=recompute)
    prepare(settings)
    net = build(model, shortcut="A", seed=0)
    net.freeze(frozen)
    step = Step(net, recipe, settings)
    step.net.train()
    losses = []
    for number, batch in enumerate(loader(recipe, device).stream(0, count)):
        losses.append(step(batch.images, batch.labels, (0.02, 0.05)[number // 3 % 2])[0].clone())
    assert step.fallback is None
    return step.net, [float(loss) for loss in losses]


def digest(net):
    whole = hashlib.sha256()
    for value in net.state_dict().values():
        whole.update(value.cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def test_an_error_of_the_update_is_not_taken_for_a_failed_recording():
    """Labels of another length than the images fail in the first, direct update, and the graph stays in use."""
    settings = Settings("cuda", "fp32", "channels_last", "graph", 1)
    prepare(settings)
    step = Step(build("cifar_resnet8", shortcut="A", seed=0), SMALL, settings)
    with pytest.raises((RuntimeError, ValueError)):
        step(torch.zeros(8, 3, 32, 32, device="cuda"), torch.zeros(7, dtype=torch.int64, device="cuda"), 0.1)
    assert step.fallback is None


@pytest.mark.parametrize("recipe", [SMALL, GHOSTS, CAFFE, FAST], ids=["sgd", "ghost batches", "caffe", "fast"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_replayed_update_is_the_update_itself(recipe, precision):
    net, losses = updates("eager", recipe, precision=precision)
    replayed, again = updates("graph", recipe, precision=precision)
    assert again == losses
    assert digest(replayed) == digest(net)


@pytest.mark.parametrize("frozen", [("stem", "conv2_x"), ("conv3_x",)])
def test_a_replayed_update_of_a_net_with_frozen_parts_is_the_update_itself(frozen):
    net, losses = updates("eager", frozen=frozen)
    replayed, again = updates("graph", frozen=frozen)
    assert again == losses
    assert digest(replayed) == digest(net)


def test_a_replayed_compiled_update_is_the_compiled_update():
    net, losses = updates("compiled")
    replayed, again = updates("compiled-graph")
    assert (digest(replayed), again) == (digest(net), losses)


@pytest.mark.parametrize("engine", ["eager", "graph", "compiled"])
def test_fp32_is_what_the_cpu_computes_but_for_rounding(engine):
    """The first losses agree to rounding; TF32, torch's default for convolutions, would be 1e-3 away."""
    _, there = updates(engine, count=4, precision="fp32")
    _, here = updates("eager", count=4, precision="fp32", device="cpu")
    assert there[0] == pytest.approx(here[0], rel=2e-6)
    assert there == pytest.approx(here, rel=1e-4)


def test_recomputed_activations_change_nothing():
    net, losses = updates("eager")
    again, same = updates("eager", recompute=True)
    assert same == losses
    assert digest(again) == digest(net)


def test_batches_drawn_ahead_are_the_batches_one_by_one():
    there, here = loader(FAST, "cuda"), loader(FAST, "cpu")
    for number, batch in enumerate(there.stream(3, 140), 3):
        alone = here.at(number)
        assert np.array_equal(batch.indices, alone.indices)
        assert torch.equal(batch.labels.cpu(), alone.labels)
        assert torch.allclose(batch.images.cpu(), alone.images, atol=0 if number >= FAST.small_until else 1e-5)


@pytest.mark.parametrize("engine", ["eager", "graph", "compiled-graph"])
def test_a_stopped_run_ends_where_an_uninterrupted_one_ends(tmp_path, engine):
    """Each part in a process of its own, with code compiled anew."""
    straight = ran(tmp_path / "straight", engine)
    parted = ran(tmp_path / "parted", engine, after=10)
    assert newest(parted).name < newest(straight).name
    ran(parted, engine)
    assert newest(parted).name == newest(straight).name
    assert weights(parted) == weights(straight)


RUN = """
import sys, reslab
from reslab.data.sources import load
from reslab.runs.recipes import recipe
from reslab.training.job import Job
from reslab.training.loop import train
from reslab.models.inputs import fit
from reslab.nets.names import spec_of
from reslab.engines.machine import ComputeOptions
from pathlib import Path
out, engine, after = sys.argv[1:]
data = load("digits")
spec = fit(spec_of("cifar_resnet8"), data, {})
job = Job(spec, "digits", recipe("digits-smoke"), 0, Path(out), options=ComputeOptions("cuda", "bf16", engine))
asked = iter(range(10**9))
try:
    train(job, data, lambda event: None, lambda: int(after) > 0 and next(asked) >= int(after))
except reslab.errors.Interrupted:
    pass
"""


def ran(out, engine, after=0):
    done = subprocess.run([sys.executable, "-c", RUN, out, engine, str(after)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def newest(run):
    return max((run / "checkpoints").glob("step-*"))


def weights(run):
    return hashlib.sha256((newest(run) / "weights.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("model", "batch"), [("cifar_resnet20", 128), ("cifar_resnet110", 64), ("resnet50", 16)])
def test_memory_that_an_update_takes_is_within_what_was_predicted(model, batch, recompute):
    recipe, spec = changed(Recipe(), {"batch": batch}), spec_of(model)
    settings = Settings("cuda", "bf16", "channels_last", "eager", 1, recompute=recompute)
    prepare(settings)
    shape = (batch, 3, spec.image_size, spec.image_size)
    pixels = torch.randn(shape, device="cuda").contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.int64, device="cuda")

    def two_updates():
        step = Step(build(spec, seed=0), recipe, settings)
        step.net.train()
        for _ in range(2):
            step(pixels, labels, 0.01)

    two_updates()  # the libraries' own workspaces stay, and are no part of the prediction
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    two_updates()
    taken = torch.cuda.max_memory_allocated() - before
    assert taken <= memory.need(spec, recipe, "bf16", recompute).total
    assert taken >= 0.4 * memory.least(spec, recipe, "bf16", recompute)


def test_auto_records_a_short_run_and_compiles_a_long_one():
    spec = spec_of("cifar_resnet20")
    assert settle(spec, fast_cifar(), ComputeOptions()).engine == "graph"
    assert settle(spec, Recipe(), ComputeOptions()).engine == "compiled-graph"
    assert settle(spec_of("resnet50"), changed(Recipe(), {"iterations": 1_000}), ComputeOptions()).engine == "graph"
    assert settle(spec_of("resnet50"), Recipe(), ComputeOptions()).engine == "compiled-graph"
    assert settle(spec_of("vgg19"), fast_cifar(), ComputeOptions()).engine in ("eager", "compiled")  # it has dropout
    assert settle(spec, Recipe(), ComputeOptions(recompute="on")).engine == "eager"
    for wish in (ComputeOptions(engine="graph", recompute="on"), ComputeOptions(engine="fused")):
        with pytest.raises(UserError):
            settle(spec, Recipe(), wish)


def test_a_trained_net_answers_on_both_devices_alike(tmp_path):
    run = reslab.train("cifar_resnet8", "digits", recipe="digits-smoke", device="cuda", out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["device"] == "cuda"
    there, here = (reslab.evaluate(run.folder, device=device)[0] for device in ("cuda", "cpu"))
    assert there.scores.top1_wrong == here.scores.top1_wrong
    assert there.scores.loss == pytest.approx(here.scores.loss, rel=1e-4)
