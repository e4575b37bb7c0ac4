"""C11 and C14: what a dotted shortcut is, and stride in place of pooling (notes 000 and 002 §3; Fig. 3, §3.3, §4.1).

The runs: the residual net of the setting's middle depth with options A, B and C, and with 2x2 max-pooling where the
stride was, in branch and shortcut. The measure: shortcuts, poolings and multiply-adds counted in the plan; test error
at the end of the schedule.
The rule, written before the runs. C11: no dotted shortcut may be anything but a 1x1 convolution of stride 2, in 18 and
34 layers, in 50 and more (both option B), and with option A. Beside, as the note says nothing of it: the paired
differences of options A, B and C in test error, none where the 95 % interval lies within MARGIN. C14: no pooling
between the stages, the same multiply-adds with pooling, and a paired difference in test error within MARGIN; it ends
where a map is halved by pooling all the same, in the stem of 34 layers.
"""

from __future__ import annotations

from typing import Any

from reslab.claims.claim import BESIDE, LIMIT, MAIN, Bench, Claim, Measurement, Statement
from reslab.claims.evidence import Net, Setting, net
from reslab.claims.quantity import final_error, measurement, minus
from reslab.claims.rules import CONDITION, FAILS, HOLDS, UNDECIDED, Always, Within
from reslab.claims.text import Text
from reslab.nets.cost import cost
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

NAME = "shortcuts"
MARGIN = 1.0  # percentage point, as in the claim of degradation: the paper's A, B and C lie within 0.84 (Table 3)
CIFAR = (20, 32, 44, 56, 110, 1202)  # Table 6


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_dotted(setting), _pooling(setting))


def options(setting: Setting) -> dict[str, Net]:
    """The net of the middle depth with each option; A is the CIFAR nets' own (§4.2)."""
    name = f"cifar_resnet{setting.middle}"
    return {"A": net(name), "B": net(name, shortcut="B"), "C": net(name, shortcut="C")}


def dotted(spec: Spec) -> list[tuple[str, int, int]]:
    """Each dotted shortcut in network order: its block, kernel (0: no convolution) and the stride of its layer."""
    rows = plan(spec)
    found = []
    for add in rows:
        if add.kind == "add" and add.line == "dotted":
            layers = [r for r in rows if r.block == add.block and r.path == "shortcut" and r.kind in ("conv", "pad")]
            assert len(layers) == 1
            found.append((add.block, layers[0].kernel if layers[0].kind == "conv" else 0, layers[0].stride))
    return found


def _places(bench: Bench, seed: int | None) -> dict[str, Any]:
    """For each net of a group, how many dotted shortcuts there are, and how many are not what the note says."""
    groups = {
        "basic": [spec_of(f"resnet{n}") for n in (18, 34)],
        "deep": [spec_of(f"resnet{n}") for n in (50, 101, 152)],
        "a": [spec_of(f"resnet{n}", shortcut="A") for n in (18, 34)] + [spec_of(f"cifar_resnet{n}") for n in CIFAR],
        "c": [spec_of("resnet34", shortcut="C")],
    }
    found: dict[str, Any] = {}
    for key, specs in groups.items():
        each = [dotted(spec) for spec in specs]
        found[f"{key}_dotted"] = [len(lines) for lines in each]
        found[f"{key}_not_convolution"] = [sum(kernel != 1 for _, kernel, _ in lines) for lines in each]
        found[f"{key}_not_stride_2"] = [sum(stride != 2 for *_, stride in lines) for lines in each]
        found[f"{key}_other"] = [sum((kernel, stride) != (1, 2) for _, kernel, stride in lines) for lines in each]
        found[f"{key}_in_conv2"] = [sum(block == "conv2_1" for block, *_ in lines) for lines in each]
    return found


