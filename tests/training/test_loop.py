"""The loop in this process, on digits with a tiny net: what it writes, how it goes on, when it refuses."""

import hashlib
import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reslab
from reslab.data.batches.loader import evaluation_batches, statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.sets.digits import digits
from reslab.data.splits import Data, Memory, hold_out
from reslab.engines.machine import ComputeOptions, Settings
from reslab.errors import Interrupted, RunError, UserError
from reslab.models import checkpoints
from reslab.nets.model import build, layer_seed
from reslab.nets.names import spec_of
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import recipe
from reslab.runs.runlog import Record
from reslab.store import jsonl
from reslab.store.lock import locked
from reslab.training.job import Job
from reslab.training.loop import train
from reslab.training.step import Step

EAGER = Settings("cpu", "fp32", "channels_last", "eager", 1)
TINY = spec_of("cifar_resnet8", widths=(4, 4, 8), in_channels=1, image_size=8)
# 24 updates; every kind of moment falls on iterations of its own and on common ones
SHORT = changed(
    recipe("digits"),
    {
        "batch": 16,
        "iterations": 24,
        "drops": (12, 18),
        "eval_every": 8,
        "clean_every": 6,
        "log_every": 3,
        "save_every": 7,
    },
)


@pytest.fixture(scope="module")
def data() -> Data:
    return digits()


def job(out: Path, spec: Spec = TINY, base: Recipe = SHORT, precision: str = "fp32", **fields: object) -> Job:
    return Job(spec, "digits", changed(base, fields), 3, out, ComputeOptions("cpu", precision, "eager", 1))


def lines(out: Path) -> list[dict]:
    return list(jsonl.read(out / "metrics.jsonl", checked=True).records)


def of(out: Path, *kinds: str) -> list[dict]:
    return [m for m in lines(out) if m["kind"] in kinds]


def figures(out: Path) -> list[dict]:
    """Every measurement but the clock and the marks of resuming; a float equals its very self alone."""
    return [{k: v for k, v in m.items() if k != "clock"} for m in lines(out) if m["kind"] != "resume"]


def hashes(out: Path, iteration: int) -> tuple[str, str]:
    folder = checkpoints.folder_of(out, iteration)
    files = [(folder / name).read_bytes() for name in (checkpoints.WEIGHTS, checkpoints.STATE)]
    return hashlib.sha256(files[0]).hexdigest(), hashlib.sha256(files[1]).hexdigest()


def saved(out: Path) -> list[int]:
    return [int(f.name[5:]) for f in sorted((out / "checkpoints").glob("step-*"))]


class At:
    """A listener that keeps every event and, once, does something at the first event that `when` picks."""

    def __init__(self, when, do=lambda: os.kill(os.getpid(), signal.SIGTERM)) -> None:
        self.when, self.do, self.events = when, do, []

    def __call__(self, event: dict) -> None:
        self.events.append(event)
        if self.when is not None and self.when(event):
            self.when = None
            self.do()


def quiet(event: dict) -> None:
    pass


def crash() -> None:
    raise RuntimeError("the power went")


def is_line(kind: str, iteration: int):
    return lambda e: e["kind"] == kind and e.get("iteration") == iteration


