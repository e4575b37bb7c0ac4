"""Networks side by side, as in the paper's Fig. 3.

A net is a column of boxes, one for each weight layer and pooling of its branch; equal output sizes have equal heights.
Solid arrows are identities; dotted ones change the shape, or project. All labels and figures are read from the plan's
rows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from reslab.claims.text import Text
from reslab.nets.cost import cost_of, shown
from reslab.nets.names import name_of, switches_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.show.drawings.canvas import Canvas, Picture, text_width, tint
from reslab.show.drawings.columns import Box, Column, columns_of, hue_of, layers_of, stage_of
from reslab.show.look import GROUND, HUE, LINE, SOFT
from reslab.show.words import OUTPUT_SIZE, PARAMETERS

MOST_NAMED = 6  # nets in the name of a file
TITLE = Text("Networks side by side: {nets}", "나란히 놓은 네트워크: {nets}")
LINES = {
    "solid": Text("identity", "identity"),
    "dotted": Text("changes the shape, or projects", "크기를 바꾸거나 projection"),
}
SHORTCUTS = {
    "solid": Text("{n} solid shortcuts", "실선 shortcut {n}개"),
    "dotted": Text("{n} dotted shortcuts", "점선 shortcut {n}개"),
}
NO_SHORTCUTS = Text("no shortcuts", "shortcut 없음")
DEPTH = Text("{n:,} layers with weights", "weight가 있는 층 {n:,}개")
FOLDED = Text("N equal blocks, one drawn", "같은 block N개, 하나만 그림")

# Pixels. A slot is a box and a gap for the arrows.
SIZE, BOX, SLOT = 12, 20, 36
GUTTER, ARC, EDGE, BRACKET = 96, 44, 16, 48
NAME, LEAD = 15, 18  # a name's font size; a caption's line height


def draw_nets(specs: Sequence[Spec], language: str = "en") -> Picture:
    """Return Fig. 3 for any nets: columns aligned by output size, with parameters and MACs below."""
    columns = columns_of(specs)
    title = TITLE.filled(nets=", ".join(name_of(c.spec) for c in columns))(language)
    all_boxes = [box for c in columns for box in c.boxes()]
    wide = max(140.0, max(text_width(box.label, SIZE) for box in all_boxes) + 16)
    left = BRACKET if any(times > 1 for c in columns for _, times in c.runs) else EDGE
    captions = [_caption(c.spec, left + wide + ARC - 8, language) for c in columns]
    pitch = max(left + wide + ARC, *(text_width(lines[0], NAME, "bold") + 12 for lines in captions))
    width = max(GUTTER + pitch * len(columns), 470.0)
    tops, bottom = _bands(columns)

    canvas = Canvas()
    canvas.text(12, 28, OUTPUT_SIZE(language), SIZE, anchor="start", fill=SOFT)
    for number, (size, top) in enumerate(tops.items()):
        end = [*tops.values(), bottom][number + 1]
        fill = "white" if number % 2 else GROUND
        canvas.add("rect", class_="band", x=0, y=top, width=width, height=end - top, fill=fill)
        canvas.text(12, top + SLOT / 2 + 5, str(size), 14, "bold", "start", class_="size")
    for number, (column, lines) in enumerate(zip(columns, captions, strict=True)):
        x = GUTTER + number * pitch + left
        canvas.text(x + wide / 2, 28, lines[0], NAME, "bold")
        _column(canvas, column, x, wide, tops)
        for i, line in enumerate(lines):
            size, weight = (NAME, "bold") if i == 0 else (SIZE, "normal")
            canvas.text(x + wide / 2, bottom + 28 + i * LEAD, line, size, weight, class_="caption")
    below = bottom + 44 + max(map(len, captions)) * LEAD
    end = _legend(canvas, columns, below, width, language)
    return Picture(canvas.svg(width, end, title, " ".join(_words(c, language) for c in columns)), title, width)


def _bands(columns: Sequence[Column]) -> tuple[dict[int, float], float]:
    """Return the top of each output size's band, largest map first, and the end of the last band."""
    counts: dict[int, int] = {}
    for column in columns:
        for size, group in groupby(column.boxes(), key=lambda box: box.size):
            counts[size] = max(counts.get(size, 0), len(list(group)))
    tops: dict[int, float] = {}
    y = 44.0
    for size in sorted(counts, reverse=True):
        tops[size] = y
        y += counts[size] * SLOT
    return tops, y


def _column(canvas: Canvas, column: Column, x: float, wide: float, tops: dict[int, float]) -> None:
    """Draw a net: boxes, arrows between them, shortcuts on the right, brackets of folded blocks on the left."""
    middle = x + wide / 2
    used_slots: dict[int, int] = {}
    before: float | None = None  # the lower edge of the box above
    for units, times in column.runs:
        first = last = 0.0
        for unit in units:
            start = stop = 0.0
            for i, box in enumerate(unit.boxes):
                y = tops[box.size] + used_slots.get(box.size, 0) * SLOT + (SLOT - BOX) / 2
                used_slots[box.size] = used_slots.get(box.size, 0) + 1
                if before is not None:
                    canvas.arrow(f"M{middle:g} {before:g}V{y - 1:g}", (middle, y), "down", LINE, stroke_width=1.2)
                draw_box(canvas, box, x, y, wide, times)
                start, stop, before = (y if i == 0 else start), y + BOX, y + BOX
            first, last = first or start, stop
            if unit.line:
                draw_shortcut(canvas, unit.line, (middle, start - 7), (middle + 1.5, stop + 4), x + wide, times)
        if times > 1:
            left = x - 8
            path = f"M{left + 4:g} {first:g}H{left:g}V{last:g}H{left + 4:g}"
            canvas.add("path", class_="bracket", d=path, fill="none", stroke=SOFT, stroke_width=1.5)
            canvas.text(left - 4, (first + last) / 2 + 5, f"×{times}", 13, "bold", "end", class_="times")


