"""C13 and C14: which layer has stride 2, and that it replaces pooling (note 002 §3; Table 1, Fig. 3, §3.3).

The runs: the CIFAR net of 29 layers in bottlenecks, its stride in the first 1x1 and in the 3x3; and the residual net of
the setting's middle depth with stride and with 2x2 max-pooling in its place, in branch and shortcut. The measure:
strides, poolings and multiply-adds counted in the plan; error at the end of the schedule.

The rule of C13: of a stage's first block the first layer has the stride in 18 and 34 layers, the second in the paper's
50, 101 and 152 (the authors' released definition, "v1"; the second layer is "v1.5", which came later). Shown as well:
multiply-adds of 50 layers in both forms, and the paired difference of the errors, which is none if its 95 % interval is
within SMALL percent of the error. The rule of C14: no pooling between the stages of 34 layers, and the same
multiply-adds with pooling in its place. The note does not say which is better: the paired difference in test error is
shown, and so is the stem's pooling. (Until 2026-11-27 an equal error within 1 point was part of the rule, and the stem
its limit.)
"""

from __future__ import annotations

from typing import Any

from reslab.claims.claim import BESIDE, MAIN, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Setting, net
from reslab.claims.phrases import answers
from reslab.claims.quantity import error_gap, measurement, relative_gap
from reslab.claims.rules import SMALL, Above, Always, Within
from reslab.claims.text import Text
from reslab.nets.cost import cost
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

NAME = "strides"
V1, V15 = net("cifar_resnet29", block="bottleneck"), net("cifar_resnet29", block="bottleneck", stride_in="3x3")


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_stride(), _pooling(setting))


# -- C13


def strided(spec: Spec) -> list[int]:
    """Stage by stage, which layer of its first block's branch has the stride of 2: 1 is the first."""
    places = []
    for row in plan(spec):
        if row.path == "branch" and row.kind == "conv" and row.stride == 2:
            assert row.block.endswith("_1")
            places.append(int(row.name.rpartition("conv")[2]))
    return places


def _places(bench: Bench, seed: int | None) -> dict[str, Any]:
    """The place of stride 2 in the paper's nets and in v1.5, and GMACs of 50 layers in both forms."""
    nets: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "basic": ((18, 34), {}),
        "v1": ((50, 101, 152), {}),
        "v15": ((50, 101, 152), {"stride_in": "3x3"}),
    }
    figures: dict[str, Any] = {
        key: [place for depth in depths for place in strided(spec_of(f"resnet{depth}", **more))]
        for key, (depths, more) in nets.items()
    }
    for key in ("v1", "v15"):
        figures[f"gmacs_{key}"] = kept(cost(spec_of("resnet50", **nets[key][1])).macs / 1e9)
    return figures


def _stride() -> Claim:
    places = Measurement("strides-place", _places)

    def place(key: str, value: int, en: str, ko: str, role: str = MAIN) -> Statement:
        return Statement(Text(en, ko), measurement(places.name, key), Always(value, value), role=role)

    def gap(split: str) -> Statement:
        of = "training" if split == "train" else split
        return Statement(
            Text(
                f"{of.capitalize()} error, 29 layers of bottlenecks, stride in the 3x3 against in the first 1x1: "
                f"within {SMALL:g} % of it",
                f"{of} error, bottleneck 29층, stride를 3x3에 둘 때와 첫 1x1에 둘 때의 차이: {SMALL:g} % 이내",
            ),
            relative_gap(V15, V1, split),
            Within(SMALL),
            role=BESIDE,
            unit="%",
        )

    return Claim(
        id="C13",
        name=NAME,
        quote="34-layer 모델까진 conv_x의 첫 번째 layer에서 stride=2를 적용하고 50-layer 모델 부턴 conv_x의 두 번째 "
        "layer에서 stride=2를 적용",
        said="002 §3; Table 1",
        text=Text(
            "Stride 2: first layer of a stage up to 34 layers, second from 50 on.",
            "stride 2는 34층까지는 stage의 첫 번째 layer에, 50층부터는 두 번째 layer에 있다.",
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
                    Text(f"GMACs of 50 layers, {word}", f"50층의 GMACs, {word}"),
                    measurement(places.name, f"gmacs_{key}"),
                    Always(low, high),
                    role=BESIDE,
                    unit="G",
                )
                for key, word, low, high in (("v1", "v1", 3.8575, 3.8585), ("v15", "v1.5", 4.0885, 4.0895))
            ),
            gap("test"),
            gap("train"),
        ),
        answers=answers(
            holds=Text(
                "Stride 2 is in layer {s0} up to 34 layers, in layer {s1} from 50 on.",
                "stride 2는 34층까지 {s0}번째, 50층부터 {s1}번째 layer에 있다.",
            ),
            condition=Text(
                "Up to 34 layers it is the first layer. From 50 on the paper has it in the first layer, too; the "
                "second is v1.5, which came later ({s3} against {s4} multiply-adds).",
                "34층까지는 첫 번째 layer가 맞다. 논문은 50층부터도 첫 번째 layer에 둔다. 두 번째 layer는 나중에 "
                "나온 v1.5다(GMACs {s3} 대 {s4}).",
            ),
            fails=Text(
                "Stride 2 is in layer {s0} up to 34 layers, in layer {s1} from 50 on.",
                "stride 2는 34층까지 {s0}번째, 50층부터 {s1}번째 layer에 있다.",
            ),
            undecided=Text("Stride 2 is in layer {s0} and {s1}.", "stride 2는 {s0}번째와 {s1}번째 layer에 있다."),
        ),
        measurements=(places,),
        charts=("curves",),
    )