class Twin:
    """The run written out slowly: the same batches one by one, the same step, sums in plain Python."""

    def __init__(self, wanted: Job, data: Data) -> None:
        r = self.recipe = wanted.recipe
        self.seed, self.data = wanted.seed, data
        self.stats = statistics(data.split("train"), r.centre, r.scale)
        self.loader = TrainLoader(
            data.split("train"), self.stats, seed=wanted.seed, batch=r.batch, augment=r.augment, pad=r.pad,
            last_batch=r.last_batch,
        )  # fmt: skip
        self.net = build(wanted.spec, seed=wanted.seed)
        self.step = Step(self.net, r, EAGER)
        self.dropout = bool(wanted.spec.dropout)

    def update(self, k: int, lr: float) -> tuple[float, int, int]:
        """Update number `k` from 0: (mean loss, wrong, samples)."""
        batch = self.loader.at(k)
        if self.dropout:
            torch.manual_seed(layer_seed(self.seed, f"iteration {k}"))
        self.net.train()
        loss, wrong = self.step(batch.images, batch.labels, lr)
        return loss.item(), int(wrong), len(batch.labels)

    def rate(self, k: int) -> float:
        return self.recipe.lr * self.recipe.drop_factor ** len([d for d in self.recipe.drops if d <= k])

    def errors(self, split: str) -> tuple[int, int, float]:
        """(samples, wrong, summed loss) of a split in evaluation mode, all images at once."""
        self.net.eval()
        (batch,) = evaluation_batches(self.data.split(split), self.stats, 10_000)
        with torch.no_grad():
            logits = self.net(batch.images).double()
        loss = F.cross_entropy(logits, batch.labels, reduction="sum").item()
        return len(batch.labels), int((logits.argmax(1) != batch.labels).sum()), loss


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data) -> tuple[Path, list[dict], Record]:
    """An uninterrupted run: its folder, the events it told, its record."""
    out, listener = tmp_path_factory.mktemp("whole") / "run", At(None)
    return out, listener.events, train(job(out), data, listener)


# -- what it writes


def test_metrics_are_whole_lines_at_the_recipes_moments(whole):
    out, _, record = whole
    raw = (out / "metrics.jsonl").read_bytes()
    assert raw.endswith(b"\n")
    assert tuple(lines(out)) == record.metrics
    assert len(raw.splitlines()) == len(record.metrics)
    assert [m["iteration"] for m in of(out, "train")] == [3, 6, 9, 12, 15, 18, 21, 24]
    measured = Counter((m["split"], m["iteration"]) for m in of(out, "eval"))
    test, clean = [8, 16, 24], [6, 12, 18, 24]
    assert measured == Counter([*(("test", i) for i in test), *(("train", i) for i in clean)])  # once each, 24 too
    order = [m["iteration"] for m in record.metrics]
    assert order == sorted(order)
    assert [m["kind"] for m in record.metrics].count("end") == 1
    assert record.metrics[-1]["kind"] == "end"
    assert record.metrics[-1]["iteration"] == 24
    assert record.finished


def test_events_and_metrics_tell_the_same(whole):
    out, events, _ = whole
    told = [e for e in events if e["kind"] == "eval"]
    assert told == of(out, "eval")
    for event, line in zip([e for e in events if e["kind"] == "train"], of(out, "train"), strict=True):
        assert {k: event[k] for k in ("iteration", "loss", "error", "lr")} == {
            k: line[k] for k in ("iteration", "loss", "error", "lr")
        }
    assert [e["iteration"] for e in events if e["kind"] == "checkpoint"] == [7, 14, 21, 24]
    assert saved(out) == [21, 24]


@pytest.mark.parametrize("last_batch", ["fill", "keep", "drop"])
def test_running_figures_are_those_of_a_slow_twin(tmp_path, data, last_batch):
    """200 of 1,297 images: the seventh batch holds 200, 97 or is the next epoch's first."""
    wanted = job(tmp_path / "run", batch=200, iterations=9, drops=(4,), log_every=2, last_batch=last_batch)
    train(wanted, data, quiet)
    twin = Twin(wanted, data)
    expected, counts = [], []
    total = wrong_total = seen = 0.0
    for k in range(9):
        loss, wrong, count = twin.update(k, twin.rate(k))
        total, wrong_total, seen = total + loss * count, wrong_total + wrong, seen + count
        counts.append(count)
        if k % 2 == 1 or k == 8:
            expected.append((k + 1, total / seen, 100.0 * wrong_total / seen, twin.rate(k)))
            total = wrong_total = seen = 0.0
    assert counts[6] == {"fill": 200, "keep": 97, "drop": 200}[last_batch]
    assert [(m["iteration"], m["loss"], m["error"], m["lr"]) for m in of(wanted.out, "train")] == expected
    weights = checkpoints.newest(wanted.out).weights
    for name, value in twin.net.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize(("last_batch", "per_epoch"), [("keep", 7), ("drop", 6)])
