"""Two kinds of block side by side, as in the paper's Fig. 5, with their costs.

Layers, their order, the places of activations, and all figures are read from the plan's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reslab.claims.text import Text
from reslab.nets.cost import cost_of, shown
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.show.drawings.canvas import Canvas, Picture, text_width
from reslab.show.drawings.columns import box_of
from reslab.show.drawings.nets import ARC, BOX, LEAD, NAME, SIZE, draw_box, draw_shortcut
from reslab.show.look import INK, LINE, SOFT
from reslab.show.words import PARAMETERS

FIG_5 = (("resnet34", "conv2_2"), ("resnet50", "conv2_2"))  # a basic block, and a bottleneck of similar cost
FILE = "blocks.svg"  # the drawing's default name
TITLE = Text("Basic and bottleneck blocks", "basic block과 bottleneck block")
WIDE = Text("{net}, {n} wide", "{net}, 폭 {n}")
COST = Text("{macs} MACs at {side}x{side}", "{side}x{side}에서 {macs} MACs")
THEN = Text(", then ", " → ")
BLOCK, LINK, RADIUS = 150, 36, 9  # pixels: a box's width, the gap between boxes, the addition's circle


def draw_blocks(switches: Mapping[str, Any] | None = None, language: str = "en") -> Picture:
    """Return Fig. 5 with costs: the basic block, one as wide as the bottleneck's ends, and the bottleneck."""
    (basic, basic_block), (bottleneck, bottleneck_block) = FIG_5
    given = dict(switches or {})
    small, large = spec_of(basic, **given), spec_of(bottleneck, **given)
    ends = _rows_of(large, bottleneck_block)[0].c_in
    widths = tuple(ends * w // small.widths[0] for w in small.widths)
    equal = spec_of(basic, **given | {"widths": widths})
    blocks = [
        (small, basic_block, f"{basic} {basic_block}"),
        (equal, basic_block, WIDE.filled(net=f"{basic} {basic_block}", n=ends)(language)),
        (large, bottleneck_block, f"{bottleneck} {bottleneck_block}"),
    ]
    canvas = Canvas()
    x = words_end = 24.0
    sentences, parts = [], []
    for spec, block, origin in blocks:
        rows = _rows_of(spec, block)
        total, first = cost_of(rows), rows[0]
        lines = [
            f"{spec.blocks[0][1]} block, {first.c_in}-d",
            origin,
            PARAMETERS.filled(n=f"{total.parameters:,}")(language),
            COST.filled(macs=shown(total.macs), side=first.size_in)(language),
        ]
        shortcut = _shortcut(rows, language)
        sentences.append(f"{lines[0]} ({origin}): {lines[2]}, {lines[3]}, {shortcut} shortcut.")
        middle, end = _block(canvas, spec, rows, x, shortcut)
        parts.append((middle, lines))
        words_end = max(words_end, end)
        x = middle + BLOCK / 2 + 0.9 * ARC + 8 + max(60.0, text_width(shortcut, SIZE)) + 24
    for middle, lines in parts:
        for i, line in enumerate(lines):
            size, weight = (NAME, "bold") if i == 0 else (SIZE, "normal")
            canvas.text(middle, words_end + 32 + i * LEAD, line, size, weight, class_="caption")
    title = TITLE(language)
    return Picture(canvas.svg(x, words_end + 48 + 4 * LEAD, title, " ".join(sentences)), title, x)


def _rows_of(spec: Spec, block: str) -> list[Row]:
    return [row for row in plan(spec) if row.block == block]


def _shortcut(rows: Sequence[Row], language: str) -> str:
    """Return the labels of the shortcut's layers, or "identity"."""
    return THEN(language).join(r.label for r in rows if r.path == "shortcut" and r.label) or "identity"


def _block(canvas: Canvas, spec: Spec, rows: Sequence[Row], x: float, words: str) -> tuple[float, float]:
    """Draw a block with its left edge at `x` and `words` at its shortcut; return its middle and its end."""
    middle, y = x + BLOCK / 2, 24.0
    canvas.text(middle, y, f"{rows[0].c_in}-d", NAME, "bold", class_="input")
    top = before = y + 8
    start = (middle, before + 8)
    projected = any(r.path == "shortcut" and r.is_weight_layer for r in rows)
    notes: list[str] = []
    for row in [r for r in rows if r.path != "shortcut"]:
        if row.facts.is_appended:
            notes.append(row.word(spec.activation))
            continue
        y = before + (LINK if before > top or notes else 0.7 * LINK)
        _link(canvas, middle, before, y, notes)
        if before == top and notes and projected:  # with pre-activation a projection reads the activated input
            start = (middle, y - 8)
        if row.kind == "add":
            canvas.add("circle", class_="add", cx=middle, cy=y + RADIUS, r=RADIUS, fill="white", stroke=INK)
            plus = f"M{middle - 5:g} {y + RADIUS:g}H{middle + 5:g}M{middle:g} {y + RADIUS - 5:g}V{y + RADIUS + 5:g}"
            canvas.add("path", d=plus, fill="none", stroke=INK, stroke_width=1.4)
            end = (middle + RADIUS + 1, y + RADIUS)
            draw_shortcut(canvas, row.line, start, end, middle + BLOCK / 2)
            right = middle + BLOCK / 2 + 0.9 * ARC + 8
            canvas.text(right, (start[1] + end[1]) / 2 + 4, words, SIZE, anchor="start", fill=SOFT)
            before = y + 2 * RADIUS
        else:
            draw_box(canvas, box_of(row), middle - BLOCK / 2, y, BLOCK)
            before = y + BOX
        notes = []
    y = before + LINK
    _link(canvas, middle, before, y, notes)
    canvas.text(middle, y + 16, f"{rows[-1].c_out}-d", NAME, "bold", class_="output")
    return middle, y + 16


def _link(canvas: Canvas, x: float, top: float, end: float, notes: Sequence[str]) -> None:
    """Draw the arrow from one layer to the next, with the layers on it: BN, relu."""
    canvas.arrow(f"M{x:g} {top:g}V{end - 1:g}", (x, end), "down", LINE, stroke_width=1.2)
    if notes:
        canvas.text(x + 9, (top + end) / 2 + 4, ", ".join(notes), SIZE, anchor="start", class_="note")
