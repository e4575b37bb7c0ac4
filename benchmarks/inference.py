"""Classifying with `resnet50` at 224x224 on a CPU: images to logits, one by one and 32 at a time.

`python -m benchmarks.inference [--quick] [--pairs N] [--threads N] [--record]`. The peer's runtime is not a dependency
of the package: `pip install --group bench`. Without it the peer is torchvision alone, and a line is printed.

Peer    the better of onnxruntime fp32 (torchvision's resnet50 through `torch.onnx`, all graph optimisations, the best
        of its thread settings) and torchvision eager fp32 (the better of its layouts), chosen for each batch size.
Ours    `reslab.engines.inference.Inference` in bf16 on the same weights ("v1.5": `stride_in="3x3"`), close calls again
        in fp32; each piece takes the next images, so that the figure includes the usual share of close calls.
Inputs  no trained weights of this size are available, so the run trains some in minutes on scikit-learn's digits,
        enlarged and cropped at random (224 of 256, as in §3.4), small images first. Random weights are not suitable:
        after 50 such layers all images have similar outputs, and bf16's rounding is as large as their differences.
        Agreement is measured on crops of held-out digits, with their difficulty: accuracy, margins, and the share of
        close calls (2 to 3 % for trained CIFAR nets).
"""

from __future__ import annotations

import io
import itertools
import logging
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, say, timed
from reslab.data.sets.digits import digits
from reslab.data.splits import Memory
from reslab.engines.inference import CLOSE, Inference, close_calls
from reslab.engines.machine import ComputeOptions, prepare, settle, thread_count
from reslab.measure.evaluate import precise_statistics
from reslab.nets.model import Network, build
from reslab.runs.recipe import changed
from reslab.runs.recipes import paper_cifar
from reslab.training.step import Step

BATCHES = {1: Bar(least=1.0, aim=1.5), 32: Bar(least=1.5, aim=3.0)}
AGREEMENT = Bar(least=0.999)
IMAGES, SEED = 1_000, 0
LESSONS = ((64, 150, 32, 0.02), (112, 40, 32, 0.02), (224, 40, 16, 0.01))  # size, updates, batch, initial rate
BATCH_OF_STATISTICS = 32

Classify = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pair:
    images: Tensor
    labels: Tensor