def test_the_epoch_told_is_the_epoch_reached(tmp_path, data, last_batch, per_epoch):
    wanted = job(
        tmp_path / "run", batch=200, iterations=2 * per_epoch, drops=(), log_every=per_epoch, last_batch=last_batch
    )
    train(wanted, data, quiet)
    assert [m["epoch"] for m in of(wanted.out, "train")] == [1, 2]


def test_measurements_are_those_of_a_slow_twin(whole, data):
    out, _, _ = whole
    twin, expected = Twin(job(out), data), {}
    for k in range(24):
        twin.update(k, twin.rate(k))
        expected |= {(s, k + 1): twin.errors(s) for s in ("test", "train")}
    for m in of(out, "eval"):
        n, wrong, loss = expected[m["split"], m["iteration"]]
        assert m["n"] == n
        assert m["top1_error"] == 100.0 * wrong / n
        assert m["loss"] == pytest.approx(loss / n, rel=1e-6)
    assert len({m["top1_error"] for m in of(out, "eval")}) > 3  # the figures move, so the comparison bites


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_last_measurement_is_what_evaluate_says(whole, split):
    out, _, record = whole
    (found,) = reslab.evaluate(out, split=split, threads=1)
    last = record.final(split)
    assert (found.scores.n, found.scores.top1_error, found.scores.top5_error) == (
        last["n"], last["top1_error"], last["top5_error"],
    )  # fmt: skip
    assert found.scores.loss == pytest.approx(last["loss"], rel=1e-6)
    assert found.iteration == 24


def test_run_json_says_who_the_run_is(whole, data):
    _, _, record = whole
    assert Spec.from_dict(record.run["spec"]) == TINY
    assert Recipe.from_dict(record.run["recipe"]) == SHORT
    assert record.run["data"]["sizes"] == {"train": 1297, "test": 500}
    assert record.run["data"]["fingerprint"] == data.fingerprint
    assert record.run["settings"]["precision"] == "fp32"
    assert record.run["environment"]["torch"] == torch.__version__


# -- the error-conditioned phase

PHASE = changed(
    SHORT,
    {
        "warmup_from_depth": 8,
        "warmup_window": 4,
        "warmup_error": 84.0,
        "warmup_alarm": 0,
        "log_every": 1,
        "iterations": 32,
    },
)


@pytest.fixture(scope="module")
def phase(tmp_path_factory, data) -> tuple[Path, int]:
    """A run whose first phase ends on its way, and the iteration at which it does."""
    out = tmp_path_factory.mktemp("phase") / "run"
    train(job(out, base=PHASE), data, quiet)
    (end,) = of(out, "warmup_end")
    return out, end["iteration"]


def test_the_phase_lasts_until_the_windows_error_is_below_the_threshold(phase, data):
    out, end = phase
    twin, wrong, rates, window_errors = Twin(job(out, base=PHASE), data), 0, [], []
    warming = True
    for k in range(32):
        rates.append(0.01 if warming else twin.rate(k))
        wrong += twin.update(k, rates[-1])[1]
        if warming and (k + 1) % 4 == 0:
            window_errors.append(100.0 * wrong / 64)
            warming, wrong = window_errors[-1] >= 84.0, 0
    assert 4 < end < 28, "the threshold no longer lies on the way: choose another"
    assert end == 4 * len(window_errors)
    assert of(out, "warmup_end")[0]["error"] == window_errors[-1] < 84.0
    assert all(e >= 84.0 for e in window_errors[:-1])
    assert [m["lr"] for m in of(out, "train")] == rates


def test_a_shallower_net_has_no_such_phase(tmp_path, data):
    wanted = job(tmp_path / "run", base=PHASE, warmup_from_depth=9, iterations=4)
    train(wanted, data, quiet)
    assert {m["lr"] for m in of(wanted.out, "train")} == {0.1}


