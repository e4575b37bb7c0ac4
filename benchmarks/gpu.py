"""Training and classifying on a GPU, against plain mixed-precision loops.

`python -m benchmarks.gpu [--quick] [--pairs N] [--record]`. Without a GPU nothing is measured; `--quick` then runs the
script on the CPU with small numbers, as a test of the script.

CIFAR     the peer: torch `Dataset` of Pillow images, `torchvision.transforms`, `DataLoader` at its best worker count,
          autocast to bf16, eager, `torch.optim.SGD`. Ours: the loop's iteration, the set resident on the GPU.
224       synthetic images in GPU memory. The peer: torchvision's resnet50, eager, autocast to bf16,
          channels_last.
Peak      the multiply-adds per second of a bf16 product of two square matrices on the same GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from benchmarks.plain_loop import Peer, images, loader_of
from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, say, timed
from benchmarks.train_cpu import Ours
from reslab.engines.inference import Inference
from reslab.engines.machine import ComputeOptions, Settings, prepare, settle
from reslab.nets.cost import cost
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import paper_cifar
from reslab.training.step import Step

CIFAR = {"cifar_resnet20": 150, "cifar_resnet56": 60, "cifar_resnet110": 30}  # iterations of a timed piece
LOOP, EAGER = Bar(least=10.0), Bar(least=1.3)
SEED = 0


def waited(device: str, work: Callable[[], object]) -> Callable[[], object]:
    """Return `work` followed by a wait for the GPU."""

    def whole() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    return whole


def rate(work: Callable[[], object], device: str, count: int, repeat: int) -> float:
    """Return the images per second of `work`, which processes `count` of them, over `repeat` calls without a wait."""
    return count * repeat / timed(waited(device, lambda: [work() for _ in range(repeat)]))


def matrix_peak(device: str, side: int) -> float:
    """Return the multiply-adds per second of the fastest of ten products of bf16 matrices [side, side]."""
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    return side**3 / min(timed(waited(device, lambda: a @ b)) for _ in range(10))


class Synthetic:
    """`resnet50` ("v1.5": stride in the 3x3) at `size`, ours and torchvision's, on images in memory."""

    def __init__(self, device: str, batch: int, size: int) -> None:
        self.device, self.batch = device, batch
        shape = (batch, 3, size, size)
        self.images = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 1000, (batch,), device=device)
        self.spec = spec_of("resnet50", stride_in="3x3", image_size=size)
        self.recipe: Recipe = changed(paper_cifar(), {"batch": batch})
        self.theirs = torchvision.models.resnet50(weights=None).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def settings(self) -> Settings:
        return settle(self.spec, self.recipe, ComputeOptions(self.device, precision="bf16"))

    def trains(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """Return functions that make an update: ours and torchvision's."""
        settings = self.settings()
        prepare(settings)
        step = Step(build(self.spec, seed=SEED), self.recipe, settings)
        step.net.train()
        self.theirs.train()

        def update() -> object:
            prepare(settings)
            return step(self.images, self.labels, 0.01)

        return update, self._their_update

    def _their_update(self) -> None:
        self.optimizer.zero_grad()
        F.cross_entropy(self._their_logits(), self.labels).backward()
        self.optimizer.step()

    def _their_logits(self) -> Tensor:
        torch.use_deterministic_algorithms(False)  # what a plain loop has
        with torch.autocast(self.device, torch.bfloat16):
            return self.theirs(self.images).float()  # type: ignore[no-any-return]

    def classifies(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """Return functions that compute logits: ours and torchvision's."""
        net: nn.Module = build(self.spec, seed=SEED).to(self.device, memory_format=torch.channels_last).eval()
        self.theirs.eval()
        return partial(Inference(net, "bf16"), self.images), torch.no_grad()(self._their_logits)  # type: ignore[arg-type]


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.quick:
        say("gpu: skipped, torch sees no GPU here")
        return
    smoke = device == "cpu"
    split, description = images()
    recipe = paper_cifar()
    loader = loader_of(split, device)
    for model in list(CIFAR)[:1] if smoke else CIFAR:
        settings = settle(spec_of(model, shortcut="A"), recipe, ComputeOptions(device))
        iterations = 2 if smoke else CIFAR[model]
        peer = Peer(model, split, settings.threads, iterations, options.quick, device)
        ours = Ours(model, loader, settings, iterations)
        notes = ("end to end: order, augmentation, forward, backward, update", peer.note, description)
        yield in_turn(f"train {model}", "images/s", ours, peer, options, LOOP, (f"ours: {settings.why}", *notes))
        for engine in () if smoke or model != "cifar_resnet20" else ("graph", "eager"):
            other = settle(spec_of(model, shortcut="A"), recipe, ComputeOptions(device, engine=engine))
            name = f"{model}, against our own {engine}"
            rival = Ours(model, loader, other, iterations)
            yield in_turn(name, "images/s", ours, rival, options, Bar(), (f"peer: {other.why}",))
    batch, size, repeat = (2, 64, 1) if smoke else (256, 224, 10)
    peak = matrix_peak(device, 256 if smoke else 8192)
    net = Synthetic(device, batch, size)
    macs = cost(net.spec).macs
    for verb, sides, passes in (("train", net.trains(), 3), ("classify with", net.classifies(), 1)):
        for side in sides:  # the first call builds kernels
            rate(side, device, batch, 2)
        ours, theirs = (partial(rate, side, device, batch, repeat) for side in sides)
        share_of_peak = passes * macs * ours() / peak
        notes = (
            f"ours: {net.settings().why}", "peer: torchvision eager, autocast bf16, channels_last",
            f"ours makes {100 * share_of_peak:.0f} % of a matrix product's {peak / 1e12:.3g} T multiply-adds a second",
        )  # fmt: skip
        yield in_turn(f"{verb} resnet50 at {size}, batch {batch}", "images/s", ours, theirs, options, EAGER, notes)


if __name__ == "__main__":
    sys.exit(main("gpu", "Training and classifying on a GPU", rows))
