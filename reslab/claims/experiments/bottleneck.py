"""C12: what a bottleneck saves (note 002 §3; Fig. 5, §4.1).

No training: parameters and multiply-adds of a basic block over those of a bottleneck, both with the identity as
shortcut. The rule: at equal width in and out (256) both ratios are at least SAVES. The limit: in Fig. 5's own pair (64
against 256 channels) neither differs by more than SIMILAR. Shown, as the note is silent on time: the measured time of a
forward and backward pass, the ratio of medians in REPEATS rounds in which the two blocks take turns; a bottleneck is
faster if the 95 % interval of the rounds is above 1.
"""

from __future__ import annotations

from typing import Any

from reslab.claims.claim import BESIDE, LIMIT, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Setting
from reslab.claims.phrases import answers
from reslab.claims.quantity import measurement
from reslab.claims.rules import Above, Always
from reslab.claims.text import Text
from reslab.nets.cost import cost_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

NAME = "bottleneck"
SAVES = 1.1  # a tenth: a smaller saving is no reason to choose a block
SIMILAR = 0.1  # the same tenth: Fig. 5 and §4.1 call the two blocks similar
REPEATS = 7  # rounds of the clock, each a median of ROUND steps of each block
ROUND = 3
MAP, BATCH = 14, 8  # of the clocked blocks: a step of the dearest takes a fraction of a second
# Fig. 5's pair, and a basic block of the bottleneck's own width: (kind, base width)
PAIRS = {"figure5": (("basic", 64), ("bottleneck", 64)), "equal": (("basic", 256), ("bottleneck", 64))}


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_cost(),)


def stack(kind: str, width: int, size: int) -> Spec:
    """A net of one stage whose second block, conv2_2, has the identity as its shortcut."""
    layers = {"basic": 2, "bottleneck": 3}[kind]
    return Spec("cifar", 2 * layers + 2, ((kind, kind),), (width,), image_size=size)


def _costs(bench: Bench, seed: int | None) -> dict[str, Any]:
    """By pair: parameters (BN included) and MACs at Table 1's 56x56 of both blocks, and basic over bottleneck."""
    figures: dict[str, Any] = {}
    for name, pair in PAIRS.items():
        blocks = [
            cost_of([row for row in plan(stack(kind, width, 56)) if row.block == "conv2_2"]) for kind, width in pair
        ]
        for key in ("parameters", "macs"):
            basic, bottleneck = (getattr(block, key) for block in blocks)
            figures |= {f"{name}_{key}": [basic, bottleneck], f"{name}_{key}_ratio": kept(basic / bottleneck)}
    return figures


def _times(bench: Bench, seed: int | None) -> dict[str, Any]:
    """By pair: seconds of a training step of both blocks, round by round, and their ratios."""
    from statistics import median
    from time import perf_counter

    import torch

    from reslab.nets.model import Note, build

    figures: dict[str, Any] = {}
    for name, pair in PAIRS.items():
        steps = []
        for kind, width in pair:
            block = build(stack(kind, width, MAP)).get_submodule("conv2_2").train()
            channels = width * (4 if kind == "bottleneck" else 1)
            x = torch.rand((BATCH, channels, MAP, MAP), generator=torch.Generator().manual_seed(0))
            steps.append((block, x.requires_grad_()))

        def once(block: torch.nn.Module, x: torch.Tensor) -> float:
            start = perf_counter()
            block(x, Note()).sum().backward()
            return perf_counter() - start

        for block, x in steps:  # warmed up
            once(block, x)
        rounds: list[tuple[list[float], list[float]]] = [([], []) for _ in range(REPEATS)]
        for pair_times in rounds:
            for _ in range(ROUND):
                for times, (block, x) in zip(pair_times, steps, strict=True):
                    times.append(once(block, x))
        medians = [(median(a), median(b)) for a, b in rounds]
        figures[f"{name}_seconds_basic"] = [float(f"{a:.4g}") for a, _ in medians]
        figures[f"{name}_seconds_bottleneck"] = [float(f"{b:.4g}") for _, b in medians]
        figures[f"{name}_time_ratio"] = [float(f"{a / b:.4g}") for a, b in medians]
    return figures


def _cost() -> Claim:
    counts, clock = Measurement("bottleneck-cost", _costs), Measurement("bottleneck-time", _times, seconds=9)
    words = {"parameters": Text("parameters", "parameter 수"), "macs": Text("MACs", "MACs")}
    return Claim(
        id="C12",
        name=NAME,
        quote="50층 이상의 ResNet부터는 Bottleneck 구조를 사용하여 params. FLOPs 감소",
        said="002 §3; Fig. 5, §4.1",
        text=Text(
            "Bottlenecks save parameters and FLOPs.",
            "bottleneck은 parameter와 FLOPs를 줄인다.",
        ),
        statements=(
            *(
                Statement(
                    Text(
                        f"256 channels in and out: {word.en} of a basic block over a bottleneck's",
                        f"입출력 256채널: basic block의 {word.ko} / bottleneck의 {word.ko}",
                    ),
                    measurement(counts.name, f"equal_{key}_ratio"),
                    Always(low=SAVES),
                    unit="×",
                )
                for key, word in words.items()
            ),
            *(
                Statement(
                    Text(
                        f"Fig. 5's pair (64 against 256 channels): {word.en} of the basic block over the bottleneck's "
                        "(1: equal)",
                        f"Fig. 5의 두 block(64채널과 256채널): basic block의 {word.ko} / bottleneck의 {word.ko}(1: "
                        f"같다)",
                    ),
                    measurement(counts.name, f"figure5_{key}_ratio"),
                    Always(1 - SIMILAR, 1 + SIMILAR),
                    role=LIMIT,
                    unit="×",
                )
                for key, word in words.items()
            ),
            *(
                Statement(
                    Text(
                        f"{en}: time of a training step, basic block over bottleneck, timed 7 times",
                        f"{ko}: 학습 한 step의 시간, basic block / bottleneck, 7회 측정",
                    ),
                    measurement(clock.name, f"{name}_time_ratio"),
                    Above(1.0),
                    role=BESIDE,
                    unit="×",
                )
                for name, en, ko in (
                    ("equal", "256 channels in and out", "입출력 256채널"),
                    ("figure5", "Fig. 5's pair", "Fig. 5의 두 block"),
                )
            ),
        ),
        answers=answers(
            holds=Text(
                "A basic block of the same width has {s0} the parameters and {s1} the multiply-adds.",
                "폭이 같으면 basic block의 parameter는 bottleneck의 {s0}, MACs는 {s1}다.",
            ),
            condition=Text(
                "At equal width a basic block has {s0} a bottleneck's parameters, {s1} its MACs. Fig. 5's pair costs "
                "about the same ({s2}): its bottleneck is four times as wide.",
                "폭이 같으면 basic block의 parameter는 bottleneck의 {s0}, MACs는 {s1}다. Fig. 5의 두 block은 비용이 "
                "거의 같고({s2}), 이때 bottleneck의 폭은 네 배다.",
            ),
            fails=Text(
                "A basic block of the same width has {s0} the parameters.",
                "폭이 같으면 basic block의 parameter는 bottleneck의 {s0}다.",
            ),
            undecided=Text(
                "A basic block of the same width has {s0} the parameters.",
                "폭이 같으면 basic block의 parameter는 bottleneck의 {s0}다.",
            ),
        ),
        measurements=(counts, clock),
    )
