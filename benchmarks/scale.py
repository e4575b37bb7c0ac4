"""One run by two ranks of one thread, beside two independent runs, and beside torch's DistributedDataParallel.

`python -m benchmarks.scale [--quick] [--pairs N] [--record]`; `--predict` prints the model of docs/scale.md instead.

Ours         an iteration of `reslab.training.loop` on two ranks: batch 128, 64 images each, gloo.
Independent  the same iteration in two processes that know nothing of each other, batch 64.
DDP          the plain loop of `plain_loop`: fp32, NCHW, eager, torch's DistributedSampler and DataLoader (in the
             process itself, as both cores are busy), 64 images a rank.
All have one thread a process, the same net, initial weights and images, and are measured in turn in one run. A rate is
the sum of both processes' images per second, each over its own time.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import distributed as dist
from torch.utils.data import DataLoader, DistributedSampler

from benchmarks.plain_loop import LEAD, SEED, PlainLoop, images, loader_of, piece
from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, say
from reslab.data.batches.loader import Batch
from reslab.engines.machine import ComputeOptions, prepare, settle
from reslab.engines.ranks import ALONE, Ranks, joined
from reslab.engines.shares import COUNT, LOCAL, RANK
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs.recipe import changed
from reslab.runs.recipes import paper_cifar
from reslab.runs.schedule import rate
from reslab.training.progress import Sums
from reslab.training.step import Step

RANKS, SHARE = 2, 64
BARS = {"cifar_resnet20": Bar(least=0.92), "cifar_resnet110": Bar(least=0.95)}
ITERATIONS = {"cifar_resnet20": 40, "cifar_resnet110": 12}
AHEAD = Bar(least=1.0)

Piece = Callable[[int], Any]  # makes so many updates
Worker = Callable[[Ranks, str], dict[str, Piece]]


@dataclass(frozen=True)
class Watched(Ranks):
    """Ranks that note the seconds in which the training thread does nothing but communicate, or wait for the other."""

    spent: list[float] = field(default_factory=list, compare=False)

    def add(self, values: torch.Tensor) -> None:
        self._timed(lambda: super(Watched, self).add(values))

    def begin_add(self, values: torch.Tensor) -> Callable[[], None]:
        wait = self._timed(lambda: super(Watched, self).begin_add(values))
        return lambda: self._timed(wait)

    def _timed(self, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        self.spent.append(time.perf_counter() - begin)
        return result


def reslab_pieces(ranks: Ranks, model: str) -> dict[str, Piece]:
    """Return "rate", images per second; "times", the seconds of each update but the first; "share", the share of the
    time that this rank spends in communication.
    """
    split, _ = images()
    recipe = changed(paper_cifar(), {"batch": SHARE * ranks.count})
    settings = settle(spec_of(model), recipe, ComputeOptions("cpu", threads=1, ranks=ranks.count))
    prepare(settings)
    watched = Watched(ranks.rank, ranks.count, ranks.local)
    step = Step(build(model, shortcut="A", seed=SEED), recipe, settings, ranks=watched)
    loader = loader_of(split, ranks=ranks, share=SHARE)
    logs, sizes, iteration = Sums.fresh("cpu"), [SHARE] * ranks.count, 0

    def update(batch: Batch) -> int:
        nonlocal iteration
        if not step.net.training:
            step.net.train()
        loss, wrong = step(batch.images, batch.labels, rate(recipe, iteration), sizes)
        logs.add(loss, wrong, sum(sizes))
        iteration += 1
        return len(batch.labels)

    def speed(iterations: int) -> float:
        return piece(loader.stream(iteration, iteration + LEAD + iterations), update, iterations)

    def times(iterations: int) -> list[float]:
        ends: list[float] = []

        def noted(batch: Batch) -> int:
            count = update(batch)
            ends.append(time.perf_counter())
            return count

        piece(loader.stream(iteration, iteration + LEAD + iterations), noted, iterations)
        return [end - begin for begin, end in pairwise(ends[LEAD:])]

    def share(iterations: int) -> float:
        watched.spent.clear()
        begin = time.perf_counter()
        speed(iterations)
        return sum(watched.spent) / (time.perf_counter() - begin)

    speed(1)  # builds kernels
    assert step.fallback is None, step.fallback
    return {"rate": speed, "times": times, "share": share}


def independent_pieces(ranks: Ranks, model: str) -> dict[str, Piece]:
    return reslab_pieces(ALONE, model)


def ddp_pieces(ranks: Ranks, model: str) -> dict[str, Piece]:
    """Return "rate" of a plain loop under DistributedDataParallel."""
    split, _ = images()
    net = torch.nn.parallel.DistributedDataParallel(build(model, shortcut="A", seed=SEED))
    loop, epoch = PlainLoop(net, split), 0
    net.train()

    def speed(iterations: int) -> float:
        nonlocal epoch
        sampler: DistributedSampler[Any] = DistributedSampler(loop.dataset)
        sampler.set_epoch(epoch)
        epoch += 1
        return piece(iter(DataLoader(loop.dataset, SHARE, sampler=sampler)), loop.update, iterations)

    return {"rate": speed}


def all_reduce_pieces(ranks: Ranks, model: str) -> dict[str, Piece]:
    """Return "seconds" of one sum over the ranks of so many bytes."""

    def seconds(size: int) -> float:
        values, times = torch.zeros(size // 4), []
        for _ in range(30):
            dist.barrier()
            begin = time.perf_counter()
            ranks.add(values)
            times.append(time.perf_counter() - begin)
        return sorted(times)[len(times) // 2]

    return {"seconds": seconds}


def serve(pipe: Connection, worker: Worker, model: str, environment: dict[str, str], cache: str) -> None:
    """Be one process of a `Pair`: do the pieces that are asked for, until the pipe ends."""
    os.environ.update(environment, TORCHINDUCTOR_CACHE_DIR=cache)
    torch.set_num_threads(1)
    with joined() as ranks:
        pieces = worker(ranks, model)
        pipe.send(None)
        while (asked := pipe.recv()) is not None:
            name, amount = asked
            pipe.send(pieces[name](amount))


class Pair:
    """Two processes that work at the same time when asked, and wait without using the CPU in between."""

    def __init__(self, worker: Worker, model: str, cache: str) -> None:
        context = multiprocessing.get_context("spawn")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.pipes: list[Connection] = []
        self.processes: list[Any] = []
        for rank in range(RANKS):
            environment = {} if worker is independent_pieces else {
                RANK: str(rank), LOCAL: str(rank), COUNT: str(RANKS), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }  # fmt: skip
            mine, other = context.Pipe()
            self.processes.append(context.Process(target=serve, args=(other, worker, model, environment, cache)))
            self.processes[-1].start()
            other.close()
            self.pipes.append(mine)
        self._answers()

    def _answers(self) -> list[Any]:
        return [pipe.recv() for pipe in self.pipes]

    def __call__(self, name: str, amount: int) -> list[Any]:
        for pipe in self.pipes:
            pipe.send((name, amount))
        return self._answers()

    def rate(self, iterations: int) -> float:
        return sum(self("rate", iterations))

    def lockstep(self, iterations: int) -> float:
        """Return the rate that processes had if each update took as long as the slower one's: nothing is sent."""
        slower = [max(both) for both in zip(*self("times", iterations), strict=True)]
        return RANKS * SHARE * len(slower) / sum(slower)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join()


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    _, description = images()
    say(f"data: {description}")
    for model, bar in BARS.items():
        iterations = 4 if options.quick else ITERATIONS[model]
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache,
            Pair(reslab_pieces, model, cache) as ours, Pair(independent_pieces, model, cache) as independent,
            Pair(ddp_pieces, model, cache) as ddp,
        ):  # fmt: skip
            shares = ours("share", iterations)
            of_time = " and ".join(f"{100 * share:.1f} %" for share in shares)
            settings = settle(spec_of(model), paper_cifar(), ComputeOptions("cpu", threads=1))
            notes = (
                f"ours: {RANKS} ranks of one thread, gloo, {SHARE} images each, {settings.precision}, "
                f"{settings.engine}",
                f"the ranks' threads spend {of_time} of their time in communication, waiting for each other included",
                description,
            )
            yield in_turn(
                f"{model}, two ranks by two independent runs", "images/s", partial(ours.rate, iterations),
                partial(independent.rate, iterations), options, bar, notes,
            )  # fmt: skip
            yield in_turn(
                f"{model}, two ranks by the slower of two independent runs", "images/s",
                partial(ours.rate, iterations), partial(independent.lockstep, iterations), options, Bar(),
                ("peer: computed; each update of two independent runs takes as long as the slower one's, so ours loses "
                 "to it what it sends, and nothing to waiting",),
            )  # fmt: skip
            yield in_turn(
                f"{model}, two ranks by DistributedDataParallel", "images/s", partial(ours.rate, iterations),
                partial(ddp.rate, iterations), options, AHEAD, ("peer: fp32, NCHW, eager, DataLoader without workers",),
            )  # fmt: skip


if __name__ == "__main__":
    if "--predict" in sys.argv:
        from benchmarks.predicted import main as predict

        sys.exit(predict())
    sys.exit(main("scale", "One run by two ranks", rows))
