"""`picture`: a figure or table of the paper as a file, from records or from the nets' own definitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reslab.calls.verdicts import read_source, studies_found
from reslab.claims.evidence import Evidence, read
from reslab.training.runlog import Record


def picture(
    name: str,
    sources: Sequence[str | Path] = (),
    out: str | Path | None = None,
    language: str = "en",
    overwrite: bool = False,
) -> Path:
    """Write a picture and return where it stands.

    name     fig1, fig3, fig5, fig6, fig7, depth, macs, gradients, activations, residuals, macs-by-layer, copying,
             progress, table1, table2, table3, table4, table6
    sources  folders: a study, a run, or a folder of runs; of a study the twins are drawn. Default: the first study of
             runs/ and results/ with twins of two depths (table6: all of them)
    out      a file; its ending says the kind: .svg, .png, or .html that answers to the mouse (default: NAME.svg)
    Raises UserError for unknown names and paths, for a file that exists, and where nothing was recorded to draw.
    """
    from reslab.show.pictures import known, write_picture
    from reslab.show.svg import check_target

    path = Path(out) if out is not None else Path(f"{known(name)}.svg")
    known(name)
    check_target(path, overwrite)
    write_picture(
        name,
        [found for one in sources or studies_found() for found in read_source(Path(one))],
        path,
        language,
        overwrite,
    )
    return path


def _study() -> list[Evidence | Record]:
    """The first study found in which twins of two depths were trained; nothing where there is none."""
    from reslab.show.pictures import twins_of

    for folder in studies_found():
        study = read(folder)
        if len({record.depth for record in twins_of(study)}) > 1:
            return [study]
    return []
