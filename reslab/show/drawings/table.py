"""A table as an SVG picture with selectable text; columns are as wide as their content."""

from __future__ import annotations

from collections.abc import Sequence

from reslab.show.drawings.canvas import Canvas, Picture, text_width
from reslab.show.look import GROUND, LINE, SOFT
from reslab.show.words import wrapped

SIZE, LEAD, PAD, EDGE = 13, 18, 11, 20  # font size, line height, padding of a column, margin of the table
TITLE = 16


def draw_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> Picture:
    """Return a picture of the table, with title and caption; a cell may have several lines."""
    lines = [[cell.split("\n") for cell in row] for row in [head, *rows]]
    widths = [
        max(
            text_width(text, SIZE, "bold" if i == 0 or k == 0 else "normal")
            for i, row in enumerate(lines)
            for text in row[k]
        )
        + 2 * PAD
        for k in range(len(head))
    ]
    width = max(sum(widths) + 2 * EDGE, text_width(title, TITLE, "bold") + 2 * EDGE, 360.0)
    stretch = (width - 2 * EDGE) / sum(widths)
    widths = [w * stretch for w in widths]
    canvas = Canvas()
    canvas.text(EDGE, EDGE + 14, title, TITLE, "bold", "start", class_="title")
    y = EDGE + 34.0
    for number, row in enumerate(lines):
        height = max(map(len, row)) * LEAD + 12
        if number == 0:
            canvas.add("rect", class_="head", x=EDGE, y=y, width=width - 2 * EDGE, height=height, fill=GROUND)
        canvas.add("path", d=f"M{EDGE} {y:g}H{width - EDGE:g}", stroke=LINE, stroke_width=1.4 if number < 2 else 0.7)
        x = float(EDGE)
        for k, (cell, wide_) in enumerate(zip(row, widths, strict=True)):
            first = y + (height - len(cell) * LEAD) / 2 + 13.5
            for i, text in enumerate(cell):
                weight = "bold" if number == 0 or k == 0 else "normal"
                place, anchor = (x + PAD, "start") if k == 0 else (x + wide_ / 2, "middle")
                kind = "head" if number == 0 else "cell"
                canvas.text(place, first + i * LEAD, text, SIZE, weight, anchor, class_=kind)
            x += wide_
        y += height
    canvas.add("path", d=f"M{EDGE} {y:g}H{width - EDGE:g}", stroke=LINE, stroke_width=1.4)
    for text in wrapped(caption, int((width - 2 * EDGE) / text_width("x", 12))) if caption else ():
        y += LEAD
        canvas.text(EDGE, y + 4, text, 12, anchor="start", fill=SOFT, class_="caption")
    words = "; ".join(", ".join(cell.replace("\n", " ") for cell in row) for row in [head, *rows])
    return Picture(canvas.svg(width, y + EDGE, title, f"{words}. {caption}"), title, width)
