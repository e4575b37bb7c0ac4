"""C13: the layer of a stage in which stride 2 stands (note 002 §3; Table 1, §3.3).

The runs: the CIFAR net of 29 layers in bottlenecks, its stride in the first 1x1 and in the 3x3, trained side by side.
The measure: which layer of a stage's first block has the stride, counted in the plan. Rule: the first for 18 and 34
layers, the second for 50, 101 and 152 as the paper has them (the authors' released definition, "v1"; the second is
"v1.5", which came later). Beside: multiply-adds of 50 layers in both forms, and the paired difference of the errors,
which is none where its 95 % interval lies within MARGIN.
"""

from __future__ import annotations

from typing import Any

from reslab.claims.claim import BESIDE, MAIN, Bench, Claim, Measurement, Statement
from reslab.claims.evidence import Setting, net
from reslab.claims.quantity import final_error, measurement, minus
from reslab.claims.rules import CONDITION, FAILS, HOLDS, UNDECIDED, Always, Within
from reslab.claims.text import Text
from reslab.nets.cost import cost
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

NAME = "strides"
MARGIN = 1.0  # percentage point, as in the claim of degradation
V1, V15 = net("cifar_resnet29", block="bottleneck"), net("cifar_resnet29", block="bottleneck", stride_in="3x3")


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_stride(),)


def strided(spec: Spec) -> list[int]:
    """Stage by stage, which layer of its first block's branch has the stride of 2: 1 is the first."""
    found = []
    for row in plan(spec):
        if row.path == "branch" and row.kind == "conv" and row.stride == 2:
            assert row.block.endswith("_1")
            found.append(int(row.name.rpartition("conv")[2]))
    return found


def _places(bench: Bench, seed: int | None) -> dict[str, Any]:
    """Where stride 2 stands in the paper's nets and in v1.5, and GMACs of 50 layers in both forms."""
    nets: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "basic": ((18, 34), {}),
        "v1": ((50, 101, 152), {}),
        "v15": ((50, 101, 152), {"stride_in": "3x3"}),
    }
    found: dict[str, Any] = {
        key: [place for depth in depths for place in strided(spec_of(f"resnet{depth}", **more))]
        for key, (depths, more) in nets.items()
    }
    for key in ("v1", "v15"):
        found[f"gmacs_{key}"] = float(f"{cost(spec_of('resnet50', **nets[key][1])).macs / 1e9:.8g}")
    return found


def _stride() -> Claim:
    made = Measurement("strides-place", _places)

    def place(key: str, value: int, en: str, ko: str, role: str = MAIN) -> Statement:
        return Statement(Text(en, ko), measurement(made.name, key), Always(value, value), role=role)

    def gap(split: str) -> Statement:
        return Statement(
            Text(
                f"{split.capitalize()} error, 29 layers of bottlenecks, stride in the 3x3 minus in the first 1x1: no "
                f"difference beyond {MARGIN:g} point",
                f"{split} error, bottleneck 29층, stride가 3x3에 있을 때 − 첫 1x1에 있을 때: 차이 {MARGIN:g}점 이내",
            ),
            minus(final_error(V15, split), final_error(V1, split)),
            Within(MARGIN),
            role=BESIDE,
            unit="points",
        )

    return Claim(
        id="C13",
        name=NAME,
        quote="34-layer 모델까진 conv_x의 첫 번째 layer에서 stride=2를 적용하고 50-layer 모델 부턴 conv_x의 두 번째 "
        "layer에서 stride=2를 적용",
        said="002 §3; Table 1",
        text=Text(
            "Stride 2 stands in a stage's first layer up to 34 layers, and in its second layer from 50 on.",
            "stride 2는 34층까지는 단계의 첫 번째 layer에, 50층부터는 두 번째 layer에 있다.",
        ),
        statements=(
            place("basic", 1, "18 and 34 layers: stride 2 in layer number", "18, 34층: stride 2가 있는 layer의 번호"),
            place(
                "v1",
                2,
                "50, 101 and 152 layers, the paper's (v1): stride 2 in layer number",
                "50, 101, 152층, 논문(v1): stride 2가 있는 layer의 번호",
            ),
            place(
                "v15",
                2,
                "50, 101 and 152 layers, v1.5: stride 2 in layer number",
                "50, 101, 152층, v1.5: stride 2가 있는 layer의 번호",
                BESIDE,
            ),
            *(
                Statement(
                    Text(f"GMACs of 50 layers, {word}", f"50층의 GMAC, {word}"),
                    measurement(made.name, f"gmacs_{key}"),
                    Always(low, high),
                    role=BESIDE,
                    unit="G",
                )
                for key, word, low, high in (("v1", "v1", 3.8575, 3.8585), ("v15", "v1.5", 4.0885, 4.0895))
            ),
            gap("test"),
            gap("train"),
        ),
        answers={
            verdict: Text(
                f"Stride 2 stands in layer {{s0}} of 18 and 34 layers, in layer {{s1}} of the paper's 50 and more, in "
                f"layer {{s2}} of v1.5 ({{s3}} against {{s4}} multiply-adds; test error differs by {{s5}}): {en}",
                f"stride 2는 18, 34층에서는 {{s0}}번째, 논문의 50층 이상에서는 {{s1}}번째, v1.5에서는 {{s2}}번째 layer"
                f"에 있다(multiply-add {{s3}} 대 {{s4}}, test error 차이 {{s5}}): {ko}",
            )
            for verdict, en, ko in (
                (HOLDS, "as the note says.", "노트대로다."),
                (
                    CONDITION,
                    "the note's second layer is not the paper's but that of v1.5.",
                    "노트의 두 번째 layer는 논문이 아니라 v1.5의 것이다.",
                ),
                (FAILS, "not as the note says.", "노트와 다르다."),
                (UNDECIDED, "it is not decided.", "결정되지 않았다."),
            )
        },
        measurements=(made,),
        charts=("curves",),
    )