@pytest.mark.parametrize("moment", ["inside the first window", "at a window's end", "inside the last window", "after"])
def test_stopped_in_the_phase_it_goes_on_bit_for_bit(phase, tmp_path, data, moment):
    out, end = phase
    at = {"inside the first window": 2, "at a window's end": 4, "inside the last window": end - 1, "after": end + 1}
    wanted = job(tmp_path / "run", base=PHASE)
    with pytest.raises(Interrupted, match=f"iteration {at[moment]}"):
        train(wanted, data, At(is_line("train", at[moment])))
    assert saved(wanted.out)[-1] == at[moment]
    train(wanted, data, quiet)
    assert hashes(wanted.out, 32) == hashes(out, 32)
    assert figures(wanted.out) == figures(out)


@pytest.mark.parametrize(("window", "alarm", "told"), [(4, 8, [8, 16, 24]), (5, 8, [10, 20]), (4, 0, [])])
def test_a_phase_that_never_ends_is_told_again_and_again(tmp_path, data, window, alarm, told):
    wanted = job(
        tmp_path / "run", base=PHASE, iterations=24, warmup_error=0.0, warmup_window=window, warmup_alarm=alarm
    )
    listener = At(None)
    train(wanted, data, listener)
    warnings = of(wanted.out, "warning")
    assert [m["iteration"] for m in warnings] == told
    assert all("not ended" in m["text"] and "0.01" in m["text"] for m in warnings)
    assert [e["text"] for e in listener.events if e["kind"] == "warning"] == [m["text"] for m in warnings]
    assert not of(wanted.out, "warmup_end")
    assert {m["lr"] for m in of(wanted.out, "train")} == {0.01}  # beyond the drops at 12 and 18 too


# -- stopped and gone on


# 9: nothing is due. 7: a checkpoint. 8: a test measurement follows. 12: a clean pass. 24: the end.
@pytest.mark.parametrize("at", [1, 7, 8, 9, 12, 24])
def test_stopped_at_a_step_it_goes_on_bit_for_bit(tmp_path, data, whole_of_every_step, at):
    wanted = job(tmp_path / "run", log_every=1)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(wanted, data, At(is_line("train", at)))
    assert signal.getsignal(signal.SIGTERM) is handler
    assert saved(wanted.out)[-1] == at
    record = train(wanted, data, quiet)
    assert record.finished
    assert hashes(wanted.out, 24) == hashes(whole_of_every_step, 24)
    assert figures(wanted.out) == figures(whole_of_every_step)
    assert [m["iteration"] for m in of(wanted.out, "resume")] == [at]


@pytest.fixture(scope="module")
def whole_of_every_step(tmp_path_factory, data) -> Path:
    out = tmp_path_factory.mktemp("steps") / "run"
    train(job(out, log_every=1), data, quiet)
    return out


@pytest.mark.parametrize(("split", "at"), [("test", 8), ("train", 6)])
def test_stopped_while_measuring_loses_and_repeats_nothing(whole, tmp_path, data, split, at):
    out, _, _ = whole
    wanted = job(tmp_path / "run")
    with pytest.raises(Interrupted):
        train(wanted, data, At(lambda e: e["kind"] == "eval" and (e["split"], e["iteration"]) == (split, at)))
    assert of(wanted.out, "eval") == [m for m in of(out, "eval") if m["iteration"] <= at]
    train(wanted, data, quiet)
    assert figures(wanted.out) == figures(out)
    assert hashes(wanted.out, 24) == hashes(out, 24)


@pytest.mark.parametrize("at", [5, 8, 20])
def test_after_a_crash_lines_past_the_checkpoint_are_dropped(tmp_path, data, whole_of_every_step, at):
    wanted = job(tmp_path / "run", log_every=1)
    with pytest.raises(RuntimeError, match="power"):
        train(wanted, data, At(is_line("train", at), crash))
    assert lines(wanted.out)[-1]["iteration"] == at > max(saved(wanted.out), default=0)
    train(wanted, data, quiet)
    assert figures(wanted.out) == figures(whole_of_every_step)
    assert hashes(wanted.out, 24) == hashes(whole_of_every_step, 24)


