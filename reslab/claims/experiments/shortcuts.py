"""C11: what a dotted shortcut is (notes 000 and 002 §3; Fig. 3, §3.3, §4.1).

The runs: the residual net of the setting's middle depth with options A, B and C. The measure: shortcuts counted in the
plan; test error at the end of the schedule.

The rule: every dotted shortcut is a 1x1 convolution of stride 2, in 18 and 34 layers, in 50 and more (both option B),
and with option A. Shown, as the note is silent on it: the paired differences of options A, B and C in test error, in
percent of it; none if the 95 % interval is within SMALL.
"""

from __future__ import annotations

from typing import Any

from reslab.claims.claim import BESIDE, MAIN, Bench, Claim, Measurement, Statement
from reslab.claims.evidence import Net, Setting, net
from reslab.claims.phrases import answers
from reslab.claims.quantity import measurement, relative_gap
from reslab.claims.rules import SMALL, Always, Within
from reslab.claims.text import Text
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

NAME = "shortcuts"
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
    shortcuts = []
    for add in rows:
        if add.kind == "add" and add.line == "dotted":
            layers = [r for r in rows if r.block == add.block and r.path == "shortcut" and r.kind in ("conv", "pad")]
            assert len(layers) == 1
            shortcuts.append((add.block, layers[0].kernel if layers[0].kind == "conv" else 0, layers[0].stride))
    return shortcuts


def _places(bench: Bench, seed: int | None) -> dict[str, Any]:
    """For each net of a group, how many dotted shortcuts there are, and how many differ from the note."""
    groups = {
        "basic": [spec_of(f"resnet{n}") for n in (18, 34)],
        "deep": [spec_of(f"resnet{n}") for n in (50, 101, 152)],
        "a": [spec_of(f"resnet{n}", shortcut="A") for n in (18, 34)] + [spec_of(f"cifar_resnet{n}") for n in CIFAR],
        "c": [spec_of("resnet34", shortcut="C")],
    }
    figures: dict[str, Any] = {}
    for key, specs in groups.items():
        each = [dotted(spec) for spec in specs]
        figures[f"{key}_dotted"] = [len(lines) for lines in each]
        figures[f"{key}_not_convolution"] = [sum(kernel != 1 for _, kernel, _ in lines) for lines in each]
        figures[f"{key}_not_stride_2"] = [sum(stride != 2 for *_, stride in lines) for lines in each]
        figures[f"{key}_other"] = [sum((kernel, stride) != (1, 2) for _, kernel, stride in lines) for lines in each]
        figures[f"{key}_in_conv2"] = [sum(block == "conv2_1" for block, *_ in lines) for lines in each]
    return figures


def _dotted(setting: Setting) -> Claim:
    places = Measurement("shortcuts-dotted", _places)
    nets = options(setting)

    def count(key: str, en: str, ko: str, rule: Always | None = None, role: str = MAIN) -> Statement:
        return Statement(Text(en, ko), measurement(places.name, key), rule or Always(0, 0), role=role)

    def gap(a: str, b: str) -> Statement:
        return Statement(
            Text(
                f"Test error, {setting.middle} layers, option {a} against {b}: within {SMALL:g} % of it",
                f"test error, {setting.middle}층, option {b} 대비 {a}의 차이: {SMALL:g} % 이내",
            ),
            relative_gap(nets[a], nets[b]),
            Within(SMALL),
            role=BESIDE,
            unit="%",
        )

    return Claim(
        id="C11",
        name=NAME,
        quote="점선: 1X1 Conv, stride=2 (projection connection)",
        said="000, 002 §3; Fig. 3, §3.3, §4.1",
        text=Text(
            "A dotted shortcut is a 1x1 convolution with stride 2 (a projection).",
            "점선 shortcut은 stride가 2인 1x1 convolution(projection)이다.",
        ),
        statements=(
            count(
                "basic_other",
                "18 and 34 layers, option B: dotted shortcuts that are no 1x1 convolution of stride 2",
                "18, 34층, option B: stride가 2인 1x1 convolution이 아닌 점선의 수",
            ),
            count(
                "deep_other",
                "50, 101 and 152 layers, option B: dotted shortcuts that are no 1x1 convolution of stride 2",
                "50, 101, 152층, option B: stride가 2인 1x1 convolution이 아닌 점선의 수",
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
                "34층, option C: stride가 1인 projection 수(§4.1이 말하는 추가 13개)",
                Always(13, 13),
                BESIDE,
            ),
            gap("B", "A"),
            gap("C", "A"),
            gap("C", "B"),
        ),
        answers=answers(
            holds=Text("Every dotted shortcut is one.", "모든 점선 shortcut이 그렇다."),
            condition=Text(
                "It is true of 18 and 34 layers with projections. From 50 layers on the dotted shortcut of conv2_x "
                "has stride 1, and option A pads with zeros and has no convolution.",
                "projection을 쓰는 18, 34층에서는 맞다. 50층부터는 conv2_x의 점선이 stride 1이고, option A는 "
                "convolution 없이 0으로 채운다.",
            ),
            fails=Text(
                "No group of nets has only such shortcuts.", "어느 네트워크에서도 점선이 모두 그런 것은 아니다."
            ),
            undecided=Text("{s0} of 18 and 34 layers are different.", "18, 34층의 점선 {s0}개가 다르다."),
        ),
        measurements=(places,),
        charts=("curves",),
    )
