"""C9: does the shortcut concatenate? (Note 001 says so in words; its equations, and Eq. (1) and (2), add.)

No training. In every residual net of `reslab list`, block by block: the channels of F(x), of the shortcut and of the
block's output, read from the built modules. The rule: the shortcut concatenates if every block's output is as wide as
F(x) and the shortcut together; a count, so there is no margin. Shown as well: the note's equations, computed as
written, against the built block; and the parameters that concatenation would need: in each net of `COSTED` a block puts
out its input and its branch together, and everything after it must read them.
"""

from __future__ import annotations

from typing import Any

from reslab.claims.claim import BESIDE, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Setting
from reslab.claims.phrases import answers
from reslab.claims.quantity import measurement
from reslab.claims.rules import Always
from reslab.claims.text import Text
from reslab.nets.cost import cost
from reslab.nets.names import listed, spec_of
from reslab.nets.plan import plan
from reslab.nets.row import Row

NAME = "addition"
ROUNDING = 1e-12  # a float64 sum of 64 products, relative: 64 times 1e-16 and a margin
COSTED = ("mlp_resnet4", "mlp_resnet20", "mlp_resnet40", "cifar_resnet20", "cifar_resnet56", "cifar_resnet110")


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_concatenates(),)


def residual_names() -> tuple[str, ...]:
    """The listed nets that have shortcuts."""
    return tuple(name for name in listed() if "resnet" in name)


def block_rows(name: str, **switches: Any) -> dict[str, list[Row]]:
    """The rows of each block, in network order."""
    blocks: dict[str, list[Row]] = {}
    for row in plan(spec_of(name, **switches)):
        if row.block:
            blocks.setdefault(row.block, []).append(row)
    return blocks


def channels(name: str) -> list[tuple[int, int, int]]:
    """(F(x), shortcut, output) of each block in channels, from the shapes that the module gives (no memory needed)."""
    import torch

    from reslab.nets.model import build

    spec = spec_of(name)
    net = build(spec, device="meta").eval()
    names, last = [], "relu1" if spec.stem == "3x3" or spec.family == "mlp" else "pool1"
    for rows in block_rows(name).values():
        branch, shortcut = ([r.name for r in rows if r.path == path] for path in ("branch", "shortcut"))
        names.append((branch[-1], shortcut[-1] if shortcut else last, rows[-1].name))
        last = rows[-1].name
    images = torch.empty((1, spec.in_channels, spec.image_size, spec.image_size), device="meta")
    with torch.no_grad():
        seen = net(images, names={layer for three in names for layer in three})[1]
    return [(seen[a].shape[1], seen[b].shape[1], seen[c].shape[1]) for a, b, c in names]


def concatenated(name: str) -> int:
    """The parameters of a net whose blocks concatenate: [x, F(x)], F as wide as before, x subsampled where it was.

    No shortcut has weights then; the first layer of each branch and the head read what has grown.
    """
    total, width = 0, 0
    rows = plan(spec_of(name))
    for row in rows:
        if row.path in ("shortcut", "after"):
            width += row.c_out if row.kind == "add" else 0
            continue
        if row.is_weight_layer:
            first = row.block and row.name.endswith("1")
            c_in = width if first or row is rows[-1] else row.c_in
            total += row.kernel**2 * c_in * row.c_out + (row.c_out if row.bias else 0)
            width = width if row.block else row.c_out
        else:
            total += row.parameters
    return total


def equations_off() -> float:
    """The note's four lines in float64 numpy against the built block: greatest difference over the greatest entry."""
    import numpy as np
    import torch

    from reslab.nets.model import Note, build

    block = build("mlp_resnet4").double().get_submodule("fc2_1")
    draw = np.random.default_rng(0)
    a = np.maximum(draw.standard_normal((64, 8)), 0)  # the note's shape: units × samples
    (w1, b1), (w2, b2) = (
        (draw.standard_normal((64, 64)) / 8, draw.standard_normal((64, 1))) for _ in range(2)
    )  # fmt: skip
    with torch.no_grad():
        for layer, w, b in (("branch.fc1", w1, b1), ("branch.fc2", w2, b2)):
            linear = block.get_submodule(layer)
            assert isinstance(linear, torch.nn.Linear)
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b[:, 0]))
        ours = block(torch.from_numpy(a.T.copy()), Note()).numpy().T
    notes = np.maximum(w2 @ np.maximum(w1 @ a + b1, 0) + b2 + a, 0)
    return kept(np.abs(ours - notes).max() / np.abs(notes).max())