def draw_box(canvas: Canvas, box: Box, x: float, y: float, wide: float, times: int = 1) -> None:
    """Draw a box with its label; (x, y) is its upper left corner. The image has no frame."""
    if box.kind != "image":
        look: dict[str, Any] = {"fill": "white", "stroke": LINE}
        if box.kind == "layer":
            look = {"fill": tint(hue_of(box.part), 0.38), "stroke": hue_of(box.part)}
        data: dict[str, Any] = {"data_part": box.part, "data_size": box.size, "data_times": times}
        canvas.add(
            "rect", class_=box.kind, x=x, y=y, width=wide, height=BOX, rx=4 if box.kind == "layer" else BOX / 2,
            stroke_width=1.3, **look, **data,
        )  # fmt: skip
    canvas.text(x + wide / 2, y + BOX / 2 + 4.3, box.label, SIZE, class_="label")


def draw_shortcut(
    canvas: Canvas, line: str, start: tuple[float, float], end: tuple[float, float], edge: float, times: int = 1
) -> None:
    """Draw a shortcut from `start` around the right `edge` to `end`; it extends 0.9 ARC beyond the edge."""
    (x, y), (back, low), out = start, end, edge + 1.15 * ARC
    path = f"M{x:g} {y:g}H{edge:g}C{out:g} {y:g} {out:g} {low:g} {edge:g} {low:g}H{back + 4:g}"
    look: dict[str, Any] = {"stroke_dasharray": "2 3.5"} if line == "dotted" else {}
    canvas.arrow(
        path, end, "left", HUE["residual"], class_=f"shortcut {line}", stroke_width=1.8, data_times=times, **look
    )


def _caption(spec: Spec, width: float, language: str) -> list[str]:
    """Return the caption of a column: name, layers, parameters, MACs, and the net's switches."""
    total = cost_of(plan(spec))
    lines = [
        name_of(spec),
        DEPTH.filled(n=layers_of(spec))(language),
        PARAMETERS.filled(n=shown(total.parameters))(language),
        f"{shown(total.macs)} MACs",
    ]
    switches = [f"{k} {','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in switches_of(spec).items()]
    return lines + textwrap.wrap(", ".join(switches), max(8, int(width / text_width("x", SIZE))))


def _words(column: Column, language: str) -> str:
    """Return a net's description for screen readers."""
    name, *figures = _caption(column.spec, 1e6, language)
    lines = [r.line for r in plan(column.spec) if r.kind == "add"]
    shortcuts = [text.filled(n=lines.count(line)) for line, text in SHORTCUTS.items()] if lines else [NO_SHORTCUTS]
    return f"{name}: {', '.join([*figures, *(text(language) for text in shortcuts)])}."


def _legend(canvas: Canvas, columns: Sequence[Column], y: float, width: float, language: str) -> float:
    """Draw the legend of colours, lines and folded blocks, in as many rows as needed; return its end."""
    parts: dict[int, dict[str, None]] = {}
    for box in (box for c in columns for box in c.boxes() if box.kind == "layer"):
        parts.setdefault(stage_of(box.part), {})[box.part] = None
    items = [("part", next(iter(parts[n])), ", ".join(parts[n])) for n in sorted(parts, key=lambda n: (n == 0, n))]
    lines = {unit.line for c in columns for units, _ in c.runs for unit in units}
    items += [("line", line, f"shortcut: {words(language)}") for line, words in LINES.items() if line in lines]
    if any(times > 1 for c in columns for _, times in c.runs):
        items.append(("times", "×N", FOLDED(language)))
    x = 12.0
    for kind, key, words in items:
        need = 44 + text_width(words, SIZE) + 16
        if x > 12 and x + need > width:
            x, y = 12.0, y + LEAD + 4
        if kind == "part":
            look = {"fill": tint(hue_of(key), 0.38), "stroke": hue_of(key)}
            canvas.add("rect", class_="sample", x=x, y=y - 11, width=34, height=14, rx=4, stroke_width=1.3, **look)
        elif kind == "line":
            dash = {"stroke_dasharray": "2 3.5"} if key == "dotted" else {}
            path = f"M{x + 34:g} {y - 4:g}H{x + 5:g}"
            canvas.arrow(path, (x, y - 4), "left", HUE["residual"], class_="sample", stroke_width=1.8, **dash)
        else:
            canvas.text(x, y, key, 13, "bold", "start")
        canvas.text(x + 42, y, words, SIZE, anchor="start", fill=SOFT)
        x += need
    return y + 20


def file_name(models: Sequence[str]) -> Path:
    """Return a drawing's default name: vgg19-plain34-resnet34.svg."""
    more = f"-and-{len(models) - MOST_NAMED}-more" if len(models) > MOST_NAMED else ""
    return Path("-".join(models[:MOST_NAMED]) + more + ".svg")
