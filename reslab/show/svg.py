"""A few SVG primitives: elements with real, escaped text, arrows, and the three files that a picture can become.

Lengths are in the picture's own units, CSS pixels at its natural size. Nothing here knows what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.show.page import page
from reslab.show.plain import clean
from reslab.show.words import wide
from reslab.store.files import replacing

ENDINGS = (".svg", ".png", ".html")
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
INK, SOFT, LINE, GROUND = "#1c1f23", "#59616b", "#8a9099", "#f6f7f9"
EM = {"normal": 0.62, "bold": 0.69}  # mean width of a character over its size, in the widest of these fonts
HEAD = 4.5  # half the width of an arrow's head


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """About how wide `text` is at font size `size`; rather too much than too little, a Korean letter counted as two."""
    return wide(text) * size * EM[weight]


def tint(colour: str, share: float) -> str:
    """`colour` (#rrggbb) mixed with white: a share of 1 is the colour itself, 0 is white."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in channels)


class Canvas:
    """Elements in the order in which they are painted."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def add(self, tag: str, text: str | None = None, **attributes: float | str) -> None:
        """One element. `class_` is class, `stroke_width` is stroke-width; numbers are cut to a tenth."""
        told = "".join(f' {k.rstrip("_").replace("_", "-")}="{_value(v)}"' for k, v in attributes.items())
        self.elements.append(f"<{tag}{told}/>" if text is None else f"<{tag}{told}>{escape(clean(text))}</{tag}>")

    def text(
        self, x: float, y: float, text: str, size: float = 12, weight: str = "normal", anchor: str = "middle",
        fill: str = INK, class_: str = "",
    ) -> None:  # fmt: skip
        """A line of text on the baseline `y`; anchor is start, middle or end."""
        more: dict[str, Any] = ({"class_": class_} if class_ else {}) | (
            {"font_weight": weight} if weight != "normal" else {}
        )
        self.add("text", text, x=x, y=y, font_size=size, text_anchor=anchor, fill=fill, **more)

    def arrow(self, path: str, tip: tuple[float, float], towards: str, colour: str, **attributes: float | str) -> None:
        """A line along `path` (SVG's path data, absolute) with a head at `tip` that points "down" or "left"."""
        x, y = tip
        look: dict[str, Any] = {"fill": "none", "stroke": colour, **attributes}
        self.add("path", d=path, **look)
        back = [(x - HEAD * 0.8, y - HEAD), (x + HEAD * 0.8, y - HEAD)] if towards == "down" else [
            (x + HEAD * 1.3, y - HEAD * 0.8), (x + HEAD * 1.3, y + HEAD * 0.8)]  # fmt: skip
        self.add("polygon", points=" ".join(f"{_value(a)},{_value(b)}" for a, b in [tip, *back]), fill=colour)

    def svg(self, width: float, height: float, title: str, words: str) -> str:
        """The whole picture, with a title and a description for those who do not see it."""
        w, h = math.ceil(width), math.ceil(height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            f'font-family="{FONT}">\n<title>{escape(clean(title))}</title>\n<desc>{escape(clean(words))}</desc>\n'
        )
        ground = f'<rect class="ground" width="{w}" height="{h}" fill="white"/>\n'
        return head + ground + "\n".join(self.elements) + "\n</svg>\n"


def _value(value: float | str) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 1):g}"


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse, before anything is drawn, a file of another kind and one that is there already."""
    if "\0" in str(path):
        raise UserError(f"--out {path}: a name holds no zero byte; choose another name")
    if path.is_dir():
        raise UserError(f"--out {path}: a folder stands there; name a file")
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"--out {path}: a drawing is written as {', '.join(ENDINGS)}; end the name in one of them")
    if path.exists() and not overwrite:
        raise _there(path)


def write(
    svg: str, title: str, width: float, path: Path, overwrite: bool = False, scale: float = 2.0, language: str = "en"
) -> None:
    """Write the picture as `path`'s ending says.

    width   its natural width; an HTML page shows it at 0.8 to 1.25 times that
    scale   the PNG's pixels for each CSS pixel
    """
    check_target(path, overwrite)
    ending = path.suffix.lower()
    if ending == ".png":
        import vl_convert

        content = bytes(vl_convert.svg_to_png(svg, scale=scale))
    else:
        figure = {"id": "drawing", "svg": svg, "width": round(width)}
        html = page("picture.html.j2", language, title=clean(title), figure=figure) if ending == ".html" else svg
        content = html.encode()
    with writing(path) as aside:
        aside.write_bytes(content)
        if path.exists() and not overwrite:  # made by another process meanwhile
            raise _there(path)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which then becomes `path` in one step, its folder made (`replacing`).

    Raises UserError if the place takes no file; nothing unfinished is left there.
    """
    try:
        with replacing(path) as aside:
            yield aside
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror or error}); choose another place") from None


def _there(path: Path) -> UserError:
    return UserError(f"--out {path}: this file exists and is left as it is; choose another name, or add --overwrite")
