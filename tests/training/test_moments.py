"""Probing through training: it changes nothing, its figures hold against a slow twin, no line is lost or doubled."""

import hashlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import reslab
from reslab.data.batches.loader import statistics
from reslab.data.sets.digits import digits
from reslab.data.splits import Data
from reslab.engines.machine import ComputeOptions
from reslab.errors import Interrupted, RunError, UserError
from reslab.models import checkpoints
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import recipe
from reslab.show.terminal.console import Teller
from reslab.show.terminal.plain import PlainTeller
from reslab.store import jsonl
from reslab.training.job import Job
from reslab.training.loop import train

SHORT = changed(
    recipe("digits"),
    {
        "batch": 16,
        "iterations": 24,
        "drops": (12, 18),
        "eval_every": 8,
        "clean_every": 12,
        "log_every": 1,
        "save_every": 5,
        "probe_every": 10,
    },
)
SMALL = {"in_channels": 1, "image_size": 8}
RESIDUAL = spec_of("cifar_resnet8", widths=(4, 4, 8), **SMALL)
PLAIN = spec_of("cifar_plain8", widths=(4, 4, 8), **SMALL)
MLP = spec_of("mlp_resnet4", widths=(16,), **SMALL)
WITH_DROPOUT = replace(
    spec_of("vgg19", batch_norm=True, **SMALL), blocks=(("single",),) * 3, widths=(4, 4, 8), classes=10
)
BY_BLOCK = ("gradients", "activations", "residuals")
BY_LAYER = ("layer_gradients", "layer_activations", "weight_gradients", "responses")


@pytest.fixture(scope="module")
def data() -> Data:
    return digits()


def job(out: Path, spec: Spec = RESIDUAL, base: Recipe = SHORT, **fields: object) -> Job:
    return Job(spec, "digits", changed(base, fields), 3, out, ComputeOptions("cpu", "fp32", "eager", 1))


def quiet(event: dict) -> None:
    pass


def of(out: Path, *kinds: str) -> list[dict]:
    return [m for m in jsonl.read(out / "metrics.jsonl").records if m["kind"] in kinds]


def figures(out: Path, *without: str) -> list[dict]:
    """Every line but the marks of resuming, without the clock."""
    lines = [m for m in jsonl.read(out / "metrics.jsonl").records if m["kind"] not in ("resume", *without)]
    return [{k: v for k, v in m.items() if k != "clock"} for m in lines]


def hashes(out: Path) -> tuple[str, ...]:
    folder = checkpoints.newest(out).folder
    return tuple(
        hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in (checkpoints.WEIGHTS, checkpoints.STATE)
    )


class Asked:
    """Answers no `answers` times, then yes for good."""

    def __init__(self, answers: float = math.inf) -> None:
        self.answers, self.count = answers, 0

    def __call__(self) -> bool:
        self.count += 1
        return self.count > self.answers


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    train(job(out), data, quiet)
    return out


# -- it changes nothing


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        (RESIDUAL, {}),
        (PLAIN, {}),
        (replace(RESIDUAL, batch_norm=False), {"lr": 0.01}),
        (RESIDUAL, {"bn_batch": 8, "bn_statistics": "precise", "momentum_form": "caffe"}),
        (MLP, {"lr": 0.01}),
        (WITH_DROPOUT, {}),
    ],
)
def test_training_is_bit_for_bit_the_same_with_and_without(tmp_path, data, spec, fields):
    without, often = job(tmp_path / "a", spec, probe_every=0, **fields), job(tmp_path / "b", spec, **fields)
    train(without, data, quiet)
    train(often, data, quiet)
    assert hashes(without.out) == hashes(often.out)
    assert figures(without.out) == figures(often.out, "probe")
    assert of(without.out, "probe") == []
    assert [m["iteration"] for m in of(often.out, "probe")] == [0, 10, 20, 24]


# -- what it says


@pytest.mark.parametrize(
    ("spec", "blocks", "layers", "weights"),
    [
        (RESIDUAL, 3, 7, 8),
        (PLAIN, 3, 7, 8),
        (MLP, 1, 3, 4),
        (WITH_DROPOUT, 3, 3, 6),
    ],
)
def test_its_keys_are_blocks_and_layers_in_network_order(tmp_path, data, spec, blocks, layers, weights):
    wanted = job(tmp_path / "run", spec, iterations=1, drops=())
    train(wanted, data, quiet)
    net = build(spec)
    order = list(dict.fromkeys(r.block for r in net.rows if r.block))
    for line in of(wanted.out, "probe"):
        assert line["n"] == line["gradient_batch"] == 128
        assert list(line["gradients"]) == list(line["activations"]) == order
        assert list(line["residuals"]) == (order if spec.residual else [])
        for key in ("layer_gradients", "layer_activations", "weight_gradients"):
            assert list(line[key]) == [r.name for r in net.rows if r.kind in ("conv", "linear")]
        assert (len(order), len(line["responses"]), len(line["weight_gradients"])) == (blocks, layers, weights)
        for value in (line["loss"], *(v for k in BY_BLOCK + BY_LAYER for v in line[k].values())):
            assert float(f"{value:.6g}") == value > 0