def _widths(bench: Bench, seed: int | None) -> dict[str, Any]:
    """By net: the share of blocks that add and of those that concatenate; by costed net: parameters of both kinds."""
    figures: dict[str, Any] = {"adds": [], "concatenates": [], "blocks": 0}
    for name in residual_names():
        blocks = channels(name)
        figures["blocks"] += len(blocks)
        figures["adds"].append(sum(f == s == out for f, s, out in blocks) / len(blocks))
        figures["concatenates"].append(sum(f + s == out for f, s, out in blocks) / len(blocks))
    figures["parameters_added"] = [cost(spec_of(name)).parameters for name in COSTED]
    figures["parameters_concatenated"] = [concatenated(name) for name in COSTED]
    pairs = zip(figures["parameters_concatenated"], figures["parameters_added"], strict=True)
    figures["times"] = [kept(a / b) for a, b in pairs]
    return figures | {"equations_off": equations_off()}


def _concatenates() -> Claim:
    widths = Measurement("addition-widths", _widths, seconds=7)
    return Claim(
        id="C9",
        name=NAME,
        quote="Residual Block이란 a[L+2] 를 계산하기 전에 a[L]을    z[L+2] 을 concatenate한 다음에 , a[L+2]를 계산하는 "
        "것입니다.",
        said="001",
        text=Text(
            "The shortcut concatenates a[l] and z[l+2].",
            "shortcut은 a[l]과 z[l+2]를 concatenate한다.",
        ),
        statements=(
            Statement(
                Text(
                    "Share of a net's blocks whose output is as wide as F(x) and the shortcut together",
                    "출력의 폭이 F(x)와 shortcut을 합친 폭과 같은 block의 비율",
                ),
                measurement(widths.name, "concatenates"),
                Always(1, 1),
            ),
            Statement(
                Text(
                    "Share of a net's blocks in which F(x), the shortcut and the output are equally wide: addition",
                    "F(x), shortcut, 출력의 폭이 모두 같은 block의 비율: 덧셈",
                ),
                measurement(widths.name, "adds"),
                Always(1, 1),
                role=BESIDE,
            ),
            Statement(
                Text(
                    "The note's own equations against the built block: relative difference",
                    "노트의 수식과 구현한 block의 상대 차이",
                ),
                measurement(widths.name, "equations_off"),
                Always(high=ROUNDING),
                role=BESIDE,
            ),
            Statement(
                Text(
                    "Parameters if every block concatenated, times those of the net that adds: more than as many",
                    "모든 block이 concatenate할 때의 parameter 수 / 더할 때의 parameter 수: 1배 이상",
                ),
                measurement(widths.name, "times"),
                Always(low=1.0),
                role=BESIDE,
                unit="×",
            ),
        ),
        answers=answers(
            holds=Text(
                "Every block's output is as wide as F(x) and the shortcut together.",
                "모든 block의 출력 폭이 F(x)와 shortcut을 합친 폭과 같다.",
            ),
            condition=Text("Some blocks concatenate, others add.", "일부 block은 concatenate하고 나머지는 더한다."),
            fails=Text(
                "It adds: in every block F(x), shortcut and output are equally wide, as in the note's own "
                "equations. Concatenating would need {s3} the parameters.",
                "더한다. 모든 block에서 F(x), shortcut, 출력의 폭이 같고 노트의 수식도 덧셈이다. concatenate하려면 "
                "parameter가 {s3} 필요하다.",
            ),
            undecided=Text("The share of blocks that concatenate is {s0}.", "concatenate하는 block의 비율은 {s0}이다."),
        ),
        measurements=(widths,),
    )
