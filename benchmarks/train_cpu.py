"""`cifar_resnet20` trained on a CPU end to end, side by side with the plain fp32 loop that everybody writes.

`python -m benchmarks.train_cpu` (`--quick` for a smoke test, `--out FILE` for JSON, `--record` for a dated page).

Peer   torch `Dataset` of Pillow images as in `torchvision.datasets.CIFAR10`, `torchvision.transforms`, `DataLoader`
       at its best worker count (tried in the same run), fp32, NCHW, eager, `torch.optim.SGD`.
Ours   what `reslab.training.loop` does in an iteration: `TrainLoader.stream`, `Step`, `Sums.add`.
Both   the same images, network, initial weights, batch, learning rate and threads. Pieces of both alternate; each
       begins with a few iterations that are not timed, so that neither caches nor the start of workers count. The
       verdict is the median of the ratios within pairs, because a machine's speed drifts from minute to minute.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from reslab.data import loader as data_loader
from reslab.data.cifar import CLASSES, cifar10
from reslab.data.loader import Batch, TrainLoader
from reslab.data.splits import Memory
from reslab.errors import UserError
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.training.loop import Sums
from reslab.training.machine import Settings, Wish, environment, prepare, settle
from reslab.training.recipes import paper_cifar
from reslab.training.schedule import rate
from reslab.training.step import Step

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BESIDE = ROOT.parent / "shared" / "data" / "cifar10"

BAR = 2.0
MODEL, SHORTCUT = "cifar_resnet20", "A"
IMAGES = 50_000  # as many as CIFAR-10's training split, so that memory and epochs are as large
WORKERS = (0, 1, 2)
LEAD = 4  # iterations at the beginning of each piece that are not timed
SEED = 0
MEANS, DEVIATIONS = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    pairs: int
    iterations: int  # timed, in each piece
    trial: int  # timed iterations for each worker count, in each round
    rounds: int  # of the trial
    warm_up: int  # iterations after the first one


FULL = Plan(pairs=7, iterations=60, trial=20, rounds=3, warm_up=20)
QUICK = Plan(pairs=2, iterations=10, trial=4, rounds=1, warm_up=2)


@dataclass(frozen=True)
class Piece:
    """One timed stretch of iterations."""

    seconds: float
    waited: float  # seconds of these spent until the next batch was there
    iterations: int
    images: int

    @property
    def rate(self) -> float:
        return self.images / self.seconds


def timed(batches: Iterator[T], update: Callable[[T], int], lead: int, iterations: int) -> Piece:
    """`lead` iterations, then `iterations` timed ones; `update` returns how many images it has used."""
    for _ in range(lead):
        update(next(batches))
    gc.collect()
    waited, images = 0.0, 0
    begin = time.perf_counter()
    for _ in range(iterations):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        images += update(batch)
    return Piece(time.perf_counter() - begin, waited, iterations, images)


# -- the peer


class PillowImages(Dataset[tuple[Tensor, int]]):
    """`torchvision.datasets.CIFAR10` without its files: a Pillow image is made of each sample, then transformed."""

    def __init__(self, split: Memory, transform: Callable[[Image.Image], Tensor]) -> None:
        self.data, self.targets, self.transform = split.images, split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = Image.fromarray(self.data[index]), self.targets[index]
        return self.transform(image), target


class Peer:
    """The plain loop: fp32, NCHW, eager, torchvision's transforms, torch's DataLoader."""

    def __init__(self, split: Memory, threads: int) -> None:
        recipe = paper_cifar()
        augment = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEANS, DEVIATIONS),
            ]
        )
        self.dataset, self.batch, self.threads = PillowImages(split, augment), recipe.batch, threads
        self.workers = 0
        self.net = build(MODEL, shortcut=SHORTCUT, seed=SEED)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=recipe.lr, momentum=0.9, weight_decay=1e-4)
        self.loss, self.correct, self.seen = 0.0, 0, 0

    def _batches(self) -> Iterator[list[Tensor]]:
        loader: DataLoader[tuple[Tensor, int]] = DataLoader(
            self.dataset,
            batch_size=self.batch,
            shuffle=True,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )
        while True:
            yield from loader

    def _update(self, batch: list[Tensor]) -> int:
        images, labels = batch
        self.optimizer.zero_grad()
        outputs = self.net(images)
        loss = F.cross_entropy(outputs, labels)
        loss.backward()
        self.optimizer.step()
        self.loss += loss.item() * len(labels)
        self.correct += int((outputs.argmax(1) == labels).sum().item())
        self.seen += len(labels)
        return len(labels)

    def piece(self, lead: int, iterations: int) -> Piece:
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(False)  # what a plain loop has
        self.net.train()
        batches = self._batches()
        try:
            return timed(batches, self._update, lead, iterations)
        finally:
            del batches  # ends the workers, or they would run on beside the other side
            gc.collect()

    def choose_workers(self, plan: Plan) -> dict[int, float]:
        """Try each worker count, in turn, and keep the fastest; images a second (medians) by worker count."""
        rates: dict[int, list[float]] = {count: [] for count in WORKERS}
        for _ in range(plan.rounds):
            for count in WORKERS:
                self.workers = count
                rates[count].append(self.piece(LEAD, plan.trial).rate)
        medians = {count: statistics.median(values) for count, values in rates.items()}
        self.workers = max(medians, key=lambda count: medians[count])
        return medians


# -- ours


class Ours:
    """An iteration of `reslab.training.loop`, with settings that `machine.settle` chose."""

    def __init__(self, loader: TrainLoader, settings: Settings) -> None:
        self.loader, self.settings, self.recipe = loader, settings, paper_cifar()
        prepare(settings)
        self.net = build(MODEL, shortcut=SHORTCUT, seed=SEED)
        self.step = Step(self.net, self.recipe, settings)
        self.logs = Sums(torch.zeros(3, dtype=torch.float64, device=settings.device))
        self.iteration = 0

    def _update(self, batch: Batch) -> int:
        images = batch.images.to(self.settings.device, non_blocking=True)
        labels = batch.labels.to(self.settings.device, non_blocking=True)
        self.net.train()
        loss, wrong = self.step(images, labels, rate(self.recipe, self.iteration))
        self.logs.add(loss, wrong, len(labels))
        self.iteration += 1
        return len(labels)

    def piece(self, lead: int, iterations: int) -> Piece:
        prepare(self.settings)
        batches = self.loader.stream(self.iteration, self.iteration + lead + iterations)
        return timed(batches, self._update, lead, iterations)


# -- one against the other


@dataclass(frozen=True)
class Pair:
    """One piece of each, one after the other."""

    ours: Piece
    peer: Piece

    @property
    def ratio(self) -> float:
        return self.ours.rate / self.peer.rate


@dataclass(frozen=True)
class Spread:
    """Smallest, median and largest of some numbers."""

    min: float
    median: float
    max: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(min(values), statistics.median(values), max(values))


def warm_up(side: Ours | Peer, iterations: int) -> dict[str, float]:
    """The first iteration (with compilation, where there is any) and the next ones, in seconds; not in any ratio."""
    return {"first_iteration": side.piece(0, 1).seconds, "others": side.piece(0, iterations).seconds}


def compare(name: str, ours: Ours, peer: Peer, plan: Plan) -> dict[str, Any]:
    """Warm `ours` up, then measure ours, peer, ours, peer …; a row of the result."""
    settings, warm = ours.settings, warm_up(ours, plan.warm_up)
    told = f"first iteration {warm['first_iteration']:.1f} s, warm-up of {plan.warm_up} more {warm['others']:.1f} s"
    say(f"{name}: {settings.why}\n  {told}")
    pairs: list[Pair] = []
    for number in range(plan.pairs):
        pair = Pair(ours.piece(LEAD, plan.iterations), peer.piece(LEAD, plan.iterations))
        pairs.append(pair)
        rates = f"ours {pair.ours.rate:,.0f} images/s, peer {pair.peer.rate:,.0f} images/s"
        say(f"  pair {number + 1} of {plan.pairs}: {rates}, ratio {pair.ratio:.2f}")
    return {
        "name": name,
        "settings": settings.to_dict(),
        "fallback": ours.step.fallback,
        "warm_up_seconds": warm,
        "ours": _side([p.ours for p in pairs]),
        "peer": _side([p.peer for p in pairs]),
        "ratio": asdict(Spread.of([p.ratio for p in pairs])),
        "pairs": [{"ours": asdict(p.ours), "peer": asdict(p.peer), "ratio": p.ratio} for p in pairs],
    }


def _side(pieces: Sequence[Piece]) -> dict[str, Any]:
    return {
        "images_per_second": asdict(Spread.of([p.rate for p in pieces])),
        "iteration_ms": asdict(Spread.of([1e3 * p.seconds / p.iterations for p in pieces])),
        "data_ms": asdict(Spread.of([1e3 * p.waited / p.iterations for p in pieces])),
    }


def settings_of(threads: int) -> dict[str, Settings]:
    """The rows: what `auto` takes in a long run, then the other engines, then without bf16."""
    spec, recipe = spec_of(MODEL, shortcut=SHORTCUT), paper_cifar()
    auto = settle(spec, recipe, Wish("cpu", threads=threads))
    engines = [settle(spec, recipe, Wish("cpu", engine=name, threads=threads)) for name in ("compiled", "eager")]
    fp32 = settle(spec, recipe, Wish("cpu", precision="fp32", threads=threads))
    rows = {"ours": auto}
    for settings in (*engines, fp32):
        if settings not in rows.values():
            rows[f"ours, {settings.precision}, {settings.engine}"] = settings
    return rows


def images() -> tuple[Memory, str]:
    """50,000 images to measure speed with, and what they are."""
    place = os.environ.get("RESLAB_CIFAR10") or (BESIDE if BESIDE.exists() else None)
    if place is not None:
        part = cifar10(place, ("test",)).split("test")
        assert isinstance(part, Memory)
        told = f"CIFAR-10: the {len(part):,} images of the test split, repeated to {IMAGES:,} (for speed alone)"
        return part.subset(np.arange(IMAGES) % len(part)), told
    draw = np.random.default_rng(SEED)
    pixels = draw.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    labels = draw.integers(0, len(CLASSES), IMAGES, dtype=np.int64)
    return Memory(pixels, labels), f"NOT CIFAR-10, which was not found: {IMAGES:,} random images of its shape"


def measure(plan: Plan, threads: int, quick: bool, command: str) -> dict[str, Any]:
    """Everything, as plain types; `command` is what was asked for."""
    begin, load = datetime.now(UTC), os.getloadavg()[0]
    recipe, facts = paper_cifar(), environment()
    split, what = images()
    say(f"data: {what}")
    rows = settings_of(threads)
    if load > 0.5:
        say(f"load average {load:.1f}: this machine is not quiet, and the numbers will show it")
    count = rows["ours"].threads
    peer = Peer(split, count)
    peer_warm = warm_up(peer, plan.warm_up)
    trial = peer.choose_workers(plan)
    say(f"peer: {_trial(trial, peer.workers)}")
    loader = TrainLoader(
        split, data_loader.statistics(split, recipe.centre, recipe.scale), seed=SEED, batch=recipe.batch,
        augment=recipe.augment, pad=recipe.pad, last_batch=recipe.last_batch,
    )  # fmt: skip
    made = []
    for name, settings in rows.items():
        torch.compiler.reset()
        made.append(compare(name, Ours(loader, settings), peer, plan))
    ratio = made[0]["ratio"]["median"]
    abilities = torch.cpu.get_capabilities()
    units = [k for k in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16") if abilities.get(k)]
    return {
        "benchmark": "train_cpu",
        "date": begin.strftime("%Y-%m-%d"),
        "command": command,
        "quick": quick,
        "model": f"{MODEL}, option {SHORTCUT}",
        "batch": recipe.batch,
        "data": what,
        "hardware": {"cpu": facts["cpu"], "cores": facts["cores"], "bf16_units": units or facts["bf16_units"]},
        "threads": count,
        "versions": {k: facts[k] for k in ("reslab", "python", "torch", "torchvision", "numpy", "system")},
        "load_average_before": round(load, 2),
        "seconds": round((datetime.now(UTC) - begin).total_seconds()),
        "plan": {**asdict(plan), "lead": LEAD},
        "peer": {
            "workers": peer.workers,
            "trial_images_per_second": {str(k): v for k, v in trial.items()},
            "warm_up_seconds": peer_warm,
        },
        "rows": made,
        "bar": BAR,
        "ratio": ratio,
        "met": ratio >= BAR,
    }


# -- telling


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _trial(trial: dict[int, float], chosen: int) -> str:
    tried = ", ".join(f"{count}: {speed:,.0f} images/s" for count, speed in trial.items())
    return f"DataLoader with {chosen} worker{'s' if chosen != 1 else ''}, the best of the trial ({tried})"


def _range(spread: dict[str, float]) -> str:
    return f"{spread['min']:.2f} / {spread['median']:.2f} / {spread['max']:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that is aligned on a console too; the first column to the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if not i else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return [line(head), line(rule), *(line(row) for row in rows)]


def page(result: dict[str, Any]) -> str:
    """The result in Markdown, as it is printed and recorded."""
    hardware, versions, plan, peer = result["hardware"], result["versions"], result["plan"], result["peer"]
    units = hardware["bf16_units"]
    told = ", ".join(units) if isinstance(units, list) else "yes" if units else "none"
    table = [
        (
            row["name"],
            f"{row['peer']['images_per_second']['median']:,.0f}",
            f"{row['ours']['images_per_second']['median']:,.0f}",
            _range(row["ratio"]),
            f"{result['bar']:.1f}x" if i == 0 else "",
            "" if i else "met" if result["met"] else "not met",
        )
        for i, row in enumerate(result["rows"])
    ]
    parts = [
        (
            row["name"],
            f"{row['peer']['iteration_ms']['median']:.1f} ({row['peer']['data_ms']['median']:.1f})",
            f"{row['ours']['iteration_ms']['median']:.1f} ({row['ours']['data_ms']['median']:.1f})",
            f"{row['warm_up_seconds']['first_iteration']:.1f}",
            f"{row['warm_up_seconds']['others']:.1f}",
        )
        for row in result["rows"]
    ]
    pairs = [(row["name"], " ".join(f"{p['ratio']:.2f}" for p in row["pairs"])) for row in result["rows"]]
    trial = {int(k): v for k, v in peer["trial_images_per_second"].items()}
    warm = f"first iteration, s (with compilation) | next {plan['warm_up']}, s"
    lines = [
        f"# Training on a CPU: {result['model']}, batch {result['batch']}, {result['date']}",
        "",
        *(["A smoke test (`--quick`): too short to judge anything.", ""] if result["quick"] else []),
        *_table(("", "peer, images/s", "ours, images/s", "ratio: min / median / max", "bar", "verdict"), table),
        "",
        "End to end: order, augmentation, forward, backward, update. Images a second are medians; the ratio is taken "
        "pair by pair, and its median is judged.",
        "",
        *_table(("", "peer, ms an iteration (of it data)", "ours, ms (of it data)", *warm.split(" | ")), parts),
        "",
        *_table(("", "ratios, pair by pair"), pairs),
        "",
        *(f"- {row['name']}: {row['settings']['why']}{_fallen(row)}" for row in result["rows"]),
        f"- peer: fp32, NCHW, eager, torchvision transforms on Pillow images, SGD; {_trial(trial, peer['workers'])}; "
        f"first iteration {peer['warm_up_seconds']['first_iteration']:.1f} s",
        f"- in turn (ours, peer, ours, peer …), {plan['pairs']} pairs a row, {plan['iterations']} timed iterations a "
        f"piece after {plan['lead']} untimed ones; warm-up and compilation (with empty caches) are in no ratio",
        f"- data: {result['data']}",
        f"- hardware: {hardware['cpu']}, {hardware['cores']} cores, bf16 units: {told}; {result['threads']} threads "
        f"on both sides; load average before: {result['load_average_before']:.2f}",
        f"- torch {versions['torch']}, torchvision {versions['torchvision']}, numpy {versions['numpy']}, "
        f"Python {versions['python']}, {versions['system']}, reslab {versions['reslab']}",
        f"- command: `{result['command']}`",
    ]
    return "\n".join(lines) + "\n"


def _fallen(row: dict[str, Any]) -> str:
    return f" ({row['fallback']})" if row["fallback"] else ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_cpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: 2 pairs of 10 iterations")
    parser.add_argument("--pairs", type=int, help=f"pairs a row (default {FULL.pairs})")
    parser.add_argument("--iterations", type=int, help=f"timed iterations a piece (default {FULL.iterations})")
    parser.add_argument("--threads", type=int, default=0, help="of both sides (default: torch's own choice)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/train_cpu-DATE.md")
    asked = parser.parse_args(arguments)
    base = QUICK if asked.quick else FULL
    pairs = base.pairs if asked.pairs is None else asked.pairs
    iterations = base.iterations if asked.iterations is None else asked.iterations
    if pairs < 1 or iterations < 1 or asked.threads < 0:
        parser.error("--pairs and --iterations must be at least 1, --threads at least 0")
    if asked.record and (asked.quick or pairs < 5):
        parser.error("--record wants a full measurement: at least 5 pairs, and no --quick")
    if asked.out is not None and not asked.out.resolve().parent.is_dir():
        parser.error(f"--out {asked.out}: its folder does not exist")
    plan = Plan(pairs, iterations, base.trial, base.rounds, base.warm_up)
    options = {"pairs": asked.pairs, "iterations": asked.iterations, "threads": asked.threads or None}
    words = ["--quick"] * asked.quick + [f"--{k} {v}" for k, v in options.items() if v is not None]
    command = " ".join(["python -m benchmarks.train_cpu", *words])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # so that compilation takes what it takes the first time
        try:
            result = measure(plan, asked.threads, asked.quick, command)
        except UserError as error:
            say(f"error: {error}")
            return 2
    print(page(result), end="")
    if asked.out is not None:
        asked.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        say(f"written: {asked.out}")
    if asked.record:
        RESULTS.mkdir(parents=True, exist_ok=True)
        file = RESULTS / f"train_cpu-{result['date']}.md"
        file.write_text(page(result), encoding="utf-8")
        say(f"written: {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