def test_loss_and_gradients_are_those_of_a_slow_twin(tmp_path, data):
    """The first 128 samples in index order, not augmented; BN by their own statistics; autograd's .grad of each."""
    wanted = job(tmp_path / "run", save_every=1, iterations=10, drops=())
    train(wanted, data, quiet)
    images = (data.train.images[:128].astype(np.float32) - statistics(data.train).mean) / statistics(data.train).scale
    x, labels = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(data.train.labels[:128])
    nets = {0: build(RESIDUAL, seed=3), 10: reslab.load(wanted.out).network}
    for line in of(wanted.out, "probe"):
        net = nets.pop(line["iteration"]).train()
        names = [r.name for r in net.rows if r.kind == "act" and r.path == "after"]
        logits, seen = net(x, names=names)
        for value in seen.values():
            value.retain_grad()
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        assert line["loss"] == pytest.approx(loss.item(), rel=1e-5)
        rms = [float(seen[n].grad.square().mean().sqrt()) for n in names]
        assert list(line["gradients"].values()) == pytest.approx(rms, rel=1e-4)
        norms = [float(p.grad.norm()) for n, p in net.named_parameters() if p.dim() > 1]
        assert list(line["weight_gradients"].values()) == pytest.approx(norms, rel=1e-4)
    assert not nets


@pytest.mark.parametrize("spec", [RESIDUAL, PLAIN, MLP])
def test_it_says_what_the_probe_of_the_checkpoint_says(tmp_path, data, spec):
    wanted = job(tmp_path / "run", spec, iterations=10, drops=())
    train(wanted, data, quiet)
    first, last = of(wanted.out, "probe")
    asked = {"data": "digits", "samples": 128, "only": ("responses", "gradients", "residuals"), "threads": 1}
    for line, found in ((first, reslab.probe(spec, seed=3, **asked)), (last, reslab.probe(wanted.out, **asked))):
        told = {
            "loss": found.loss,
            "gradients": {g.block: g.rms for g in found.gradients},
            "activations": {a.block: a.rms for a in found.activations},
            "layer_gradients": {x.layer: x.gradient for x in found.layers},
            "layer_activations": {x.layer: x.activation for x in found.layers},
            "weight_gradients": {w.layer: w.norm for w in found.weight_gradients},
            "residuals": {r.block: r.ratio for r in found.residuals},
            "responses": {r.layer: r.std for r in found.responses},
        }
        for key, value in told.items():
            assert line[key] == pytest.approx(value, rel=1e-5), key
    assert first["responses"] != last["responses"]


def test_where_the_runs_batch_is_small_and_the_net_large_it_goes_in_parts(tmp_path, data, monkeypatch):
    """The run's own batch fits; a larger one might not, so the probe's parts are bounded by what they hold."""
    monkeypatch.setattr("reslab.measure.probe._FLOATS", 60 * sum(r.c_out * r.size_out**2 for r in build(RESIDUAL).rows))
    for batch, parts in ((16, 60), (128, 128)):
        wanted = job(tmp_path / str(batch), iterations=1, drops=(), batch=batch)
        train(wanted, data, quiet)
        assert [(m["n"], m["gradient_batch"]) for m in of(wanted.out, "probe")] == [(128, parts)] * 2


def test_numbers_that_are_not_finite_become_null(tmp_path, data):
    wanted = job(
        tmp_path / "run", replace(RESIDUAL, batch_norm=False), lr=1e30, log_every=100, save_every=100, probe_every=2
    )
    with pytest.raises(RunError, match="not finite"):
        train(wanted, data, quiet)

    def no_constant(text: str) -> float:
        raise AssertionError(f"{text} is no JSON")

    raw = (wanted.out / "metrics.jsonl").read_text().splitlines()
    probes = [m for line in raw if (m := json.loads(line, parse_constant=no_constant))["kind"] == "probe"]
    assert probes[0]["loss"] > 0
    assert probes[-1]["loss"] is None
    assert {*probes[-1]["gradients"].values()} == {*probes[-1]["residuals"].values()} == {None}


