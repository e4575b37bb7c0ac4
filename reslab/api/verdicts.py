"""`verdicts`: judge the claims on your records and the committed ones. Reads records and computes nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reslab.api.arguments import takes
from reslab.api.jobs import RUNS
from reslab.claims.evidence import STUDY, Evidence, is_study, read
from reslab.claims.overview import ClaimSummary, overview
from reslab.errors import UserError, suggest_beside
from reslab.notebook import Shown
from reslab.options.pages import ClaimsOptions
from reslab.runs import runlog
from reslab.runs.runlog import Record

RESULTS = "results"


def studies_found() -> list[Path]:
    """Return the folders of studies: the user's (runs/*), then the committed ones."""
    return [*_studies_in(RUNS), *committed_studies()]


def committed_studies() -> list[Path]:
    """Return the folders of the project's own studies.

    They are in results/ of the current folder, else of the checkout, else inside the installed package, which has them
    without checkpoints.
    """
    above = Path(__file__).resolve().parents
    places = (Path(RESULTS), above[2] / RESULTS, above[1] / RESULTS)
    return next(filter(None, map(_studies_in, places)), [])


def _studies_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{STUDY}"))


@takes(ClaimsOptions, "records")
def verdicts(ids: str | Iterable[str] = (), *, options: ClaimsOptions) -> list[ClaimSummary]:
    """Return every claim (or those with these `ids`, such as "C3"), judged on the records of studies.

    {options}
    Raises UserError for an unknown id and for a folder that is not a study.
    """
    folders = studies_found() if options.records is None else options.records
    return Shown(overview([read(folder) for folder in folders], [ids] if isinstance(ids, str) else ids))


def problems_of(records: Iterable[Evidence | Record]) -> list[str]:
    """Return the problems of some records (damaged, missing, unchecked), a line each, without repetition."""
    return list(dict.fromkeys(problem for record in records for problem in record.problems))


def read_source(folder: Path) -> list[Evidence | Record]:
    """Return the records in a folder: a study, one run, or several runs. Raises UserError if it has none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{suggest_beside(folder)}")
    if is_study(folder):
        return [read(folder)]
    if (folder / runlog.RUN).is_file():
        return [runlog.read(folder)]
    inside = sorted(path.parent for path in folder.glob(f"*/{runlog.RUN}"))
    if not inside:
        raise UserError(f"{folder}: holds no study ({STUDY}), no run ({runlog.RUN}) and no folder of runs")
    return [runlog.read(path) for path in inside]
