"""The sheet of the images with the highest loss, each with its class activation map. In SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from reslab.show.drawings.canvas import Canvas, Picture, text_width
from reslab.show.format import clean
from reslab.show.look import SOFT
from reslab.show.words import wrapped

if TYPE_CHECKING:
    from PIL import Image

EDGE, GAP, SIDE = 20.0, 16.0, 128.0  # margin, gap between cells, side of a drawn image; in pixels
SIZE, LEAD = 12, 16
ACROSS = {False: 5, True: 3}  # cells in a row: images alone, or beside their maps


@dataclass(frozen=True)
class Case:
    """An image of the sheet.

    image        the square that the network saw, or `drawn_map` of it, twice as wide
    true, predicted   names of classes
    probability  of the predicted class, 0 to 1
    loss         in nats
    source       which image this is: a file, or its number in the split
    """

    image: Image.Image
    true: str
    predicted: str
    probability: float
    loss: float
    source: str


def draw_worst(title: str, cases: Sequence[Case], with_maps: bool, remark: str) -> Picture:
    """Return the sheet: each image, and its true class, predicted class with probability, loss and source.

    with_maps   the cases' images have their maps beside them
    remark      below the title
    """
    across = ACROSS[with_maps]
    wide = (2 * SIDE + 8) if with_maps else SIDE + 36
    width = 2 * EDGE + across * wide + (across - 1) * GAP
    canvas = Canvas()
    canvas.text(EDGE, EDGE + 12, _cut(title, width - 2 * EDGE, 15, "bold"), 15, "bold", "start", class_="title")
    y = EDGE + 16
    for line in wrapped(remark, int((width - 2 * EDGE) / text_width("x", SIZE))):
        y += LEAD
        canvas.text(EDGE, y, line, SIZE, anchor="start", fill=SOFT, class_="caption")
    top, high = y + GAP, SIDE + 5 * LEAD + GAP
    for number, case in enumerate(cases):
        x, y = EDGE + number % across * (wide + GAP), top + number // across * high
        scale = SIDE / case.image.height
        canvas.add(
            "image", x=x, y=y, width=case.image.width * scale, height=SIDE, href=_embedded(case.image),
            style="image-rendering:pixelated" if scale > 1 else "",
        )  # fmt: skip
        lines = [
            (f"true: {case.true}", "bold", None),
            (f"predicted: {case.predicted}", "normal", None),
            (f"{100 * case.probability:.1f} %, loss {case.loss:.2f}", "normal", None),
            (case.source, "normal", SOFT),
        ]
        for place, (text, weight, fill) in enumerate(lines, 1):
            shown = _cut(text, wide, SIZE, weight)
            more = {} if fill is None else {"fill": fill}
            canvas.text(x, y + SIDE + place * LEAD, shown, SIZE, weight, "start", class_="cell", **more)
    height = top + -(-len(cases) // across) * high + EDGE - GAP
    words = "; ".join(f"{case.source}: true {case.true}, predicted {case.predicted}" for case in cases)
    return Picture(canvas.svg(width, height, title, f"{remark} {words}"), title, width)


def _cut(text: str, width: float, size: float, weight: str) -> str:
    """Return the text, or its beginning and an ellipsis if it is wider than `width`."""
    text = clean(text)
    if text_width(text, size, weight) <= width:
        return text
    while text and text_width(f"{text}…", size, weight) > width:
        text = text[:-1]
    return f"{text}…"


def _embedded(image: Image.Image) -> str:
    content = BytesIO()
    image.save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