class Crops:
    """Enlarged digits of a split: `crops(N, size)` returns random crops of N of them, [N, 3, size, size] in −1..1."""

    def __init__(self, split: str) -> None:
        part = digits().split(split)
        assert isinstance(part, Memory)
        self.grey = torch.from_numpy(part.images).permute(0, 3, 1, 2).float() / 127.5 - 1
        self.labels, self.generator = torch.from_numpy(part.labels), torch.Generator().manual_seed(SEED)

    def __call__(self, count: int, size: int) -> Pair:
        rows = torch.randint(0, len(self.labels), (count,), generator=self.generator)
        whole = F.interpolate(self.grey[rows], size=size * 8 // 7, mode="bicubic")
        corners = torch.randint(0, size // 7 + 1, (count, 2), generator=self.generator).tolist()
        crops = [image[:, y : y + size, x : x + size] for image, (y, x) in zip(whole, corners, strict=True)]
        return Pair(torch.stack(crops).expand(-1, 3, -1, -1).contiguous(), self.labels[rows])


@torch.enable_grad()
def trained(threads: int, quick: bool) -> Network:
    """Return a trained resnet50 in evaluation mode, see this file's docstring."""
    net, crops = build("resnet50", stride_in="3x3", seed=SEED), Crops("train")
    with torch.no_grad():
        net.get_parameter("head.fc.weight").zero_()
        for name, norm in net.named_modules():
            if name.endswith("branch.bn3") and isinstance(norm, nn.BatchNorm2d):
                norm.weight.fill_(0.1)  # nearly the identity, with which training takes minutes, not hours
    for size, updates, batch, lr in ((64, 2, 8, 0.02),) if quick else LESSONS:
        recipe = changed(paper_cifar(), {"batch": batch})
        settings = settle(net.spec, recipe, ComputeOptions("cpu", threads=threads))
        prepare(settings)
        step = Step(net, recipe, settings)
        net.train()
        for update in range(updates):
            pair = crops(batch, size)
            images = pair.images.contiguous(memory_format=torch.channels_last)
            loss, wrong = step(images, pair.labels, lr * (1 - update / updates))
        say(f"trained on {updates} batches of {batch} images of {size}x{size}: last loss {loss:.2f}, {wrong} wrong")
    torch.use_deterministic_algorithms(False)  # as for the peer
    with torch.no_grad():
        precise_statistics(net, [crops(BATCH_OF_STATISTICS, 224).images for _ in range(1 if quick else 4)])
    return net.eval()


def torchvisions(net: Network) -> nn.Module:
    """Return torchvision's resnet50 with the weights of `net`; both have them in the same order."""
    theirs = torchvision.models.resnet50(weights=None).eval()
    pairs = zip(theirs.state_dict(), net.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(pairs))
    return theirs


@torch.no_grad()
def eager(model: nn.Module, layout: torch.memory_format) -> Classify:
    laid = model.to(memory_format=layout)
    return lambda images: laid(images.contiguous(memory_format=layout))


def sessions(model: nn.Module, threads: int, folder: str) -> dict[str, Classify]:
    """Return onnxruntime sessions with each thread setting; {} (and a line on stderr) if it is not installed."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        say(f"{error.name} is not installed (pip install --group bench): the peer is torchvision alone")
        return {}
    file = str(Path(folder) / "resnet50.onnx")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        shapes = {"x": {0: torch.export.Dim("batch")}}
        torch.onnx.export(model, (torch.zeros(2, 3, 224, 224),), file, dynamo=True, dynamic_shapes=shapes)
    classifiers = {}
    for spinning in ("1", "0"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def classify(images: Tensor, session: onnxruntime.InferenceSession = session, name: str = name) -> Tensor:
            return torch.from_numpy(session.run(None, {name: images.numpy()})[0])

        classifiers[f"onnxruntime {onnxruntime.__version__}, spinning {'on' if spinning == '1' else 'off'}"] = classify
    return classifiers


def rate(classify: Classify, batches: Iterator[Tensor], count: int) -> float:
    """Return the images per second over `count` batches."""
    timed_batches = list(itertools.islice(batches, count))
    return sum(map(len, timed_batches)) / timed(lambda: [classify(images) for images in timed_batches])


@torch.no_grad()
def rows(options: BenchmarkOptions) -> Iterator[Row]:
    threads = thread_count(options.threads)
    torch.set_num_threads(threads)
    net, held = trained(threads, options.quick), Crops("test")(64 if options.quick else IMAGES, 224)
    images, labels = held.images, held.labels
    ours, model = Inference(net, "bf16"), torchvisions(net)
    ours_are = f"ours: Inference in bf16, close calls in fp32{f' ({ours.fallback})' if ours.fallback else ''}"
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        peers = sessions(model, threads, folder)
        for layout_name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
            peers[f"torchvision eager, {layout_name}"] = eager(torchvisions(net), layout)
        yield agreement(net, next(iter(peers.items())), ours, images, labels)
        for batch, bar in BATCHES.items():
            full_batches = [part for part in images.split(batch) if len(part) == batch]
            turns, count = itertools.cycle(full_batches), (4 if options.quick else 25) if batch == 1 else 1
            tried = {
                name: [rate(peer, turns, count) for _ in range(3 if options.quick else 6)][1:]
                for name, peer in peers.items()
            }
            medians = {name: statistics.median(rates) for name, rates in tried.items()}
            rate(ours, turns, count)
            best = max(medians, key=lambda name: medians[name])
            rates = ", ".join(f"{name}: {median:.1f}" for name, median in medians.items())
            note = f"peer: {best}, fp32, the best of images/s {rates}"
            yield in_turn(
                f"classify with resnet50, batch {batch}", "images/s", lambda c=count, t=turns: rate(ours, t, c),
                lambda c=count, t=turns, p=peers[best]: rate(p, t, c), options, bar, (ours_are, note),
            )  # fmt: skip


def agreement(net: Network, peer: tuple[str, Classify], ours: Inference, images: Tensor, labels: Tensor) -> Row:
    """Return the share of images with the same class in both, with notes on their difficulty."""
    name, fp32 = peer
    peer_logits, our_logits = (torch.cat([f(batch) for batch in images.split(32)]) for f in (fp32, ours))
    features = torch.cat([net(batch, names=("gap",))[1]["gap"] for batch in images[:64].split(32)])
    head = net.get_submodule("head.fc")
    assert isinstance(head, nn.Linear)
    close = close_calls(head(features), features, head.weight, CLOSE).double().mean()
    top = peer_logits.topk(2).values
    margins = (top[:, 0] - top[:, 1]) / peer_logits[:, :10].std(1)
    low, middle = margins.quantile(torch.tensor([0.05, 0.5])).tolist()
    accuracy = 100 * (peer_logits.argmax(1) == labels).double().mean()
    notes = (
        f"peer: {name}, fp32; n = {len(images):,}, accuracy {accuracy:.1f} % in fp32; margin of the two "
        f"highest logits by the spread of the ten: 5 % below {low:.2f}, median {middle:.2f}",
        f"close calls, computed again in fp32: {100 * close:.1f} % of the first {len(features)}",
    )
    same = (peer_logits.argmax(1) == our_logits.argmax(1)).double().mean().item()
    return Row("classify with resnet50, top-1 agreement with fp32", "share", (same,), (1.0,), AGREEMENT, notes)


if __name__ == "__main__":
    sys.exit(main("inference", "Classifying on a CPU", rows))
