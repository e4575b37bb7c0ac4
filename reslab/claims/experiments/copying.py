"""C23: the identity is easier to learn with a shortcut (notes 001 and 002 §2; §3.1).

No runs of the study: stacks of residual blocks and of their plain twins (same initial weights and samples) are trained
by SGD to give back what they get, always on the digits' training images in [0, 1], whatever the study's data are:
  mlp     fully connected layers of width 64, the 8x8 pixels, no BN, He initialisation
  near0   the same with every initial weight times NEAR_ZERO: 002's own reason is that weights start near zero
  conv    3x3 convolutions with BN, 16 channels; their input is what the net's untrained stem makes of the images
The measure: mean squared error over all training images relative to the variance of what is to be copied (1: the best
constant answer), BN on the statistics of these images. Steps, batch and momentum are the same for all; the rate of each
stack is the one of GRID with which it ends lowest on seeds that are not the study's (`best_rate`, made once, RATES), so
that neither kind is held back by the other's. A stack that diverges ends at CEILING.
The rule: over the seeds log10(residual error / plain error) is below 0, with its 95 % interval, in the shallowest
stacks and in the deepest of which at least one learns (in most seeds ends below LEARNS): two stacks that both fail
compare nothing. The MLP at He initialisation and the convolutions decide; near zero the plain stack cannot learn by
construction (its output is 0.1 to the power of its depth), so that it is shown and decides nothing. (Until 2026-11-27
the stacks of 16 layers alone decided, near zero as well.)
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Any

from reslab.claims.claim import BESIDE, MAIN, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Evidence, Setting
from reslab.claims.phrases import answer
from reslab.claims.quantity import Quantity, Series, measurement
from reslab.claims.rules import Below
from reslab.claims.text import Text

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.nets.model import Network
    from reslab.nets.spec import Spec

NAME = "copying"
STACKS = ("mlp", "near0", "conv")
DECIDING = ("mlp", "conv")
DEPTHS = (2, 4, 8, 16)  # weight layers: 1, 2, 4, 8 blocks of two
STEPS = {"mlp": 300, "near0": 300, "conv": 100}  # what one core does in seconds: "easier" holds for this budget
SECONDS = {"mlp": 10, "near0": 10, "conv": 60}  # of all depths, plain and residual, one seed
VERSIONS = {"mlp": 1, "near0": 2, "conv": 1}
BATCH, MOMENTUM = 64, 0.9  # as the digits study; the momentum is the paper's (§3.4)
NEAR_ZERO = 0.1
SEEN = (0, 10, 30, 100, 300)  # the steps at which the error is measured
LEARNS = 0.5  # error below which a stack has learnt: it explains half of the variance
CEILING = 1e6  # what is not finite, or above it
PILOT = (100, 101, 102)  # seeds of `best_rate`, none of a study's
# The paper's rate, divided by 10 as the paper does (§3.4), and so far to both sides that no best one lies at an end.
GRID = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001)
RATES: dict[tuple[str, bool], tuple[float, ...]] = {  # (stack, residual) → one for each depth, by `best_rate`
    ("mlp", False): (0.1, 0.1, 0.1, 0.01),
    ("mlp", True): (0.1, 0.01, 0.001, 0.0001),
    ("near0", False): (0.1, 0.1, 0.1, 1.0),
    ("near0", True): (1.0, 1.0, 1.0, 0.1),
    ("conv", False): (0.01, 0.1, 0.01, 0.1),
    ("conv", True): (0.01, 0.01, 0.01, 0.001),
}


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_easier(),)


def spec_of_stack(stack: str, depth: int, residual: bool) -> Spec:
    """The net whose blocks are the stack: one stage, as many blocks of two layers as `depth` has pairs."""
    from reslab.nets.spec import Spec

    blocks = (("basic",) * (depth // 2),)
    if stack == "conv":
        return Spec("cifar", depth + 2, blocks, (16,), residual, "A", in_channels=1, image_size=8)
    return Spec("mlp", depth + 2, blocks, (64,), residual, stem="none", batch_norm=False, in_channels=1, image_size=8)


def images() -> Tensor:
    """The digits' training images: [1297,1,8,8] in [0, 1]."""
    import numpy as np
    import torch

    from reslab.data.sets.digits import digits

    pixels: Any = digits().train.images  # type: ignore[union-attr]  # of the digits' Memory, not of Files
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255


def to_copy(stack: str, net: Network) -> Tensor:
    """What a stack gets and is to give back, never negative: [1297,64], or for "conv" [1297,16,8,8]."""
    import torch

    from reslab.nets.model import Note

    if stack != "conv":
        return images().flatten(1)
    with torch.no_grad():
        activations: Tensor = net.eval().get_submodule("stem")(images(), Note())
    return activations


def errors(stack: str, depth: int, residual: bool, seed: int, rate: float) -> list[float]:
    """The error of a stack at each step of SEEN up to its last one, trained from the initial weights of `seed`."""
    import torch

    from reslab.nets.model import Block, Note, build

    net = build(spec_of_stack(stack, depth, residual), seed=seed)
    target = to_copy(stack, net)
    blocks = [part for part in net.train().children() if isinstance(part, Block)]
    weights = [weight for block in blocks for weight in block.parameters()]
    if stack == "near0":
        with torch.no_grad():
            for weight in weights:
                weight.mul_(NEAR_ZERO)
    variance = (target - target.mean(0)).square().mean()
    optimizer = torch.optim.SGD(weights, lr=rate, momentum=MOMENTUM)
    order = torch.Generator().manual_seed(seed)

    def loss(x: Tensor) -> Tensor:
        out = x
        for block in blocks:
            out = block(out, Note())
        return (out - x).square().mean() / variance

    curve = []
    for step in range(STEPS[stack] + 1):
        if step in SEEN:
            with torch.no_grad():
                curve.append(_told(loss(target).item()))
        if step < STEPS[stack]:
            batch = target[torch.randint(len(target), (BATCH,), generator=order)]
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()
    return curve


