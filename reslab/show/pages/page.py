"""A page as one HTML file, of a study, of runs, or of one picture: it opens from disk, offline, and asks nobody.

There is one skeleton, `templates/page.html.j2`; the others extend it. Names of classes, models and folders come from
outside: everything is escaped but for the libraries, JSON (`embed.inert`) and our own drawings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reslab.show.pages.embed import Shelf, inert, libraries
from reslab.show.words import PAGE
from reslab.store.files import write_text
from reslab.version import VERSION

TEMPLATES = Path(__file__).parent / "templates"
MARK = '<meta name="generator" content="reslab'  # by this a report of ours is known again


def page(template: str, language: str, shelf: Shelf | None = None, **values: Any) -> str:
    """Fill a template of this package; without a shelf, hence without charts, the page may run no script."""
    import jinja2
    from markupsafe import Markup

    house = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    house.filters["verbatim"] = Markup
    said = {name: text(language) for name, text in PAGE.items()}
    menu = {"CLICK_TO_VIEW_ACTIONS": said["menu"], "SVG_ACTION": said["as_svg"], "PNG_ACTION": said["as_png"]}
    script = {"data": inert(shelf.sets), "menu": inert(menu), "not_drawn": inert(said["not_drawn"]),
              "libraries": libraries()} if shelf else None  # fmt: skip
    return house.get_template(template).render(language=language, t=said, version=VERSION, script=script, **values)


def is_ours(path: Path) -> bool:
    """Whether a file is a page that this package made."""
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return MARK in file.read(4096)
    except OSError:
        return False


def publish(html: str, path: Path) -> None:
    """Write a page in one step: a reader sees the old page or the new one, never a part."""
    write_text(path, html)
