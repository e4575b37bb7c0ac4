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
               removal, progress, table1, table2, table3, table4, table6
    sources    folders: a study (its plain and residual twins are drawn), a run, or a folder of runs. Default: the first
               study in runs/ and the committed results that has the figure for two depths (table6: all studies)
    {options}
    tell       called with each problem of the records: damaged, missing or unchecked
    Raises UserError for unknown names and paths, if the file exists, and if the records do not have the figure.
    """
    from reslab.show.pages.files import check_target
    from reslab.show.pages.pictures import known, write_picture

    path = options.out or Path(f"{known(name)}.svg")
    known(name)
    check_target(path, options.overwrite)
    records = [record for source in sources for record in read_source(Path(source))] if sources else _by_default(name)
    for problem in problems_of(records):
        if tell is not None:
            tell(f"problem: {problem}")
    write_picture(name, records, path, options.lang, options.overwrite)
    return path


def _by_default(name: str) -> list[Evidence]:
    """Return the studies of a picture without sources: one, as others differ in data or recipe; for table6 all."""
    from reslab.show.pages.pictures import DEFINED, telling

    if name in DEFINED:
        return []
    studies = [read(folder) for folder in studies_found()]
    return studies if name == "table6" else telling(name, studies)
