"""Drawings as files: SVG, PNG, or a page of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reslab.errors import UserError
from reslab.show.format import clean
from reslab.show.pages.page import page
from reslab.store.files import replacing

ENDINGS = (".svg", ".png", ".html")


def check_target(path: Path, overwrite: bool) -> None:
    """Raise UserError, before anything is drawn, for a file of another kind and for one that exists."""
    if "\0" in str(path):
        raise UserError(f"--out {path}: a name holds no zero byte; choose another name")
    if path.is_dir():
        raise UserError(f"--out {path}: this is a folder; name a file")
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"--out {path}: a drawing is written as {', '.join(ENDINGS)}; end the name in one of them")
    if path.exists() and not overwrite:
        raise _exists(path)


def write(
    svg: str, title: str, width: float, path: Path, overwrite: bool = False, scale: float = 2.0, language: str = "en"
) -> None:
    """Write the picture in the format of `path`'s ending.

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
        if path.exists() and not overwrite:  # written by another process meanwhile
            raise _exists(path)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which then becomes `path` in one step; its folder is created (`replacing`).

    Raises UserError if the file cannot be written; no partial file is left.
    """
    try:
        with replacing(path) as aside:
            yield aside
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror or error}); choose another place") from None


def _exists(path: Path) -> UserError:
    return UserError(f"--out {path}: this file exists and is left as it is; choose another name, or add --overwrite")