# -- C14


def poolings(spec: Spec) -> tuple[int, int]:
    """Max-poolings in the stem and after it. The global average at the end is none: it does not halve the map."""
    max_poolings = [row for row in plan(spec) if row.kind == "maxpool"]
    stem = sum(row.part == "stem" for row in max_poolings)
    return stem, len(max_poolings) - stem


def _halvings(setting: Setting) -> Measurement:
    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        """Poolings of 34 layers, and MACs with pooling over those with stride: 34 layers, and the setting's net."""
        figures: dict[str, Any] = dict(zip(("stem", "between"), poolings(spec_of("resnet34")), strict=True))
        pairs = [(name, cost(spec_of(name)).macs, cost(spec_of(name, downsample="pool")).macs) for name in names]
        figures["macs_stride"], figures["macs_pool"] = [a for _, a, _ in pairs], [b for *_, b in pairs]
        figures["macs_ratio"] = [kept(b / a) for _, a, b in pairs]
        return figures

    names = ("resnet34", f"cifar_resnet{setting.middle}")
    return Measurement("shortcuts-pooling", make)  # the name of the committed records


def _pooling(setting: Setting) -> Claim:
    halvings, name = _halvings(setting), f"cifar_resnet{setting.middle}"
    stride, pool = net(name), net(name, downsample="pool")
    return Claim(
        id="C14",
        name=NAME,
        quote="/2는 Size reduction을 위한 stride=2를 의미 (pooling 대신 사용)",
        said="002 §3; §3.3, Fig. 3",
        text=Text(
            "Maps are halved by stride 2, used in place of pooling.",
            "map 크기는 pooling 대신 stride 2로 줄인다.",
        ),
        statements=(
            Statement(
                Text("34 layers: poolings between the stages", "34층: stage 사이의 pooling 수"),
                measurement(halvings.name, "between"),
                Always(0, 0),
            ),
            Statement(
                Text(
                    f"Multiply-adds with pooling over those with stride, 34 and {setting.middle} layers",
                    f"MACs, pooling / stride, 34층과 {setting.middle}층",
                ),
                measurement(halvings.name, "macs_ratio"),
                Always(1, 1),
                unit="×",
            ),
            Statement(
                Text(
                    f"Test error, {setting.middle} layers, max-pooling minus stride: stride is better",
                    f"test error, {setting.middle}층, max-pooling − stride: stride가 더 낫다",
                ),
                error_gap(pool, stride, "test"),
                Above(0.0),
                role=BESIDE,
                unit="points",
            ),
            Statement(
                Text("34 layers: max-poolings that stay, in the stem", "34층: stem에 남아 있는 max-pooling 수"),
                measurement(halvings.name, "stem"),
                Always(low=1),
                role=BESIDE,
            ),
        ),
        answers=answers(
            holds=Text(
                "Between the stages of 34 layers there is no pooling; the stem keeps one. Max-pooling in place of "
                "stride costs the same multiply-adds, and the test error {s2m}.",
                "34층의 stage 사이에는 pooling이 없고 stem에만 하나 남아 있다. stride 대신 max-pooling을 써도 "
                "MACs는 같고 test error는 {s2m}한다.",
            ),
            condition=Text("Stride takes the place of pooling in part.", "stride가 pooling을 일부만 대신한다."),
            fails=Text("There are {s0} poolings between the stages.", "stage 사이에 pooling이 {s0}개 있다."),
            undecided=Text("There are {s0} poolings between the stages.", "stage 사이에 pooling이 {s0}개 있다."),
        ),
        measurements=(halvings,),
        charts=("curves",),
    )
