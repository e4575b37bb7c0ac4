"""`report`: one HTML page of studies, of a run, or of runs compared, from their records alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from reslab.api.arguments import takes
from reslab.api.pages import link_to_networks
from reslab.api.verdicts import committed_studies, problems_of, read_source, studies_found
from reslab.claims.evidence import Evidence
from reslab.claims.judging import Judgement
from reslab.claims.overview import overview
from reslab.claims.text import LANGUAGES
from reslab.errors import UserError
from reslab.options.pages import ReportOptions
from reslab.runs.runlog import Record, Tell


@takes(ReportOptions, "out")
def report(
    sources: Sequence[str | Path] = (),
    *,
    options: ReportOptions,
    tell: Callable[[str], None] | None = None,
    progress: Tell | None = None,
) -> Path:
    """Write one HTML page and return its path.

    sources    folders of studies, or of runs (or of a folder of runs); default: the studies in runs/ and the committed
               results. Several runs are compared
    {options}
    tell       called with each problem of the records (damaged, missing, unchecked), which the page shows as well
    progress   called with an event (a dict of kind "page") before each claim is drawn, and after the last
    Raises UserError for a folder without studies or runs, for studies and runs in one call, for damaged records, and
    if another file would be overwritten.
    """
    out, language = options.out, options.lang
    folders = [Path(s) for s in sources] if sources else studies_found()
    if not folders:
        raise UserError("report: there is no study (runs/*/study.json, results/*/study.json); give a folder")
    path = _target(folders if sources else [], out, language)
    _check(path, options.overwrite)
    records = [record for folder in folders for record in read_source(folder)]
    for problem in problems_of(records):
        if tell is not None:
            tell(f"problem: {problem}")
    studies = [record for record in records if isinstance(record, Evidence)]
    runs = [record for record in records if isinstance(record, Record)]
    if studies and runs:
        raise UserError("report: studies and runs in one call; give studies for verdicts, or runs for a comparison")
    command = shlex.join(["reslab", "report", *map(str, sources), *(["--lang", language] if language != "en" else [])])
    from reslab.show.pages.page import publish
    from reslab.show.pages.report import study_page
    from reslab.show.pages.runpage import runs_page, scored_pictures

    try:
        if studies:
            judgements = [judgement for summary in overview(studies) for judgement in summary.judgements]
            origin = [] if sources else _origin(judgements, language)
            link = link_to_networks(studies[0].folder, path) if len(studies) == 1 else ""
            html = study_page(judgements, language, command, origin, _counted(progress), link)
        else:
            link = link_to_networks(runs[0].folder, path) if len(runs) == 1 else ""
            pictures = scored_pictures(runs[0].folder) if len(runs) == 1 else []
            html = runs_page(runs, language, command, networks=link, pictures=pictures)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        paths = ", ".join(map(str, folders))
        raise UserError(f"{paths}: damaged records ({type(error).__name__}: {error}); give another folder") from error
    try:
        publish(html, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another --out") from None
    return path


def _counted(progress: Tell | None) -> Callable[[int, int], None] | None:
    """Return a function of the number of claims drawn and of all claims that reports them as an event."""
    if progress is None:
        return None
    return lambda done, total: progress({"kind": "page", "iteration": done, "iterations": total})


def _origin(judgements: Sequence[Judgement], language: str) -> list[str]:
    """Return the sentence that names the project's own studies among the judged ones; [] if there are none."""
    from reslab.show.words import COMMITTED

    judged = {judgement.evidence.folder for judgement in judgements}
    names = ", ".join(folder.name for folder in committed_studies() if folder in judged)
    return [COMMITTED.filled(names=names)(language)] if names else []


def _target(sources: Sequence[Path], out: Path | None, language: str) -> Path:
    name = "report.html" if language == LANGUAGES[0] else f"report.{language}.html"
    if out is None:
        return sources[0] / name if len(sources) == 1 else Path(name)
    return out / name if out.is_dir() else out


def _check(path: Path, overwrite: bool) -> None:
    """Raise UserError if `path` is not .html, is a folder, or is an existing file other than a report of reslab."""
    from reslab.show.pages.page import is_ours

    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: a report is an HTML page; give a name that ends in .html")
    if path.is_dir() or (path.exists() and not overwrite and not is_ours(path)):
        raise UserError(f"{path}: exists and is not a report of reslab; give another --out, or --overwrite")