def test_a_last_line_torn_at_any_byte_is_written_anew(tmp_path, data):
    wanted = job(tmp_path / "run", iterations=2, drops=(), log_every=1)
    train(wanted, data, quiet)
    expected, before = figures(wanted.out), hashes(wanted.out, 2)
    path = wanted.out / "metrics.jsonl"
    raw = path.read_bytes()
    begin = raw[:-1].rindex(b"\n") + 1
    for cut in range(begin, len(raw)):
        path.write_bytes(raw[:cut])
        assert train(wanted, data, quiet).finished
        assert figures(wanted.out) == expected, cut
        assert path.read_bytes().endswith(b"\n")
    assert hashes(wanted.out, 2) == before


def test_a_finished_run_is_left_alone(whole, data):
    out, _, record = whole
    before = {f: f.read_bytes() for f in sorted(out.rglob("*")) if f.is_file()}
    listener = At(None)
    assert train(job(out), data, listener).metrics == record.metrics
    assert [e["kind"] for e in listener.events] == ["end"]
    assert {f: f.read_bytes() for f in sorted(out.rglob("*")) if f.is_file()} == before


def test_dropout_goes_on_bit_for_bit(tmp_path, data):
    small = replace(
        spec_of("vgg19", in_channels=1, classes=10, batch_norm=True),
        blocks=(("single",),) * 3, widths=(4, 4, 8), image_size=8,
    )  # fmt: skip
    assert small.dropout == 0.5
    out, wanted = job(tmp_path / "whole", small, log_every=1), job(tmp_path / "run", small, log_every=1)
    train(out, data, quiet)
    with pytest.raises(Interrupted):
        train(wanted, data, At(is_line("train", 10)))
    torch.manual_seed(12345)  # what else the process has drawn must not matter
    train(wanted, data, quiet)
    assert hashes(wanted.out, 24) == hashes(out.out, 24)
    twin = Twin(out, data)
    losses = [twin.update(k, twin.rate(k))[0] for k in range(24)]
    assert [m["loss"] for m in of(out.out, "train")] == losses
    without = job(tmp_path / "without", replace(small, dropout=0.0), log_every=1)
    train(without, data, quiet)
    assert [m["loss"] for m in of(without.out, "train")] != losses


def test_a_run_stays_as_it_began(tmp_path, data):
    """Another seed, net, recipe, data set or precision in the same folder is refused before anything is written."""
    wanted = job(tmp_path / "run", iterations=3, drops=())
    with pytest.raises(Interrupted):
        train(wanted, data, At(is_line("train", 3)))
    before = (wanted.out / "metrics.jsonl").read_bytes()
    other_data = replace(data, fingerprint="0" * 64)
    for other, on, word in (
        (replace(wanted, seed=4), data, "seed is 4 here and 3 there"),
        (replace(wanted, spec=replace(TINY, shortcut="B")), data, "shortcut is 'B' here and 'A' there"),
        (replace(wanted, recipe=changed(wanted.recipe, {"lr": 0.2})), data, "lr is 0.2 here and 0.1 there"),
        (wanted, other_data, "fingerprint"),
        (job(wanted.out, iterations=3, drops=(), precision="bf16"), data, "began with fp32"),
    ):
        with pytest.raises(UserError, match=word):
            train(other, on, quiet)
    with locked(wanted.out), pytest.raises(UserError, match="in use by process"):
        train(wanted, data, quiet)
    assert (wanted.out / "metrics.jsonl").read_bytes() == before
    assert train(wanted, data, quiet).finished


# -- splits