# -- stopped and gone on


def test_stopped_at_any_question_it_ends_with_the_same_lines(tmp_path, data):
    """Every question that the loop asks is answered yes once: between updates and while measuring."""
    often = {"iterations": 6, "drops": (), "eval_every": 3, "clean_every": 6, "save_every": 4, "probe_every": 2}
    asked, whole = Asked(), job(tmp_path / "whole", **often)
    train(whole, data, quiet, asked)
    assert [m["iteration"] for m in of(whole.out, "probe")] == [0, 2, 4, 6]
    assert asked.count == 7 + 5  # before each update, at the end, and between the batches of three evaluations
    resumed, unmeasured = set(), 0
    for answers in range(asked.count):
        wanted = job(tmp_path / f"after-{answers}", **often)
        with pytest.raises(Interrupted):
            train(wanted, data, quiet, Asked(answers))
        found = checkpoints.newest(wanted.out)
        unmeasured += found is not None and not found.facts["measured"]
        train(wanted, data, quiet)
        assert figures(wanted.out) == figures(whole.out), answers
        assert hashes(wanted.out) == hashes(whole.out), answers
        resumed |= {m["iteration"] for m in of(wanted.out, "resume")}
    assert resumed == {1, 2, 3, 4, 5, 6}
    assert unmeasured >= 5  # the stops before a measurement was whole


@pytest.mark.parametrize("at", [0, 10, 20, 24])
def test_after_a_crash_a_probe_is_not_doubled(tmp_path, data, whole, at):
    """The line is written and told; the checkpoint of the same iteration is not made any more."""

    def crash(event: dict) -> None:
        if event["kind"] == "probe" and event["iteration"] == at:
            raise RuntimeError("the power went")

    wanted = job(tmp_path / "run")
    with pytest.raises(RuntimeError, match="power"):
        train(wanted, data, crash)
    assert of(wanted.out, "probe")[-1]["iteration"] == at
    train(wanted, data, quiet)
    assert figures(wanted.out) == figures(whole)
    assert hashes(wanted.out) == hashes(whole)


def test_what_was_measured_after_a_resume_is_not_doubled_by_a_crash(tmp_path, data):
    """Saved at 10 unmeasured, resumed, measured; the power goes before the next save: 10 is measured anew, and once."""
    whole, wanted = (job(tmp_path / name, iterations=20, drops=(), eval_every=10) for name in ("whole", "parted"))
    train(whole, data, quiet)
    reached = False

    def tell(event: dict) -> None:
        nonlocal reached
        reached |= event["kind"] == "train" and event["iteration"] == 10

    def crash(event: dict) -> None:
        if event["kind"] == "train":
            raise RuntimeError("the power went")

    with pytest.raises(Interrupted):
        train(wanted, data, tell, lambda: reached)
    assert not checkpoints.newest(wanted.out).facts["measured"]
    with pytest.raises(RuntimeError, match="power"):
        train(wanted, data, crash)
    assert [m["iteration"] for m in of(wanted.out, "probe")] == [0, 10]
    train(wanted, data, quiet)
    assert figures(wanted.out) == figures(whole.out)
    assert hashes(wanted.out) == hashes(whole.out)


# -- told, and refused


def test_it_is_told_and_tellers_pass_it_over(tmp_path, data):
    events: list[dict] = []
    train(job(tmp_path / "run"), data, events.append)
    assert [e for e in events if e["kind"] == "probe"] == of(tmp_path / "run", "probe")
    for make in (lambda s: PlainTeller(s, clock=lambda: 0.0), lambda s: Teller(s, terminal=False)):
        shown = []
        for heard in (events, [e for e in events if e["kind"] != "probe"]):
            out = io.StringIO()
            with make(out) as tell:
                for event in heard:
                    tell(event)
            shown.append(out.getvalue())
        assert shown[0] == shown[1] != ""


def test_what_cannot_be_probed_is_refused_before_the_first_update(tmp_path, data):
    with pytest.raises(UserError, match="probe_every = -1 must not be negative"):
        changed(SHORT, {"probe_every": -1})
    one = replace(data, train=data.train.subset(np.arange(1)))
    wanted = job(tmp_path / "run")
    with pytest.raises(UserError, match="1 training sample; a probe needs at least 2"):
        train(wanted, one, quiet)
    assert of(wanted.out, "train") == []
    few = replace(data, train=data.train.subset(np.arange(20)))
    wanted = job(tmp_path / "few", iterations=1, drops=())
    train(wanted, few, quiet)
    assert [m["n"] for m in of(wanted.out, "probe")] == [20, 20]