def _told(error: float) -> float:
    return kept(min(error, CEILING)) if math.isfinite(error) else CEILING


def best_rate(stack: str, depth: int, residual: bool) -> float:
    """The rate of GRID with the lowest mean log error at the end, on the seeds of PILOT: how RATES were found."""

    def end(rate: float) -> float:
        return sum(math.log10(errors(stack, depth, residual, seed, rate)[-1]) for seed in PILOT)

    return min(GRID, key=end)


def _measurement(stack: str) -> Measurement:
    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        """By depth the last errors and log10 of their ratio; the errors at a few steps, "plain_16_curve"."""
        assert seed is not None
        figures: dict[str, Any] = {
            "depths": list(DEPTHS),
            "steps": [step for step in SEEN if step <= STEPS[stack]],
            "plain": [],
            "residual": [],
        }
        for number, depth in enumerate(DEPTHS):
            for kind, residual in (("plain", False), ("residual", True)):
                curve = errors(stack, depth, residual, seed, RATES[stack, residual][number])
                figures[f"{kind}_{depth}_curve"] = curve
                figures[kind].append(curve[-1])
            ratio = math.log10(figures["residual"][-1] / figures["plain"][-1])
            figures[f"log_ratio_{depth}"] = kept(ratio)
        return figures

    return Measurement(f"copying-{stack}", make, each_seed=True, version=VERSIONS[stack], seconds=SECONDS[stack])


_WORDS = {
    "mlp": Text("MLP, He initialisation", "MLP, He 초기화"),
    "near0": Text(f"MLP, initial weights times {NEAR_ZERO:g}", f"MLP, 초기 weight × {NEAR_ZERO:g}"),
    "conv": Text("convolutions with BN", "BN이 있는 convolution"),
}


def deepest_that_learns(stack: str) -> Quantity:
    """log10(residual error / plain error) at the greatest depth at which at least one of the two learns."""

    def read(evidence: Evidence) -> Series:
        by_seed = {s: f for s, f in evidence.measured.get(f"copying-{stack}", {}).items() if s is not None}
        for number in reversed(range(len(DEPTHS))):
            ends = {seed: (f["residual"][number], f["plain"][number]) for seed, f in by_seed.items()}
            if ends and median(min(pair) for pair in ends.values()) < LEARNS:
                return {seed: math.log10(residual / plain) for seed, (residual, plain) in ends.items()}
        return {}

    return Quantity(
        f"log ratio of {stack} at the deepest that learns, below {LEARNS:g}", read, (), (f"copying-{stack}",)
    )


def _deepest(stack: str) -> Statement:
    return Statement(
        Text(
            f"{_WORDS[stack].en}, greatest depth at which either learns (error below {LEARNS:g} of the input's "
            "variance; beyond it the ratio says nothing): error with shortcuts over error without",
            f"{_WORDS[stack].ko}, 둘 중 하나라도 학습되는(오차가 입력 분산의 {LEARNS:g}배 미만인) 최대 층수에서 "
            "오차의 비율, residual / plain(더 깊으면 둘 다 학습되지 않아 비교할 수 없다)",
        ),
        deepest_that_learns(stack),
        Below(0.0),
        unit="decades",
    )


def _ratio(stack: str, depth: int) -> Statement:
    return Statement(
        Text(
            f"{_WORDS[stack].en}, {depth} layers: error with shortcuts over error without",
            f"{_WORDS[stack].ko}, {depth}층: 오차의 비율, residual / plain",
        ),
        measurement(f"copying-{stack}", f"log_ratio_{depth}"),
        Below(0.0),
        role=MAIN if depth == DEPTHS[0] and stack in DECIDING else BESIDE,
        unit="decades",
    )


def _easier() -> Claim:
    return Claim(
        id="C23",
        name=NAME,
        quote="그런데, weight_init은 0과 근사하게 하기 때문에 skip-connection이 있는 MLP가 목표한 $H(x)$를 가장 "
        "효과적으로 만들 수 있다.",
        said="001, 002 §2; §3.1",
        text=Text(
            "The identity is easier to learn with a shortcut.",
            "항등함수(identity)는 shortcut이 있으면 배우기 더 쉽다.",
        ),
        statements=(
            *(statement for stack in DECIDING for statement in (_ratio(stack, DEPTHS[0]), _deepest(stack))),
            *(_ratio(stack, depth) for stack in DECIDING for depth in DEPTHS[1:]),
            *(_ratio("near0", depth) for depth in DEPTHS),
        ),
        answers=answer(
            Text(
                f"Trained to copy inputs, {DEPTHS[0]} layers with a shortcut end at {{s0n}} (MLP) and {{s2n}} "
                "(convolutions) of the error without. At the greatest depth that learns at all it is {s1n} and {s3n}.",
                f"입력을 그대로 내보내도록 학습하면 {DEPTHS[0]}층에서 shortcut이 있을 때의 오차는 없을 때의 "
                "{s0n}배(MLP), {s2n}배(convolution)다. 학습이 되는 가장 깊은 네트워크에서는 각각 {s1n}배, {s3n}배다.",
            )
        ),
        measurements=tuple(_measurement(stack) for stack in STACKS),
        charts=("copying",),
    )
