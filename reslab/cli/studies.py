"""Verbs on claims: reproduce, claims, report, figure."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.options.pages import ClaimsOptions, FigureOptions, ReportOptions, ReproduceOptions, TextOptions


@command(options=ReproduceOptions)
def reproduce(what: list[str], /, *, options: Given) -> None:
    """Run claims of the paper and the notes, judge them, and write one HTML report.

    Parameters
    ----------
    what
        claims (C3), experiments (degradation, shortcuts …), or all; see `reslab claims`
    """
    from reslab.api import studies
    from reslab.show.terminal.console import teller

    with teller() as tell:
        study = studies.reproduce(what, **options, tell=tell, command=shlex.join(["reslab", *sys.argv[1:]]))
    show(study.page.resolve())


@command(options=ClaimsOptions, text=TextOptions)
def claims(ids: list[str] | None = None, /, *, options: Given, text: Given, json_: Json = False) -> None:
    """List the claims of the paper and the notes with their verdicts, or show some in full.

    Parameters
    ----------
    ids
        claims to show in full; default: list all
    json_
        print JSON: id, claim, verdict, and for each study data, seeds, figures, command
    """
    from reslab.api.verdicts import verdicts
    from reslab.show.terminal.verdicts import claim_text, claims_json, claims_text

    language = TextOptions.of(text).lang
    summaries = verdicts(ids or (), **options)
    if json_:
        print_json(claims_json(summaries))
    elif ids:
        show("\n\n".join(claim_text(summary, language) for summary in summaries))
    else:
        show(claims_text(summaries, language))


@command(options=ReportOptions)
def report(sources: list[Path] | None = None, /, *, options: Given) -> None:
    """Write one HTML page of studies, of a run, or of runs compared.

    Parameters
    ----------
    sources
        folders of runs, or of studies (claims and verdicts); default: runs/* and the committed results
    """
    from reslab.api.reports import report as write
    from reslab.show.terminal.console import teller

    with teller() as progress:
        path = write(sources or (), **options, tell=say, progress=progress)
    show(path.resolve())


@command(options=FigureOptions)
def figure(name: str, sources: list[Path] | None = None, /, *, options: Given) -> None:
    """Draw a figure or table of the paper from records.

    fig3, fig5, macs-by-layer and tables 1 to 4 are drawn from the nets' definitions and need no records.

    Parameters
    ----------
    name
        fig1, fig3, fig5, fig6, fig7, depth, macs, gradients, activations, residuals, macs-by-layer, copying, removal,
        progress, table1, table2, table3, table4, table6
    sources
        folders of studies or runs; default: the first study in runs/* and the committed results that has the figure
        (table6: all studies)
    """
    from reslab.api.pictures import picture

    show(picture(name, sources or (), **options, tell=say).resolve())