def _dotted(setting: Setting) -> Claim:
    made = Measurement("shortcuts-dotted", _places)
    nets = options(setting)

    def count(key: str, en: str, ko: str, rule: Always | None = None, role: str = MAIN) -> Statement:
        return Statement(Text(en, ko), measurement(made.name, key), rule or Always(0, 0), role=role)

    def gap(a: str, b: str) -> Statement:
        return Statement(
            Text(
                f"Test error, {setting.middle} layers, option {a} minus {b}: no difference beyond {MARGIN:g} point",
                f"test error, {setting.middle}층, option {a} − {b}: 차이 {MARGIN:g}점 이내",
            ),
            minus(final_error(nets[a], "test"), final_error(nets[b], "test")),
            Within(MARGIN),
            role=BESIDE,
            unit="points",
        )

    return Claim(
        id="C11",
        name=NAME,
        quote="점선: 1X1 Conv, stride=2 (projection connection)",
        said="000, 002 §3; Fig. 3, §3.3, §4.1",
        text=Text(
            "A dotted shortcut is a 1x1 convolution with stride 2 (a projection).",
            "점선 shortcut은 stride 2의 1x1 convolution(projection)이다.",
        ),
        statements=(
            count(
                "basic_other",
                "18 and 34 layers, option B: dotted shortcuts that are no 1x1 convolution of stride 2",
                "18, 34층, option B: stride 2의 1x1 convolution이 아닌 점선의 수",
            ),
            count(
                "deep_other",
                "50, 101 and 152 layers, option B: dotted shortcuts that are no 1x1 convolution of stride 2",
                "50, 101, 152층, option B: stride 2의 1x1 convolution이 아닌 점선의 수",
            ),
            count(
                "a_not_convolution",
                "18 and 34 layers and the CIFAR nets, option A: dotted shortcuts that are no convolution",
                "18, 34층과 CIFAR 네트워크, option A: convolution이 아닌 점선의 수",
            ),
            count(
                "deep_in_conv2",
                "50, 101 and 152 layers: dotted shortcuts in conv2_x, where the stride is 1",
                "50, 101, 152층: stride가 1인 conv2_x의 점선 수",
                Always(1, 1),
                BESIDE,
            ),
            count(
                "c_not_stride_2",
                "34 layers, option C: projections of stride 1, the thirteen more of §4.1",
                "34층, option C: stride 1의 projection 수(§4.1이 말하는 추가 13개)",
                Always(13, 13),
                BESIDE,
            ),
            gap("B", "A"),
            gap("C", "A"),
            gap("C", "B"),
        ),
        answers={
            verdict: Text(
                f"Dotted shortcuts that are not so: {{s0}} in 18 and 34 layers, {{s1}} in each of 50 and more, {{s2}} "
                f"with option A (test error at {setting.middle} layers, B minus A {{s5}}, C minus A {{s6}}, C minus B "
                f"{{s7}}): {en}",
                f"그렇지 않은 점선은 18, 34층에 {{s0}}개, 50층 이상에 각각 {{s1}}개, option A에 {{s2}}개다"
                f"({setting.middle}층의 test error, B − A {{s5}}, C − A {{s6}}, C − B {{s7}}): {ko}",
            )
            for verdict, en, ko in (
                (HOLDS, "as the note says.", "노트대로다."),
                (
                    CONDITION,
                    "true of 18 and 34 layers with projections; in conv2_x of 50 and more the stride is 1, and option "
                    "A pads with zeros and has no convolution.",
                    "projection을 쓰는 18, 34층에서는 맞다. 50층 이상의 conv2_x에서는 stride가 1이고, option A는 "
                    "zero padding이라 convolution이 없다.",
                ),
                (FAILS, "not as the note says.", "노트와 다르다."),
                (UNDECIDED, "it is not decided.", "결정되지 않았다."),
            )
        },
        measurements=(made,),
        charts=("curves",),
    )


def poolings(spec: Spec) -> tuple[int, int]:
    """Max-poolings in the stem and after it. The global average at the end is none: it does not halve the map."""
    found = [row for row in plan(spec) if row.kind == "maxpool"]
    stem = sum(row.part == "stem" for row in found)
    return stem, len(found) - stem