def test_held_out_images_are_measured_and_never_trained_on(tmp_path, data):
    cut = hold_out(data, 97)
    wanted = job(tmp_path / "run", holdout=97)
    record = train(wanted, cut, quiet)
    sizes = {m["split"]: m["n"] for m in of(wanted.out, "eval")}
    assert sizes == {"val": 97, "test": 500, "train": 1200} == record.run["data"]["sizes"]
    (found,) = reslab.evaluate(wanted.out, split="val", threads=1)
    assert (found.scores.n, found.scores.top1_error) == (97, record.final("val")["top1_error"])

    def content(split: Memory) -> Counter:
        return Counter((i.tobytes(), int(y)) for i, y in zip(split.images, split.labels, strict=True))

    assert content(cut.train) + content(cut.val) == content(data.train)
    assert max(content(data.train).values()) == 1  # no image twice, so that equal sums mean disjoint sets
    twin = Twin(wanted, cut)
    for k in range(24):
        twin.update(k, twin.rate(k))
    weights = checkpoints.newest(wanted.out).weights
    assert all(torch.equal(v, weights[n]) for n, v in twin.net.state_dict().items())


def test_val_and_test_images_cannot_change_the_weights(tmp_path, data):
    cut = hold_out(data, 97)
    noise = np.random.default_rng(0)

    def spoilt(split: Memory) -> Memory:
        return Memory(noise.integers(0, 256, split.images.shape, np.uint8), split.labels[::-1].copy())

    first, second = job(tmp_path / "a", holdout=97), job(tmp_path / "b", holdout=97)
    train(first, cut, quiet)
    train(second, replace(cut, val=spoilt(cut.val), test=spoilt(cut.test)), quiet)
    assert hashes(first.out, 24) == hashes(second.out, 24)

    def errors(out: Path, *splits: str) -> list[float]:
        return [m["top1_error"] for m in of(out, "eval") if m["split"] in splits]

    assert errors(first.out, "train") == errors(second.out, "train")
    assert errors(first.out, "val") != errors(second.out, "val")
    assert errors(first.out, "test") != errors(second.out, "test")


# -- a loss that is not finite


def no_constant(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


# who notices first: the log, the checkpoint, or whoever comes after a measurement
@pytest.mark.parametrize(
    "moments",
    [
        {"log_every": 1, "save_every": 5},
        {"log_every": 100, "save_every": 1},
        {"log_every": 100, "save_every": 100, "eval_every": 100, "clean_every": 100},
        {"log_every": 1, "save_every": 5, "eval_every": 1, "clean_every": 1},
    ],
)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was_good(tmp_path, data, moments, batch_norm):
    """The rate jumps from 0.01 to 1e37 after ten good updates."""
    spec = replace(TINY, batch_norm=batch_norm)
    wild = {"lr": 0.01, "drop_factor": 1e39, "drops": (10,), "eval_every": 12, "clean_every": 12}
    wanted = job(tmp_path / "run", spec, **{**wild, **moments})
    with pytest.raises(RunError, match="not finite") as told:
        train(wanted, data, quiet)
    assert "\n" not in str(told.value)
    assert str(wanted.out) in str(told.value)
    good = saved(wanted.out)
    assert all(10 <= i <= 12 for i in good[-1:])
    for at in good:
        found = checkpoints.load(checkpoints.folder_of(wanted.out, at))
        assert all(bool(torch.isfinite(v).all()) for v in found.weights.values())
    metrics = wanted.out / "metrics.jsonl"  # absent where nothing was due
    for line in metrics.read_text().splitlines() if metrics.exists() else []:
        json.loads(line, parse_constant=no_constant)
    with pytest.raises(RunError, match="not finite"):  # once more: from the checkpoint, to the same end
        train(wanted, data, quiet)
    assert saved(wanted.out) == good


def test_a_wild_first_step_saves_nothing(tmp_path, data):
    wanted = job(tmp_path / "run", replace(TINY, batch_norm=False), lr=1e30)
    with pytest.raises(RunError, match="try --set lr="):
        train(wanted, data, quiet)
    assert saved(wanted.out) == []


# -- precise statistics


def test_precise_statistics_are_plain_averages_over_batches(whole, tmp_path, data):
    out, _, _ = whole
    wanted = job(tmp_path / "run", bn_statistics="precise")
    record = train(wanted, data, quiet)
    twin = Twin(wanted, data)
    for k in range(24):
        twin.update(k, twin.rate(k))
    seen: dict[str, list[torch.Tensor]] = {}
    norms = {n: m for n, m in twin.net.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, m in norms.items():
        m.register_forward_pre_hook(lambda _, x, name=name: seen.setdefault(name, []).append(x[0].double()))
    twin.net.train()
    count = 1297 // 16
    with torch.no_grad():
        for k in range(count):
            twin.net(twin.loader.at(k).images)
    final, moving = checkpoints.newest(wanted.out).weights, checkpoints.newest(out).weights
    for name in norms:
        mean = torch.stack([x.mean((0, 2, 3)) for x in seen[name]]).mean(0)
        var = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in seen[name]]).mean(0)
        assert torch.allclose(final[f"{name}.running_mean"].double(), mean, rtol=1e-4, atol=1e-5), name
        assert torch.allclose(final[f"{name}.running_var"].double(), var, rtol=1e-4, atol=1e-6), name
        assert int(final[f"{name}.num_batches_tracked"]) == count
    for name, value in final.items():
        buffer = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, moving[name]) is not buffer, name
    assert record.final("train")["loss"] != Record(out, {}, tuple(lines(out))).final("train")["loss"]
    logged, logged_there = ([m["loss"] for m in of(folder, "train")] for folder in (wanted.out, out))
    assert logged == logged_there  # BN's averages change scores, not the training
    assert of(wanted.out, "eval")[0]["loss"] != of(out, "eval")[0]["loss"]


