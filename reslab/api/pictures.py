"""`picture`: a figure or table of the paper as a file, from records or from the nets' own definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reslab.api.arguments import takes
from reslab.api.verdicts import problems_of, read_source, studies_found
from reslab.claims.evidence import Evidence, read
from reslab.options.pages import FigureOptions


@takes(FigureOptions, "out")
def picture(
    name: str, sources: Sequence[str | Path] = (), *, options: FigureOptions, tell: Callable[[str], None] | None = None
) -> Path:
    """Write a picture and return its path.

    name       fig1, fig3, fig5, fig6, fig7, depth, macs, gradients, activations, residuals, macs-by-layer, copying,
               progress, table1, table2, table3, table4, table6
    sources    folders: a study, a run, or a folder of runs; of a study the twins are drawn. Default: the first study of
               runs/ and the committed results with twins of two depths that has something to show in it (table6: all)
    {options}
    tell       called with each problem of the records: what is damaged, missing or unchecked
    Raises UserError for unknown names and paths, for a file that exists, and if nothing was recorded to draw.
    """
    from reslab.show.pages.files import check_target
    from reslab.show.pages.pictures import known, write_picture

    path = options.out or Path(f"{known(name)}.svg")
    known(name)
    check_target(path, options.overwrite)
    given = [found for one in sources for found in read_source(Path(one))] if sources else _by_default(name)
    for problem in problems_of(given):
        if tell is not None:
            tell(f"problem: {problem}")
    write_picture(name, given, path, options.lang, options.overwrite)
    return path


def _by_default(name: str) -> list[Evidence]:
    """What a picture is of where no source is given: never two studies in one chart, whose data or recipes differ."""
    from reslab.show.pages.pictures import DEFINED, telling

    if name in DEFINED:
        return []
    studies = [read(folder) for folder in studies_found()]
    return studies if name == "table6" else telling(name, studies)
