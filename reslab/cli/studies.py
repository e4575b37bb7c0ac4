"""Verbs on claims: reproduce, claims, report, figure."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from reslab.cli.options import Given, Json, Lang, command
from reslab.cli.output import print_json, say, show
from reslab.options.pages import ClaimsOptions, FigureOptions, ReportOptions, ReproduceOptions


@command(options=ReproduceOptions)
def reproduce(what: list[str], /, *, options: Given) -> None:
    """Run claims of the notes and the paper, judge them, and write one HTML report.

    The report's path is the last word printed.

    Parameters
    ----------
    what
        experiments (degradation, shortcuts …), claims (C3), or all; see `reslab claims`
    """
    from reslab.api.studies import reproduce as run
    from reslab.show.terminal.console import teller

    with teller() as tell:
        study = run(what, **options, tell=tell, command=shlex.join(["reslab", *sys.argv[1:]]))
    show(study.page.resolve())


@command(options=ClaimsOptions)
def claims(ids: list[str] | None = None, /, *, options: Given, lang: Lang = "en", json_: Json = False) -> None:
    """List the claims of the notes and the paper with their verdicts.

    With ids, these claims in full.

    Parameters
    ----------
    ids
        such as C3
    lang
        language of the words
    json_
        print JSON: id, claim, verdict, and for each study data, seeds, figures, command
    """
    from reslab.api.verdicts import verdicts as told
    from reslab.show.terminal.verdicts import claim_text, claims_json, claims_text

    found = told(ids or (), **options)
    if json_:
        print_json(claims_json(found))
    else:
        show("\n\n".join(claim_text(one, lang) for one in found) if ids else claims_text(found, lang))


@command(options=ReportOptions)
def report(sources: list[Path] | None = None, /, *, options: Given) -> None:
    """Write one HTML page of studies, of a run, or of runs compared.

    The page's path is the last word printed.

    Parameters
    ----------
    sources
        folders of studies (all claims and their verdicts), or of runs; default: runs/* and the committed
        results
    """
    from reslab.api.reports import report as write
    from reslab.show.terminal.console import teller

    with teller() as progress:
        path = write(sources or (), **options, tell=say, progress=progress)
    show(path.resolve())


@command(options=FigureOptions)
def figure(name: str, sources: list[Path] | None = None, /, *, options: Given) -> None:
    """Draw a figure or table of the paper.

    From your records or the committed ones; fig3, fig5, macs-by-layer and tables 1 to 4 from the nets' definitions.

    Parameters
    ----------
    name
        fig1, fig3, fig5, fig6, fig7, depth, macs, gradients, activations, residuals, macs-by-layer, copying, progress,
        table1, table2, table3, table4, table6
    sources
        folders of studies or runs; default: the first study of runs/* and the committed results that shows it
        (table6: all)
    """
    from reslab.api.pictures import picture

    show(picture(name, sources or (), **options, tell=say).resolve())