def test_precise_statistics_are_of_full_images(tmp_path, data):
    """Where training began on small ones: the scores that they serve are of full images."""
    wanted = job(tmp_path / "run", bn_statistics="precise", small_size=4, small_until=10)
    train(wanted, data, quiet)
    final = checkpoints.newest(wanted.out).weights
    net = build(TINY)
    net.load_state_dict(final)
    seen: list[torch.Tensor] = []
    net.stem.bn1.register_forward_pre_hook(lambda _, x: seen.append(x[0].double()))
    r = wanted.recipe
    loader = TrainLoader(
        data.train, statistics(data.train, r.centre, r.scale), seed=wanted.seed, batch=r.batch, augment=r.augment,
        pad=r.pad, last_batch=r.last_batch,
    )  # fmt: skip
    with torch.no_grad():
        for k in range(10, 10 + 1297 // 16):
            net.train()(loader.at(k).images)
    mean = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    assert torch.allclose(final["stem.bn1.running_mean"].double(), mean, rtol=1e-4, atol=1e-5)


def test_a_broken_pipe_does_not_end_a_run(whole, tmp_path, data):
    """Whoever read the progress is gone: the run goes on without words, to the same end."""
    reading, writing = os.pipe()
    os.close(reading)
    told = []

    def tell(event: dict) -> None:
        told.append(event)
        os.write(writing, b"x")

    wanted = job(tmp_path / "run")
    assert train(wanted, data, tell).finished
    os.close(writing)
    assert len(told) == 1
    assert hashes(wanted.out, 24) == hashes(whole[0], 24)


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_signal_when_all_is_measured_at_the_end_ends_the_run(whole, tmp_path, data, split):
    out, _, _ = whole
    wanted = job(tmp_path / "run")
    record = train(wanted, data, At(lambda e: e["kind"] == "eval" and (e["split"], e["iteration"]) == (split, 24)))
    assert record.finished
    assert figures(wanted.out) == figures(out)
    assert hashes(wanted.out, 24) == hashes(out, 24)


@pytest.mark.slow
@pytest.mark.parametrize("when", [is_line("train", 24), lambda e: e["kind"] == "checkpoint" and e["iteration"] == 24])
def test_stopped_at_the_end_precise_statistics_are_the_same(tmp_path, data, when):
    whole, parted = (job(tmp_path / n, bn_statistics="precise") for n in ("whole", "parted"))
    train(whole, data, quiet)
    with pytest.raises(Interrupted):
        train(parted, data, At(when))
    train(parted, data, quiet)
    assert hashes(parted.out, 24) == hashes(whole.out, 24)
    assert figures(parted.out) == figures(whole.out)
