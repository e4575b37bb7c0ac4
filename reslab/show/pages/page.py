"""A page as one HTML file, of a study, of runs, or of one picture: it opens from disk and fetches nothing.

There is one skeleton, `templates/page.html.j2`; the others extend it. Names of classes, models and folders come from
outside: everything is escaped except the libraries, JSON (`embed.inert`) and our own drawings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reslab.show.pages.embed import Shelf, inert, libraries
from reslab.show.words import PAGE
from reslab.store.files import write_text
from reslab.version import VERSION

TEMPLATES = Path(__file__).parent / "templates"
MARK = '<meta name="generator" content="reslab'  # identifies a report that this package wrote


def page(template: str, language: str, shelf: Shelf | None = None, **values: Any) -> str:
    """Return a filled template of this package; a page without charts may run no script."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["verbatim"] = Markup
    texts = {name: text(language) for name, text in PAGE.items()}
    menu = {"CLICK_TO_VIEW_ACTIONS": texts["menu"], "SVG_ACTION": texts["as_svg"], "PNG_ACTION": texts["as_png"]}
    script = {"data": inert(shelf.sets), "menu": inert(menu), "not_drawn": inert(texts["not_drawn"]),
              "libraries": libraries()} if shelf and shelf.sets else None  # fmt: skip
    return environment.get_template(template).render(
        language=language, t=texts, version=VERSION, script=script, **values
    )


def is_ours(path: Path) -> bool:
    """Return whether a file is a page that this package wrote."""
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
