"""C25: one block left out at test time (Veit et al. 2016, section 4.1; no statement of the notes).

The runs: residual nets of the setting's deepest and middle depth, the plain net of its middle depth (deeper plain nets
degrade, and show nothing when they lose a block). The measure: the error on the first IMAGES test images without one
block, for every block whose input and output have one shape, minus the error of the whole net; its median and its
largest value over the blocks. Nothing is trained again.

The rule, committed before its runs: the median of the deepest residual net is at most LITTLE points, that of the plain
net more than MUCH. It holds with a condition if some block of the residual net costs more than MUCH all the same.
LITTLE and MUCH were chosen when figures of seeds 0 to 4 on digits were known (0.4 and 82 points), so these seeds do not
count: it is judged on others.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from reslab.claims.claim import BESIDE, LIMIT, MAIN, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Net, Setting, net
from reslab.claims.phrases import answer
from reslab.claims.quantity import measurement
from reslab.claims.rules import Above, Below
from reslab.claims.text import Text

NAME, MEASUREMENT = "removal", "block-removal"
LITTLE, MUCH = 5.0, 30.0  # percentage points of test error
IMAGES = 2_000  # all 500 test images of digits


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_one_block(setting),)


def nets(setting: Setting) -> dict[str, Net]:
    """The nets that lose a block, by the word that its figures begin with."""
    return {
        "deep": net(f"cifar_resnet{setting.deep}"),
        "middle": net(f"cifar_resnet{setting.middle}"),
        "plain": net(f"cifar_plain{setting.middle}"),
    }


def figures(word: str, whole: float, without: dict[str, float]) -> dict[str, Any]:
    """The figures of one net: its errors in percent, and what a block costs in points."""
    costs = [error - whole for error in without.values()]
    return {
        f"{word}_error": kept(whole),
        f"{word}_median": kept(median(costs)),
        f"{word}_most": kept(max(costs)),
        f"{word}_little": kept(100.0 * sum(cost <= LITTLE for cost in costs) / len(costs)),
        f"{word}_without": {block: kept(error) for block, error in without.items()},
    }


def _measurement(setting: Setting) -> Measurement:
    every = nets(setting)

    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        from reslab.measure.removal import error, errors_without

        assert seed is not None
        results: dict[str, Any] = {}
        for word, variant in every.items():
            network = bench.network(variant, seed)
            images, labels = bench.batch(variant, seed, IMAGES, "test")
            results |= figures(word, error(network, images, labels), errors_without(network, images, labels))
        return results

    return Measurement(MEASUREMENT, make, tuple(dict.fromkeys(every.values())), each_seed=True, seconds=20.0)


def _one_block(setting: Setting) -> Claim:
    deep, middle = setting.deep, setting.middle
    removals = _measurement(setting)

    def cost(key: str, en: str, ko: str, rule: Above | Below, role: str = MAIN, unit: str = "points") -> Statement:
        return Statement(Text(en, ko), measurement(removals.name, key), rule, role=role, unit=unit)

    return Claim(
        id="C25",
        name=NAME,
        quote="",
        said="Veit et al. 2016",
        text=Text(
            "A residual net hardly notices a removed block; a plain one breaks down.",
            "residual 네트워크는 학습한 뒤 block 하나를 빼도 거의 그대로지만, plain 네트워크는 무너진다.",
        ),
        statements=(
            cost(
                "deep_median",
                f"Test error, residual, {deep} layers, one block removed (median over blocks) minus the whole net",
                f"test error, residual, {deep}층, block 하나를 뺀 값(전체 block의 중앙값) − 빼지 않은 값",
                Below(LITTLE),
            ),
            cost(
                "plain_median",
                f"Test error, plain, {middle} layers, one block removed (median over blocks) minus the whole net",
                f"test error, plain, {middle}층, block 하나를 뺀 값(전체 block의 중앙값) − 빼지 않은 값",
                Above(MUCH),
            ),
            cost(
                "deep_most",
                f"Test error, residual, {deep} layers, the most costly block removed, minus the whole net",
                f"test error, residual, {deep}층, 빼면 error가 가장 크게 오르는 block을 뺀 값 − 빼지 않은 값",
                Above(MUCH),
                LIMIT,
            ),
            cost(
                "middle_median",
                f"Test error, residual, {middle} layers, one block removed (median over blocks) minus the whole net",
                f"test error, residual, {middle}층, block 하나를 뺀 값(전체 block의 중앙값) − 빼지 않은 값",
                Below(LITTLE),
                BESIDE,
            ),
            cost(
                "deep_little",
                f"Share of residual-{deep}'s blocks that cost at most {LITTLE:g} points",
                f"residual {deep}층에서 빼도 error가 {LITTLE:g}%p 이하만 오르는 block의 비율",
                Above(50.0),
                BESIDE,
                "%",
            ),
        ),
        answers=answer(
            Text(
                f"Without one block (median over blocks), residual-{deep}'s test error {{s0m}}, that of plain-{middle} "
                f"(deeper plain nets degrade) {{s1m}}. Without the block that matters most, residual-{deep}'s error "
                "{s2m}.",
                f"block 하나를 빼면 residual {deep}층의 test error는 {{s0m}}, plain {middle}층은 {{s1m}}한다(전체 "
                "block의 중앙값. 더 깊은 plain은 degradation 때문에 비교하지 않는다). 가장 중요한 block을 빼면 "
                f"residual {deep}층도 {{s2m}}한다.",
            )
        ),
        measurements=(removals,),
        charts=("removal",),
    )
