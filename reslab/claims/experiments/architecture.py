"""C10 and C24: how deep the paper's nets are, and VGG's rule in them (notes 000, 001; §3.3, Table 1, Table 6).

No training: counts over plans. C10, "128 layers": weight layers (convolutions and fully connected layers without those
of shortcuts, §3.3) of every net of the paper; the rule: at least one has 128. Shown as well: nets of 128 layers can be
built, 6·21+2 with basic blocks and 9·14+2 with bottlenecks.

C24, "channels double when the map halves": from stage to stage, channels out over channels in are exactly 2 in VGG-19's
first stages, in plain-34 and in residual-34, and 3x3 layers that keep width and map cost the same multiply-adds in
every stage (ratio of the dearest to the cheapest: 1). The limit: VGG's last stage stays at 512 channels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from reslab.claims.claim import BESIDE, LIMIT, MAIN, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Setting
from reslab.claims.phrases import answers
from reslab.claims.quantity import measurement
from reslab.claims.rules import Always
from reslab.claims.text import Text
from reslab.nets.cost import by_part, cost, cost_of
from reslab.nets.names import spec_of
from reslab.nets.paper import TABLE_1, TABLE_6
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec

NAME = "architecture"
SAID = 128  # layers, note 000
COMPARED = ("vgg19", "plain34", "resnet34")  # Fig. 3, from left to right
PRINTED = (18.0, 19.0)  # "18 %" as the paper prints its figures: truncated to whole percents (§3.3)


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_layers(), _doubling())


def weight_layers(spec: Spec) -> int:
    """What the paper counts as layers: convolutions and fully connected layers, not those of shortcuts."""
    return len(_weighing(plan(spec)))


def _weighing(rows: tuple[Row, ...]) -> list[Row]:
    return [row for row in rows if row.is_weight_layer and row.path != "shortcut"]


# -- C10


def _depths(bench: Bench, seed: int | None) -> dict[str, Any]:
    """Weight layers of the paper's nets, counted, and of the two nets of 128; parameters and MACs of these."""
    imagenet = [weight_layers(spec_of(f"resnet{depth}")) for depth in TABLE_1]
    cifar = [weight_layers(spec_of(f"cifar_resnet{depth}")) for depth in TABLE_6]
    built = [spec_of(f"cifar_resnet{SAID}", block=block) for block in ("basic", "bottleneck")]
    return {
        "imagenet": imagenet,
        "cifar": cifar,
        "of_128": (imagenet + cifar).count(SAID),
        "deepest_imagenet": max(imagenet),
        "deepest": max(imagenet + cifar),
        "built": [weight_layers(spec) for spec in built],
        "parameters": [cost(spec).parameters for spec in built],
        "macs": [cost(spec).macs for spec in built],
    }


def _layers() -> Claim:
    depths = Measurement("architecture-depths", _depths)
    return Claim(
        id="C10",
        name=NAME,
        quote="굉장히 deep한데 (128 layers) 성능이 좋다!",
        said="000; Table 1, Table 6",
        text=Text("ResNet is a net of 128 layers.", "ResNet은 128층 네트워크다."),
        statements=(
            Statement(
                Text("Nets of the paper with 128 weight layers", "논문의 네트워크 중 weight layer가 128개인 것의 수"),
                measurement(depths.name, "of_128"),
                Always(low=1),
            ),
            Statement(
                Text(
                    "Weight layers of the 128-layer nets that can be built (basic blocks, bottlenecks)",
                    "만들 수 있는 128층 네트워크의 weight layer 수(basic block, bottleneck)",
                ),
                measurement(depths.name, "built"),
                Always(SAID, SAID),
                role=BESIDE,
                unit="layers",
            ),
            Statement(
                Text("Weight layers of the paper's deepest ImageNet net", "논문의 가장 깊은 ImageNet 네트워크의 층수"),
                measurement(depths.name, "deepest_imagenet"),
                Always(152, 152),
                role=BESIDE,
                unit="layers",
            ),
            Statement(
                Text("Weight layers of the paper's deepest net of all", "논문의 모든 네트워크 중 가장 깊은 것의 층수"),
                measurement(depths.name, "deepest"),
                Always(1202, 1202),
                role=BESIDE,
                unit="layers",
            ),
        ),
        answers=answers(
            holds=Text(
                f"{{s0}} of the paper's nets have {SAID} layers.", f"논문의 네트워크 중 {{s0}}개가 {SAID}층이다."
            ),
            condition=Text(
                f"{{s0}} of the paper's nets have {SAID} layers.", f"논문의 네트워크 중 {{s0}}개가 {SAID}층이다."
            ),
            fails=Text(
                f"No net of the paper has {SAID} layers: the deepest has {{s2}} on ImageNet and {{s3}} on CIFAR-10. "
                f"A net of {SAID} layers can be built, but is not the paper's.",
                f"논문에 {SAID}층 네트워크는 없다. 가장 깊은 것은 ImageNet에서 {{s2}}, CIFAR-10에서 {{s3}}이다. "
                f"{SAID}층을 만들 수는 있지만 논문의 네트워크는 아니다.",
            ),
            undecided=Text(f"{{s0}} nets have {SAID} layers.", f"{SAID}층 네트워크는 {{s0}}개다."),
        ),
        measurements=(depths,),
    )


# -- C24


