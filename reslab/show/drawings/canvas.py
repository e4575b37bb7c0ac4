"""SVG primitives: elements with escaped text, arrows. Lengths are in CSS pixels of the unscaled picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

from reslab.show.format import clean
from reslab.show.look import INK
from reslab.show.words import wide

FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
EM = {"normal": 0.62, "bold": 0.69}  # mean width of a character over its size, in the widest of these fonts
HEAD = 4.5  # half the width of an arrow's head


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return an upper estimate of the width of `text` at font size `size`; a Korean letter counts as two."""
    return wide(text) * size * EM[weight]


def tint(colour: str, share: float) -> str:
    """Return `colour` (#rrggbb) mixed with white: share 1 is the colour, 0 is white."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in channels)


@dataclass(frozen=True)
class Picture:
    """A finished drawing: its SVG, its title, its natural width in pixels."""

    svg: str
    title: str
    width: float


class Canvas:
    """SVG elements in painting order."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def add(self, tag: str, text: str | None = None, **attributes: float | str) -> None:
        """Add an element. `class_` is class, `stroke_width` is stroke-width; numbers are rounded to a tenth."""
        attribute_text = "".join(f' {k.rstrip("_").replace("_", "-")}="{_value(v)}"' for k, v in attributes.items())
        self.elements.append(
            f"<{tag}{attribute_text}/>" if text is None else f"<{tag}{attribute_text}>{escape(clean(text))}</{tag}>"
        )

    def text(
        self, x: float, y: float, text: str, size: float = 12, weight: str = "normal", anchor: str = "middle",
        fill: str = INK, class_: str = "",
    ) -> None:  # fmt: skip
        """Add a line of text on the baseline `y`; `anchor` is start, middle or end."""
        more: dict[str, Any] = ({"class_": class_} if class_ else {}) | (
            {"font_weight": weight} if weight != "normal" else {}
        )
        self.add("text", text, x=x, y=y, font_size=size, text_anchor=anchor, fill=fill, **more)

    def arrow(self, path: str, tip: tuple[float, float], towards: str, colour: str, **attributes: float | str) -> None:
        """Add a line along `path` (absolute SVG path data) with an arrowhead at `tip` that points "down" or "left"."""
        x, y = tip
        look: dict[str, Any] = {"fill": "none", "stroke": colour, **attributes}
        self.add("path", d=path, **look)
        back = [(x - HEAD * 0.8, y - HEAD), (x + HEAD * 0.8, y - HEAD)] if towards == "down" else [
            (x + HEAD * 1.3, y - HEAD * 0.8), (x + HEAD * 1.3, y + HEAD * 0.8)]  # fmt: skip
        self.add("polygon", points=" ".join(f"{_value(a)},{_value(b)}" for a, b in [tip, *back]), fill=colour)

    def svg(self, width: float, height: float, title: str, words: str) -> str:
        """Return the picture, with a title and a description for screen readers."""
        w, h = math.ceil(width), math.ceil(height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            f'font-family="{FONT}">\n<title>{escape(clean(title))}</title>\n<desc>{escape(clean(words))}</desc>\n'
        )
        ground = f'<rect class="ground" width="{w}" height="{h}" fill="white"/>\n'
        return head + ground + "\n".join(self.elements) + "\n</svg>\n"


def _value(value: float | str) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 1):g}"
