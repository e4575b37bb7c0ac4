"""What a study rests on: recipe, open choices, machine, departures from the paper, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reslab.claims.evidence import Evidence
from reslab.claims.judging import Judgement
from reslab.runs.runlog import Record
from reslab.show import tables, words
from reslab.show.choices import choice_table
from reslab.show.format import clean
from reslab.show.series import sound
from reslab.show.tables import Table


@dataclass(frozen=True)
class Basis:
    """The rows of a study's recipe and machine, its departures from the paper, its missing runs and its problems."""

    id: str
    about: str
    recipe: Table
    choices: Table
    machine: Table
    departures: list[str]
    missing: Table
    problems: list[str]


def basis_of(evidence: Evidence, number: int, judgements: Sequence[Judgement], language: str) -> Basis:
    """Return what a study rests on; `missing` are the nets of the judged claims without a run for each seed."""
    setting, records = evidence.setting, every_record(evidence)
    recipe = setting.recipe.to_dict()
    seeds, length = len(setting.seeds), f"{setting.recipe.iterations:,}"
    nets = dict.fromkeys(n for j in judgements for n in j.claim.nets)
    done = {n: len(evidence.runs(n)) for n in nets} if _has_kinds(evidence) else {}
    missing = [[str(n), words.OF_SEEDS.filled(done=k, n=seeds)(language)] for n, k in done.items() if k < seeds]
    return Basis(
        f"study-{number + 1}",
        f"{clean(evidence.folder.name)}: {clean(setting.data)}, {clean(setting.recipe.name)}, "
        f"{words.N_ITERATIONS.filled(n=length)(language)}, {words.N_SEEDS.filled(n=seeds)(language)}",
        tables.recipe_table(recipe, language),
        choice_table(recipe, language),
        tables.machine_table(records, language),
        tables.departures(records, language),
        missing,
        [clean(problem) for problem in evidence.problems],
    )


def every_record(evidence: Evidence) -> list[Record]:
    """Return a study's records without their damaged lines."""
    return sound_records(r for seeds in evidence.records.values() for r in seeds.values())


def sound_records(records: Iterable[Record]) -> list[Record]:
    return list(sound(records).records)


def _has_kinds(evidence: Evidence) -> bool:
    return all("kind" in m for seeds in evidence.records.values() for r in seeds.values() for m in r.metrics)