def keeps(row: Row) -> bool:
    """Whether it is a 3x3 layer that changes neither width nor map."""
    return row.kind == "conv" and row.kernel == 3 and row.c_in == row.c_out and row.stride == 1


def _macs(bench: Bench, seed: int | None) -> dict[str, Any]:
    """By net: MACs of each weight layer in order ("layers_…"), of each part ("stages_…"), growth of channels, level."""
    figures: dict[str, Any] = {}
    for name in COMPARED:
        spec = spec_of(name)
        parts = by_part(spec)
        stages = [rows for part, rows in parts.items() if part.startswith("conv")]
        widths = [max(row.c_out for row in rows) for rows in stages]
        inner = [[row.macs for row in rows if keeps(row)] for rows in stages]
        last = inner.pop() if name == "vgg19" else []
        level = [macs for stage in inner for macs in stage]
        figures |= {
            f"layers_{name}": [row.macs for row in _weighing(plan(spec))],
            f"shortcuts_{name}": [row.macs for row in plan(spec) if row.macs and row.path == "shortcut"],
            f"stages_{name}": [cost_of(rows).macs for rows in parts.values()],
            f"growth_{name}": [b / a for a, b in pairwise(widths)],
            f"level_{name}": max(level) / min(level),
            f"total_{name}": cost(spec).macs,
        }
        if last:
            figures["growth_vgg19_last"] = figures["growth_vgg19"].pop()
            figures["level_vgg19_last"] = max(level) / max(last)
    figures["plain34_of_vgg19"] = kept(100 * figures["total_plain34"] / figures["total_vgg19"])
    return figures


def _doubling() -> Claim:
    macs = Measurement("architecture-macs", _macs)
    words = {"vgg19": "VGG-19", "plain34": "plain-34", "resnet34": "residual-34"}

    def exactly(key: str, value: float, en: str, ko: str, role: str = MAIN) -> Statement:
        return Statement(Text(en, ko), measurement(macs.name, key), Always(value, value), role=role)

    first = {"vgg19": (" (stages 1 to 4)", "(stage 1–4)")}
    return Claim(
        id="C24",
        name=NAME,
        quote="VGG architecture의 등장이후 ,Linear,Relu Block을 2번 정도 거치면 channel수를 2배정도로 늘리는 "
        "architecture가 보편화 되었습니다. ResNet에서도 이것이 적용되었습니다.",
        said="000, 001; §3.3, Fig. 3",
        text=Text(
            "As in VGG, channels double where the map halves: layers cost the same.",
            "ResNet은 VGG의 규칙을 이어받았다: map이 반으로 줄면 채널이 두 배가 되어 층마다 비용이 같다.",
        ),
        statements=(
            *(
                exactly(
                    f"growth_{name}",
                    2,
                    f"{word}{first.get(name, ('', ''))[0]}: channels of a stage over those of the stage before",
                    f"{word}{first.get(name, ('', ''))[1]}: 앞 stage 대비 채널 수(배)",
                )
                for name, word in words.items()
            ),
            *(
                exactly(
                    f"level_{name}",
                    1,
                    f"{word}{first.get(name, ('', ''))[0]}: MACs of the dearest 3x3 layer that keeps width and map "
                    "over the cheapest",
                    f"{word}{first.get(name, ('', ''))[1]}: 폭과 map을 유지하는 3x3 층의 최대 MACs / 최소 MACs",
                )
                for name, word in words.items()
            ),
            exactly(
                "growth_vgg19_last",
                1,
                "VGG-19, last stage: channels over those of the stage before; they do not double",
                "VGG-19 마지막 stage: 앞 stage 대비 채널 수(배), 두 배가 되지 않는다",
                LIMIT,
            ),
            exactly(
                "level_vgg19_last",
                4,
                "VGG-19: MACs of such a layer over those of one in the last stage",
                "VGG-19: stage 1–4의 한 층의 MACs / 마지막 stage의 한 층의 MACs",
                LIMIT,
            ),
            Statement(
                Text('MACs of plain-34 over VGG-19 (§3.3: "18 %")', 'plain-34의 MACs / VGG-19의 MACs(§3.3: "18 %")'),
                measurement(macs.name, "plain34_of_vgg19"),
                Always(*PRINTED),
                role=BESIDE,
                unit="%",
            ),
        ),
        answers=answers(
            holds=Text(
                "Channels double from stage to stage in VGG-19, plain-34 and residual-34, so that layers cost the "
                "same.",
                "VGG-19, plain-34, residual-34 모두 stage마다 채널이 두 배가 되어 층마다 비용이 같다.",
            ),
            condition=Text(
                "Channels double from stage to stage in all three nets. Only VGG-19's last stage stays at 512, so "
                "that a layer costs a quarter there. Plain-34 costs {s8} of VGG-19.",
                "세 네트워크 모두 stage마다 채널이 두 배가 된다. VGG-19의 마지막 stage만 512로 남아 이 stage의 층은 "
                "비용이 4분의 1이다. plain-34의 비용은 VGG-19의 {s8}다.",
            ),
            fails=Text(
                "Channels grow {s0} times in VGG-19, {s1} in plain-34, {s2} in residual-34.",
                "채널은 VGG-19에서 {s0}, plain-34에서 {s1}, residual-34에서 {s2}배가 된다.",
            ),
            undecided=Text("Channels grow {s0} times in VGG-19.", "VGG-19의 채널은 {s0}배가 된다."),
        ),
        measurements=(macs,),
        charts=("macs-by-layer",),
    )
