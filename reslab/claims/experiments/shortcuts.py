"""C11: what a dotted shortcut is (notes 000 and 002 §3; Fig. 3, §3.3, §4.1).

The runs: the residual net of the setting's middle depth with options A, B and C. The measure: shortcuts counted in the
plan; test error at the end of the schedule.
The rule, written before the runs: no dotted shortcut may be anything but a 1x1 convolution of stride 2, in 18 and 34
layers, in 50 and more (both option B), and with option A. Beside, as the note says nothing of it: the paired
differences of options A, B and C in test error, none where the 95 % interval lies within MARGIN.
"""

from __future__ import annotations

from typing import Any

from reslab.claims.claim import BESIDE, MAIN, NOT_DECIDED, Bench, Claim, Measurement, Statement, answers
from reslab.claims.evidence import Net, Setting, net
from reslab.claims.quantity import error_gap, measurement
from reslab.claims.rules import Always, Within
from reslab.claims.text import Text
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

NAME = "shortcuts"
MARGIN = 1.0  # percentage point, as in the claim of degradation: the paper's A, B and C lie within 0.84 (Table 3)
CIFAR = (20, 32, 44, 56, 110, 1202)  # Table 6


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_dotted(setting),)


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
            error_gap(nets[a], nets[b], "test"),
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
        answers=answers(
            f"Dotted shortcuts that are not so: {{s0}} in 18 and 34 layers, {{s1}} in each of 50 and more, {{s2}} "
            f"with option A (test error at {setting.middle} layers, B minus A {{s5}}, C minus A {{s6}}, C minus B "
            f"{{s7}}): {{end}}",
            f"그렇지 않은 점선은 18, 34층에 {{s0}}개, 50층 이상에 각각 {{s1}}개, option A에 {{s2}}개다"
            f"({setting.middle}층의 test error, B − A {{s5}}, C − A {{s6}}, C − B {{s7}}): {{end}}",
            holds=Text("as the note says.", "노트대로다."),
            condition=Text(
                "true of 18 and 34 layers with projections; in conv2_x of 50 and more the stride is 1, and option "
                "A pads with zeros and has no convolution.",
                "projection을 쓰는 18, 34층에서는 맞다. 50층 이상의 conv2_x에서는 stride가 1이고, option A는 "
                "zero padding이라 convolution이 없다.",
            ),
            fails=Text("not as the note says.", "노트와 다르다."),
            undecided=NOT_DECIDED,
        ),
        measurements=(made,),
        charts=("curves",),
    )
