"""A model of the time of the paper's runs on many devices: `python -m benchmarks.scale --predict`.

An update of B images on N devices takes

    compute + max(0, sum - backward),   compute = B / N / rate,   backward = 2/3 compute,
    sum = 2 (N - 1) (latency + bytes / N / bandwidth)

because gradients are sent during the backward pass, which has two of the three convolutions of an update. `sum` is the
time of a ring all-reduce. A model, no measurement: it knows no input pipeline, no device that is slower than another,
and no loss of rate when a device gets few images.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

from benchmarks.side import machine, quiet, table
from reslab.nets.cost import cost
from reslab.nets.names import spec_of

BACKWARD = 2 / 3
NODE = 8  # devices of a machine


@dataclass(frozen=True)
class Link:
    """What connects devices: seconds of a message, bytes per second each way."""

    latency: float
    bandwidth: float


# NVIDIA DGX A100 data sheet: NVLink 600 GB/s in both directions together; one network card of 200 Gb/s a GPU. The
# latencies are assumptions.
NVLINK, NETWORK = Link(10e-6, 300e9), Link(20e-6, 25e9)
# Images a second of resnet50 on A100 in mixed precision, 256 images a device: NVIDIA DeepLearningExamples, PyTorch,
# ResNet50 v1.5, "Training performance: NVIDIA DGX A100 (8x A100 80GB)".
A100, EIGHT_A100 = 2_470.0, 16_621.0
# On one H100: benchmarks/results/gpu-2026-11-27-nvidia-h100.md; updates alone, on images in memory.
H100_RESNET50, H100_RESNET20 = 5_765.0, 67_841.0
IMAGENET = 600_000 * 256  # images of the paper's run: iterations times batch (section 3.4)
CIFAR = 64_000 * 128  # section 4.2
TABLE_6 = (20, 32, 44, 56, *[110] * 5, 1202)  # the runs behind it: 110 layers five times
DEVICES = (1, 8, 64)


def sum_seconds(size: float, devices: int, link: Link) -> float:
    """Return the seconds of a ring all-reduce of `size` bytes over `devices`."""
    return 2 * (devices - 1) * (link.latency + size / devices / link.bandwidth)


def update_seconds(share: float, rate: float, size: float, devices: int, link: Link) -> float:
    """Return the seconds of an update with `share` images on each of the devices, which compute `rate` a second."""
    compute = share / rate
    return compute + max(0.0, sum_seconds(size, devices, link) - BACKWARD * compute)


def longest(hours: Sequence[float], devices: int) -> float:
    """Return when the last run ends if each device takes the longest run that is left whenever it is free."""
    free = [0.0] * devices
    heapify(free)
    for one in sorted(hours, reverse=True):
        heapreplace(free, free[0] + one)
    return max(free)


def link_of(devices: int) -> Link:
    return NVLINK if devices <= NODE else NETWORK


def imagenet() -> list[str]:
    """Return the table of the paper's ImageNet run of resnet50."""
    size = 4.0 * cost(spec_of("resnet50")).parameters
    rows = []
    for name, rate in (("A100 (NVIDIA)", A100), ("H100 (ours)", H100_RESNET50)):
        for devices in DEVICES:
            cells = [name, str(devices)]
            for share in (256 / devices, 256.0):
                seconds = update_seconds(share, rate, size, devices, link_of(devices))
                hours = IMAGENET / (share * devices) * seconds / 3600
                cells.append(f"{hours:.2f}")
            rows.append(cells)
    return table(("device", "devices", "hours, batch 256 in all", "hours, 256 on each"), rows)


def table_6() -> list[str]:
    """Return the table of the ten runs behind the paper's Table 6, each on one device."""
    macs = {depth: cost(spec_of(f"cifar_resnet{depth}")).macs for depth in set(TABLE_6)}
    hours = [CIFAR / H100_RESNET20 * macs[depth] / macs[20] / 3600 for depth in TABLE_6]
    rows = [[str(devices), f"{longest(hours, devices):.2f}"] for devices in DEVICES]
    return table(("H100s, one run each", "hours until the last run ends"), rows)


def checked() -> list[str]:
    """Measure one and two ranks here and return what the model says of two."""
    from benchmarks.scale import RANKS, SHARE, Pair, all_reduce_pieces, independent_pieces, reslab_pieces

    model, rows = "cifar_resnet20", []
    size = 4 * cost(spec_of(model, shortcut="A")).parameters
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache, Pair(reslab_pieces, model, cache) as ours,
        Pair(independent_pieces, model, cache) as independent, Pair(all_reduce_pieces, model, cache) as sums,
    ):  # fmt: skip
        for _ in range(5):
            alone, slower, together = independent.rate(40), independent.lockstep(40), ours.rate(40)
            small, large = (max(sums("seconds", amount)) for amount in (4, size))
            link = Link(small / RANKS, size / max(1e-9, large - small))
            said = [RANKS * SHARE / update_seconds(SHARE, r / RANKS, size, RANKS, link) for r in (alone, slower)]
            figures = [f"{value:,.0f}" for value in (alone, *said, together)]
            rows.append([f"{1000 * large:.2f}", *figures])
    return table(
        ("ms of a sum", "independent, img/s", "model from it", "model from the slower one's updates", "two ranks"), rows
    )


def main() -> int:
    """Print the model's tables, and its check against one and two ranks of this machine."""
    quiet(60)
    load = os.getloadavg()[0]
    print("# A model of the paper's runs on many devices\n")
    print("\n".join(["The ImageNet run, resnet50, 600,000 updates of 256 images:", "", *imagenet(), ""]))
    size = 4.0 * cost(spec_of("resnet50")).parameters
    said = NODE * 256 / update_seconds(256, A100, size, NODE, NVLINK)
    print(
        f"Eight A100: the model says {said:,.0f} img/s, NVIDIA measured {EIGHT_A100:,.0f}: {EIGHT_A100 / said:.0%}.\n"
    )
    print("\n".join(["Table 6, time by multiply-adds from that of 20 layers:", "", *table_6(), ""]))
    print("\n".join(["Two ranks here, cifar_resnet20, one thread each, 64 images each:", "", *checked(), ""]))
    print("\n".join(machine(load)))
    return 0
