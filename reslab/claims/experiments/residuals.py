"""C7 and C8: how large F(x) is against x, before training and after (note 002 §2, note 000; §3.1, §4.2).

The measure: ‖F(x)‖ / ‖x‖ of a block with an identity shortcut, Frobenius norms over the first 128 training images, in
evaluation mode; of a net, the mean over its identity blocks. `residuals-init` measures initial weights for each seed:
He initialisation with BN, the last γ of each branch at 0, and the residual MLP of the notes (no BN). After training the
ratio is read from the probes of the residual twins.

The rule: a block is near the identity if its ratio is at most NEAR. C7 holds if the mean is, at He initialisation, in
the convolutional net and in the MLP. C8 ("F(x) → 0") holds if it is after training in the deepest net. Shown, and
deciding nothing: the zero last γ, which neither paper nor notes have, gives exactly 0; the change in training; and the
deepest against the shallowest net, in the blocks that both have (until 2026-11-27 one block against the mean of many).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from reslab.claims.claim import BESIDE, MAIN, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Evidence, Net, Setting, net
from reslab.claims.experiments.decades import SAMPLES
from reslab.claims.phrases import answer
from reslab.claims.quantity import Quantity, Series, measurement, minus, probe_lines
from reslab.claims.rules import Always, Below
from reslab.claims.text import Text
from reslab.nets.plan import plan

NAME = "residuals"
INITIAL = "residuals-init"
NEAR = 0.1  # the block moves its input by a tenth of its length: less than 6 degrees, whatever the direction


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_initial(setting), _learned(setting))


def identity_blocks(of: Net) -> tuple[str, ...]:
    """Blocks whose shortcut is solid, in network order; elsewhere F(x) is not compared with x itself."""
    return tuple(row.block for row in plan(of.spec()) if row.kind == "add" and row.line == "solid")


# -- at initialisation


def wanted(setting: Setting) -> dict[str, Net]:
    """What is measured at initialisation, by the name of its figure."""
    nets = {f"bn{d}": net(f"cifar_resnet{d}") for d in setting.depths}
    nets[f"zero{setting.deep}"] = net(f"cifar_resnet{setting.deep}", zero_init=True)
    nets[f"mlp{setting.middle}"] = net(f"mlp_resnet{setting.middle}")
    return nets


def initial(setting: Setting, bench: Bench, seed: int | None) -> dict[str, Any]:
    """The mean ratio of each net of `wanted`, and (with "_blocks") the ratios of its identity blocks."""
    from reslab.measure.findings import Subject
    from reslab.measure.probe import probe
    from reslab.models.inputs import fit
    from reslab.nets.model import build

    data, batch = bench.first_images(setting.recipe, SAMPLES)
    figures: dict[str, Any] = {}
    for name, variant in wanted(setting).items():
        network = build(fit(variant.spec(), data, {}), seed=seed or 0)
        subject = Subject(network.name, None, None, data.name, "train", seed)
        result = probe(network, lambda: [batch], subject, "residuals")
        ratios = [r.ratio for r in result.residuals or () if r.line == "solid" and r.ratio is not None]
        figures[name] = kept(fmean(ratios))
        figures[f"{name}_blocks"] = [kept(r) for r in ratios]
    return figures


def _initial(setting: Setting) -> Claim:
    deep, middle = setting.deep, setting.middle

    def ratio(en: str, ko: str, key: str, rule: Always | Below, role: str = BESIDE) -> Statement:
        return Statement(Text(f"‖F(x)‖ / ‖x‖ at initialisation: {en}", f"초기 weight의 ‖F(x)‖ / ‖x‖: {ko}"),
                         measurement(INITIAL, key), rule, role=role)  # fmt: skip

    near = Below(NEAR)
    return Claim(
        id="C7",
        name=NAME,
        quote="weight_init은 0과 근사하게 하기 때문에 skip-connection이 있는 MLP가 목표한 $H(x)$를 가장 효과적으로 "
        "만들 수 있다.",
        said="002",
        text=Text(
            "Initial weights are near zero, so a block starts near the identity.",
            "초기 weight는 0에 가까우므로 residual block은 identity에 가까운 상태에서 시작한다.",
        ),
        statements=(
            ratio(
                f"residual {deep}, He, BN, mean over blocks with identity shortcuts",
                f"residual {deep}, He, BN, identity shortcut block의 평균",
                f"bn{deep}",
                near,
                MAIN,
            ),
            ratio(
                f"residual MLP {middle}, He, no BN", f"residual MLP {middle}, He, BN 없음", f"mlp{middle}", near, MAIN
            ),
            ratio(
                f"residual {deep}, last γ of each branch 0, every block",
                f"residual {deep}, branch의 마지막 γ가 0, 모든 block",
                f"zero{deep}_blocks",
                Always(0.0, 0.0),
            ),
            *(ratio(f"residual {d}, He, BN", f"residual {d}, He, BN", f"bn{d}", near) for d in setting.depths[:-1]),
        ),
        answers=answer(
            Text(
                f"At He initialisation ‖F(x)‖ is {{s0}} times ‖x‖ in the {deep}-layer net and {{s1}} times in the MLP. "
                "With the last BN scale γ set to 0, which is not in the paper, it is {s2}.",
                f"He 초기화에서 ‖F(x)‖는 {deep}층 네트워크가 ‖x‖의 {{s0}}배, MLP가 {{s1}}배다. "
                "논문에 없는 방법이지만 마지막 BN의 γ를 0으로 두면 {s2}이다.",
            )
        ),
        measurements=(Measurement(INITIAL, partial(initial, setting), each_seed=True),),
        charts=("residuals",),
    )


# -- after training


def ratio_of(of: Net, first: bool = False, blocks: Sequence[str] = ()) -> Quantity:
    """The mean ratio over a net's identity blocks at the end of training, or (`first`) of the initial weights.

    blocks  instead of all its identity blocks
    """
    solid = blocks or identity_blocks(of)

    def read(evidence: Evidence) -> Series:
        series: Series = {}
        for seed, record in evidence.runs(of).items():
            lines = probe_lines(record)
            values = _finite(lines[0 if first else -1].get("residuals", {}), solid) if lines else []
            if values:
                series[seed] = fmean(values)
        return series

    which = f" in {', '.join(blocks)}" if blocks else ""
    return Quantity(f"mean {'initial' if first else 'final'} ratio of {of.key}{which}", read, (of,))


def _finite(residuals: dict[str, float | None], solid: Sequence[str]) -> list[float]:
    return [v for block in solid if (v := residuals.get(block)) is not None]


def _learned(setting: Setting) -> Claim:
    shallow, deep = setting.shallow, setting.deep
    nets = {d: net(f"cifar_resnet{d}") for d in setting.depths}
    falls = Statement(
        Text(f"Change of ‖F(x)‖ / ‖x‖ in training, residual {deep}", f"학습 중 ‖F(x)‖ / ‖x‖의 변화, residual {deep}"),
        minus(ratio_of(nets[deep]), ratio_of(nets[deep], first=True)),
        Below(0.0),
        role=BESIDE,
    )
    both = [block for block in identity_blocks(nets[shallow]) if block in identity_blocks(nets[deep])]
    deeper = Statement(
        Text(
            f"‖F(x)‖ / ‖x‖ after training, residual {deep} minus {shallow}, in {', '.join(both)}, which both have",
            f"학습 뒤 ‖F(x)‖ / ‖x‖, residual {deep} − {shallow}, 두 네트워크에 모두 있는 {', '.join(both)}",
        ),
        minus(ratio_of(nets[deep], blocks=both), ratio_of(nets[shallow], blocks=both)),
        Below(0.0),
        role=BESIDE,
    )
    return Claim(
        id="C8",
        name=NAME,
        quote="residual function $F(x)$가 0이 되도록 학습한다!",
        said="000; §3.1, §4.2",
        text=Text("The net learns F(x) → 0.", "네트워크는 F(x) → 0이 되도록 학습한다."),
        statements=(
            Statement(
                Text(
                    f"‖F(x)‖ / ‖x‖ after training, residual {deep}, mean over blocks with identity shortcuts",
                    f"학습 뒤 ‖F(x)‖ / ‖x‖, residual {deep}, identity shortcut block의 평균",
                ),
                ratio_of(nets[deep]),
                Below(NEAR),
            ),
            falls,
            deeper,
            *(
                Statement(
                    Text(f"‖F(x)‖ / ‖x‖ after training, residual {d}", f"학습 뒤 ‖F(x)‖ / ‖x‖, residual {d}"),
                    ratio_of(residual),
                    Below(NEAR),
                    role=BESIDE,
                )
                for d, residual in nets.items()
                if d != deep
            ),
        ),
        answers=answer(
            Text(
                f"After training ‖F(x)‖ is {{s0}} times ‖x‖, averaged over the {deep}-layer net's blocks with "
                f"identity shortcuts. Training changes this ratio by {{s1}}.",
                f"학습 뒤 {deep}층의 identity shortcut block에서 ‖F(x)‖는 평균적으로 ‖x‖의 {{s0}}배다. 학습하는 동안 "
                f"이 비율은 {{s1m}}했다.",
            )
        ),
        charts=("residuals",),
    )
