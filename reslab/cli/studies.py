"""Verbs on claims: reproduce, claims, report, figure."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reslab.cli.app import app
from reslab.cli.options import DATA, MACHINE, TRAINING, countable, numbers, pairs, whole
from reslab.cli.output import print_json, say, show


@app.command
def reproduce(
    what: list[str],
    /,
    *,
    data: Annotated[str, Parameter(group=DATA)] = "digits",
    depths: Annotated[str | None, Parameter(group=TRAINING)] = None,
    seeds: Annotated[int | None, Parameter(group=TRAINING, converter=whole)] = None,
    scale: Annotated[float | None, Parameter(group=TRAINING)] = None,
    recipe: Annotated[str | None, Parameter(group=TRAINING)] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", group=TRAINING, negative="")] = None,
    out: Annotated[Path | None, Parameter(group=TRAINING)] = None,
    budget: Annotated[str | None, Parameter(group=TRAINING)] = None,
    lang: Literal["en", "ko"] = "en",
    processes: Annotated[int | None, Parameter(group=MACHINE, converter=whole)] = None,
    device: Annotated[str, Parameter(group=MACHINE)] = "auto",
    download: Annotated[bool, Parameter(group=DATA, negative="")] = False,
) -> None:
    """Run claims of the notes and the paper, judge them, and write one HTML report; its path is the last word printed.

    Parameters
    ----------
    what
        experiments (degradation, shortcuts …), claims (C3), or all; see `reslab claims`
    data
        digits (default), or cifar10:PATH
    depths
        of the twins, such as 8,20,56
    seeds
        how many seeds: 0, 1, 2 … (5 on digits, 1 elsewhere)
    scale
        as in `reslab train`
    recipe
        as in `reslab train`; default: digits-study, or a quarter of paper-cifar
    set_
        as in `reslab train`
    out
        folder of the runs and the report; default: runs/study-DATA
    budget
        such as 30m: claims that fit are worked on, the cheapest first; the others are said to be not run
    lang
        of the report
    processes
        runs side by side; default: on a CPU as many as cores and memory allow
    device
        auto, cpu, cuda
    download
        allow `--data cifar10` to fetch the archive
    """
    from reslab.api.studies import reproduce as run
    from reslab.show.terminal.console import teller

    seconds = None
    if budget is not None:
        from reslab.training.budget import seconds_of

        seconds = seconds_of(budget)
    with teller() as tell:
        study = run(
            what,
            data,
            depths=None if depths is None else numbers("--depths", depths),
            seeds=seeds,
            scale=countable("--scale", scale),
            recipe=recipe,
            set=pairs(set_ or []),
            out=out,
            processes=processes,
            device=device,
            budget=seconds,
            language=lang,
            download=download,
            tell=tell,
            command=shlex.join(["reslab", *sys.argv[1:]]),
        )
    show(study.page.resolve())


@app.command
def claims(
    ids: list[str] | None = None,
    /,
    *,
    records: Annotated[list[Path] | None, Parameter(negative="")] = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """List the claims of the notes and the paper with their verdicts; with ids, tell these in full.

    Parameters
    ----------
    ids
        such as C3
    records
        folders of studies; default: runs/* and results/*
    json_
        print JSON: id, claim, verdict, and for each study data, seeds, figures, command
    """
    from reslab.api.verdicts import verdicts as told
    from reslab.show.terminal.verdicts import claim_text, claims_json, claims_text

    found = told(ids or (), records)
    if json_:
        print_json(claims_json(found))
    else:
        show("\n\n".join(map(claim_text, found)) if ids else claims_text(found))


@app.command
def report(
    sources: list[Path] | None = None,
    /,
    *,
    lang: Literal["en", "ko"] = "en",
    out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write one HTML page of studies, of a run, or of runs compared; its path is the last word printed.

    Parameters
    ----------
    sources
        folders of studies (all claims and their verdicts), or of runs; default: runs/* and results/*
    lang
        en or ko
    out
        a file; default: report.html in the one folder given, else here
    overwrite
        replace the file also where it is no report of ours
    """
    from reslab.api.reports import report as write

    show(write(sources or (), out, lang, overwrite, say).resolve())


@app.command
def figure(
    name: str,
    sources: list[Path] | None = None,
    /,
    *,
    out: Path | None = None,
    lang: Literal["en", "ko"] = "en",
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw a figure or table of the paper from your records (or the committed ones), or from the nets themselves.

    Parameters
    ----------
    name
        fig1, fig3, fig5, fig6, fig7, depth, macs, gradients, activations, residuals, macs-by-layer, copying, progress,
        table1, table2, table3, table4, table6
    sources
        folders of studies or runs; default: the first study of runs/* and results/* that shows it (table6: all)
    out
        a file: .svg, .png or .html (charts answer to the mouse there; fig3, fig5 and tables stand still); default:
        NAME.svg
    lang
        of its words
    overwrite
        replace the file if it exists
    """
    from reslab.api.pictures import picture

    show(picture(name, sources or (), out, lang, overwrite, say).resolve())
