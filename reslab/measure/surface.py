"""The loss around a network's weights, along one or two random directions.

Li, Xu, Taylor, Studer, Goldstein 2018, "Visualizing the loss landscape of neural nets". A direction is drawn from
N(0, 1) and filter-normalised: each filter of it (a convolution's output channel, a linear layer's output) is scaled
to the norm of the weights' filter. It is 0 for biases and for γ and β of BN. BN keeps the moving averages of the
unchanged weights at every point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from reslab.measure.evaluate import Scores, Tally
from reslab.measure.passes import Batches, Progress, moved
from reslab.nets.model import Network, layer_seed

POINTS = {1: 41, 2: 15}  # steps along each direction, by the number of directions; odd, so that 0 is one of them
REACH = 1.0  # the last step: a direction as long as the weights


@dataclass(frozen=True)
class Surface:
    """Mean cross entropy and top-1 error (percent) at weights + a · first direction + b · second direction.

    seed         of the directions
    directions   1 or 2
    steps        the values of a and of b, from -1 to 1
    cosine       of the angle between both directions; None for one
    loss, error  of one direction a value for each a; of two a row for each a with a value for each b
    bn           which statistics BN uses at every point: as `Probe.bn`, those of the unchanged weights
    """

    seed: int
    directions: int
    steps: tuple[float, ...]
    cosine: float | None
    loss: tuple[float, ...] | tuple[tuple[float, ...], ...]
    error: tuple[float, ...] | tuple[tuple[float, ...], ...]
    bn: str


def steps_of(directions: int) -> tuple[float, ...]:
    """Return the steps along each of 1 or 2 directions: equally spaced, symmetric, 0 in the middle."""
    half = POINTS[directions] // 2
    return tuple(REACH * i / half for i in range(-half, half + 1))


def direction(net: Network, seed: int, number: int) -> dict[str, Tensor]:
    """Return the filter-normalised direction `number` (0, 1 …) of `seed`, by the name of the weight.

    Each has its weight's shape [out, …], type and device, and each filter [out] has the norm of the weight's filter.
    Biases, γ and β are left out.
    """
    found = {}
    for name, weight in net.named_parameters():
        if weight.dim() > 1:
            generator = torch.Generator().manual_seed(layer_seed(seed, f"direction {number}: {name}"))
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64).flatten(1)
            size = weight.detach().double().cpu().flatten(1).norm(dim=1, keepdim=True)
            scaled = drawn * (size / drawn.norm(dim=1, keepdim=True))
            found[name] = scaled.view(weight.shape).to(weight.device, weight.dtype)
    return found


def surface(
    net: Network, batches: Batches, n: int, bn: str, seed: int, directions: int, tell: Callable[[str], None]
) -> Surface:
    """Return loss and error of `n` samples around the weights of `net`, in evaluation mode; they are restored."""
    lines = [direction(net, seed, number) for number in range(directions)]
    steps = steps_of(directions)
    scores = scores_along(net, lines, list(product(steps, repeat=directions)), batches, n, tell)
    losses, errors = [s.loss for s in scores], [s.top1_error for s in scores]
    if directions == 1:
        return Surface(seed, 1, steps, None, tuple(losses), tuple(errors), bn)
    width = len(steps)
    rows = [slice(i, i + width) for i in range(0, width * width, width)]
    loss, error = (tuple(tuple(values[row]) for row in rows) for values in (losses, errors))
    return Surface(seed, directions, steps, _cosine(*lines), loss, error, bn)


def _cosine(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    first, second = (torch.cat([v.double().flatten() for v in line.values()]) for line in (one, other))
    return float(first @ second / (first.norm() * second.norm()))


@torch.no_grad()
def scores_along(
    net: Network,
    lines: Sequence[dict[str, Tensor]],
    points: Sequence[tuple[float, ...]],
    batches: Batches,
    n: int,
    tell: Callable[[str], None],
) -> list[Scores]:
    """Return the scores of `n` samples at weights + Σ point[i] · lines[i], for each point.

    The weights are restored bit for bit, also after an error.
    """
    weights = dict(net.named_parameters())
    moving = {name: weights[name] for name in lines[0]}
    originals = {name: weight.clone() for name, weight in moving.items()}
    tallies = [Tally(net.spec.classes) for _ in points]
    progress = Progress(tell, "surface")
    try:
        for images, labels in moved(net, batches):
            for point, tally in zip(points, tallies, strict=True):
                for name, weight in moving.items():
                    weight.copy_(originals[name])
                    for step, line in zip(point, lines, strict=True):
                        weight.add_(line[name], alpha=step)
                tally.add(net(images), labels)
                progress.step(len(labels) / n / len(points))
    finally:
        for name, weight in moving.items():
            weight.copy_(originals[name])
    return [tally.scores(n) for tally in tallies]