def _halvings(setting: Setting) -> Measurement:
    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        """Poolings of 34 layers, and MACs with pooling over those with stride: 34 layers, and the setting's net."""
        found: dict[str, Any] = dict(zip(("stem", "between"), poolings(spec_of("resnet34")), strict=True))
        pairs = [(name, cost(spec_of(name)).macs, cost(spec_of(name, downsample="pool")).macs) for name in names]
        found["macs_stride"], found["macs_pool"] = [a for _, a, _ in pairs], [b for *_, b in pairs]
        found["macs_ratio"] = [float(f"{b / a:.8g}") for _, a, b in pairs]
        return found

    names = ("resnet34", f"cifar_resnet{setting.middle}")
    return Measurement("shortcuts-pooling", make)


def _pooling(setting: Setting) -> Claim:
    made, name = _halvings(setting), f"cifar_resnet{setting.middle}"
    stride, pool = net(name), net(name, downsample="pool")

    return Claim(
        id="C14",
        name=NAME,
        quote="/2는 Size reduction을 위한 stride=2를 의미 (pooling 대신 사용)",
        said="002 §3; §3.3, Fig. 3",
        text=Text(
            "Maps are halved by stride 2, used in place of pooling.",
            "크기는 pooling 대신 stride 2로 줄인다.",
        ),
        statements=(
            Statement(
                Text("34 layers: poolings between the stages", "34층: 단계 사이의 pooling 수"),
                measurement(made.name, "between"),
                Always(0, 0),
            ),
            Statement(
                Text(
                    f"Multiply-adds with pooling over those with stride, 34 and {setting.middle} layers",
                    f"multiply-add, pooling / stride, 34층과 {setting.middle}층",
                ),
                measurement(made.name, "macs_ratio"),
                Always(1, 1),
                unit="×",
            ),
            Statement(
                Text(
                    f"Test error, {setting.middle} layers, max-pooling minus stride: no difference beyond {MARGIN:g} "
                    "point",
                    f"test error, {setting.middle}층, max-pooling − stride: 차이 {MARGIN:g}점 이내",
                ),
                minus(final_error(pool, "test"), final_error(stride, "test")),
                Within(MARGIN),
                unit="points",
            ),
            Statement(
                Text("34 layers: max-poolings that stay, in the stem", "34층: stem에 남아 있는 max-pooling 수"),
                measurement(made.name, "stem"),
                Always(low=1),
                role=LIMIT,
            ),
        ),
        answers={
            verdict: Text(
                f"Between the stages of 34 layers there are {{s0}} poolings, in the stem {{s3}}; with pooling in place "
                f"of stride the multiply-adds are {{s1}}, and the test error differs by {{s2}}: {en}",
                f"34층의 단계 사이에는 pooling이 {{s0}}개, stem에는 {{s3}}개 있다. stride 대신 pooling을 쓰면 "
                f"multiply-add는 {{s1}}이고 test error는 {{s2}} 차이 난다: {ko}",
            )
            for verdict, en, ko in (
                (HOLDS, "stride takes the place of pooling.", "stride가 pooling을 대신한다."),
                (
                    CONDITION,
                    "stride takes the place of pooling between the stages; the stem keeps its pooling, and the last "
                    "figure says whether the two are equally good.",
                    "단계 사이에서는 stride가 pooling을 대신한다. stem의 pooling은 남아 있고, 둘의 성능이 같은지는 "
                    "마지막 수치가 말해 준다.",
                ),
                (FAILS, "stride does not take the place of pooling.", "stride가 pooling을 대신하지 않는다."),
                (
                    UNDECIDED,
                    "whether the two are equally good is not decided by these runs.",
                    "둘의 성능이 같은지는 이 실행들로 결정할 수 없다.",
                ),
            )
        },
        measurements=(made,),
        charts=("curves",),
    )
