"""How Sphinx builds the site: `make docs`. `reference.py` makes the pages that come from the code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # this tree's reslab, whether or not it is installed

import reference  # noqa: E402

from reslab.version import VERSION  # noqa: E402

project, author, release = "reslab", "the reslab authors", VERSION
copyright = "the reslab authors, Apache-2.0"
language = "en"
highlight_language = "text"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
templates_path, html_static_path, html_css_files = ["_templates"], ["_static"], ["site.css"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3  # links such as performance.md#memory
default_role = "code"  # docstrings have Markdown's single backquotes
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 72

html_theme = "pydata_sphinx_theme"
html_title = html_short_title = "reslab"
html_show_sourcelink = html_show_sphinx = html_copy_source = False
html_context = {"default_mode": "auto"}
html_sidebars = {"**": ["navigation.html"]}
html_theme_options: dict[str, Any] = {
    "navbar_center": [],  # all pages are in the bar at the side
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app: Any) -> None:
    app.connect("source-read", reference.fill)
    app.connect("autodoc-process-docstring", reference.docstring)
    app.connect("autodoc-process-signature", reference.signature)
    app.connect("html-page-context", _page_language)


def _page_language(app: Any, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if name.endswith(".ko"):
        context["language"] = "ko"
