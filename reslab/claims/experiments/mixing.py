"""C18: blocks of two and of three layers mixed in one net gain nothing (note 002 §5; Fig. 5).

The runs: a net whose blocks are basic and bottleneck in turn, and pure ones with as many blocks in each stage, all of
option B. At the same widths a pure net is cheaper: its base width is the one that brings its MACs nearest to the mixed
net's. The measure: test error at the end of the schedule, seed by seed.
The rule: mixing gains no more than SMALL percent of the error over the better pure net, the one whose mean over the
seeds is lower. (Until 2026-11-27 the margin was 1 point.)
"""

from __future__ import annotations

from statistics import mean
from typing import Any

from reslab.claims.claim import BESIDE, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Evidence, Net, Setting, net
from reslab.claims.phrases import answer
from reslab.claims.quantity import Quantity, Series, final_error, measurement, minus, relative
from reslab.claims.rules import SMALL, Always, Below
from reslab.claims.text import Text
from reslab.nets.cost import cost

NAME = "mixing"
PURE = {"basic": 12, "bottleneck": 18}  # layers that two blocks in each of three stages have
MIXED = 15
NEAR_COST = 0.05  # of the multiply-adds: widths are whole channels, one more changes a net by a tenth at most


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_mixed(setting),)


def compared(setting: Setting) -> dict[str, Net]:
    """The mixed net nearest to the middle depth, and the pure nets of as many blocks and about its multiply-adds."""
    pairs = max(1, round((setting.middle - 2) / MIXED))
    mixed = net(f"cifar_resnet{MIXED * pairs + 2}", block="basic,bottleneck")
    macs, compared_nets = cost(mixed.spec()).macs, {"mixed": mixed}
    for block, layers in PURE.items():
        own = {} if block == "basic" else {"block": block}
        widths: list[dict[str, Any]] = [{"widths": (w, 2 * w, 4 * w)} if w != 16 else {} for w in range(8, 33)]
        nets = [net(f"cifar_resnet{layers * pairs + 2}", shortcut="B", **own, **wide) for wide in widths]
        compared_nets[block] = min(nets, key=lambda of: abs(cost(of.spec()).macs - macs))
    return compared_nets


def better_minus(pure: list[Quantity], mixed: Quantity) -> Quantity:
    """The pure net whose mean is the lowest, minus the mixed one, over the seeds that all have."""

    def read(evidence: Evidence) -> Series:
        series_of_pure, other = [q.read(evidence) for q in pure], mixed.read(evidence)
        seeds = [s for s in other if all(s in series for series in series_of_pure)]
        if not seeds:
            return {}
        best = min(series_of_pure, key=lambda series: mean(series[s] for s in seeds))
        return {s: best[s] - other[s] for s in seeds}

    nets = tuple(dict.fromkeys(n for q in (*pure, mixed) for n in q.nets))
    key = f"the best of ({'; '.join(q.key for q in pure)}) minus {mixed.key}"
    return Quantity(key, read, nets)


def _counts(setting: Setting) -> Measurement:
    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        """Blocks in a stage, parameters and MACs of the mixed net and the pure ones; MACs pure over mixed."""
        specs = [net.spec() for net in compared(setting).values()]
        mixed, *pure = [cost(spec) for spec in specs]
        return {
            "blocks": [len(spec.blocks[0]) for spec in specs],
            "parameters": [total.parameters for total in (mixed, *pure)],
            "macs": [total.macs for total in (mixed, *pure)],
            "macs_ratio": [kept(total.macs / mixed.macs) for total in pure],
        }

    return Measurement("mixing-cost", make)


def _mixed(setting: Setting) -> Claim:
    counts, nets = _counts(setting), compared(setting)
    errors = {key: final_error(net, "test") for key, net in nets.items()}
    return Claim(
        id="C18",
        name=NAME,
        quote="Basic(2개)과 Bottleneck(3개)은 **expansion·스케일링 철학이 달라** 한 모델 안에서 섞으면 규칙이 깨지고 "
        "이득도 크지 않아서",
        said="002 §5; Fig. 5, Table 1",
        text=Text(
            "Mixing blocks of two and of three layers in one net gains nothing.",
            "2개층 block과 3개층 block을 한 네트워크에 섞어도 이득이 없다.",
        ),
        statements=(
            Statement(
                Text(
                    f"Test error, the better pure net against the mixed one: mixing gains no more than {SMALL:g} % "
                    "of it",
                    f"test error, 섞은 네트워크와 한 종류 block만 쓴 더 나은 네트워크의 비교: 섞어서 얻는 이득이 "
                    f"{SMALL:g} % 이하",
                ),
                relative(better_minus([errors[key] for key in PURE], errors["mixed"]), errors["mixed"]),
                Below(SMALL),
                unit="%",
            ),
            Statement(
                Text(
                    "Multiply-adds of the pure nets over the mixed one's: about equal",
                    "MACs, 한 종류 block만 쓴 네트워크 / 섞은 네트워크: 거의 같다",
                ),
                measurement(counts.name, "macs_ratio"),
                Always(1 - NEAR_COST, 1 + NEAR_COST),
                role=BESIDE,
                unit="×",
            ),
            *(
                Statement(
                    Text(f"Test error, {key} alone minus mixed", f"test error, {key} block만 − 섞은 네트워크"),
                    relative(minus(errors[key], errors["mixed"]), errors["mixed"]),
                    Below(SMALL),
                    role=BESIDE,
                    unit="%",
                )
                for key in PURE
            ),
        ),
        answers=answer(
            Text(
                "At equal multiply-adds and relative to the mixed net, test error is {s2l} with basic blocks alone "
                "and {s3l} with bottlenecks alone.",
                "MACs가 같으면 basic block만 쓴 네트워크의 test error가 섞은 네트워크보다 {s2l}. bottleneck만 "
                "쓴 네트워크는 {s3l}.",
            )
        ),
        measurements=(counts,),
        charts=("curves",),
    )
