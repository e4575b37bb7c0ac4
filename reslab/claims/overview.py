"""Every claim at a glance: each judged on every study that measured a part of it, and one verdict from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.claim import Claim
from reslab.claims.evidence import Evidence
from reslab.claims.judging import Judgement, judge
from reslab.claims.ledger import First, first
from reslab.claims.rules import DECIDED, NOT_RUN, UNDECIDED, together
from reslab.errors import UserError, suggest
from reslab.notebook import table


def _came_first(one: Judgement) -> First:
    return first(one.claim.id, one.evidence.beginning)


def is_exploratory(one: Judgement) -> bool:
    """Whether the claim's rule of today is younger than the study's runs."""
    return _came_first(one) is First.RUNS


@dataclass(frozen=True)
class ClaimSummary:
    """A claim and its judgements, one for each study that measured a part of it.

    Studies that decide the claim come first, those that ran only a part of it last; among them real images before
    digits, runs after their rule before others, more seeds before fewer. "not run" if there is none.
    """

    claim: Claim
    judgements: tuple[Judgement, ...]

    @property
    def verdict(self) -> str:
        return together([j.verdict for j in self.judgements])

    @property
    def is_exploratory(self) -> bool:
        """Whether the rule is younger than the runs in every study that decides the claim."""
        decided = [j for j in self.judgements if j.verdict in DECIDED]
        return bool(decided) and all(is_exploratory(j) for j in decided)

    def __repr__(self) -> str:
        return f"ClaimSummary({self.claim.id}, {self.verdict}: {list(self.judgements)})"

    def _repr_html_(self) -> str:
        rows = [(j.evidence.setting.data, len(j.seeds), j.verdict, j.sentence("en")) for j in self.judgements]
        caption = f"{self.claim.id} {self.verdict}: {self.claim.text('en')}"
        return table(caption, ("data", "seeds", "verdict", "why"), rows)


def overview(studies: Iterable[Evidence], wanted: Iterable[str] = ()) -> list[ClaimSummary]:
    """Every claim, or those of `wanted` (ids), in the order of their numbers.

    Of two studies of the same data and recipe that both measured a part of a claim, the one that began under today's
    rule counts, then the one with more seeds, then the first. Raises UserError for an unknown id.
    """
    judged: dict[str, list[Judgement]] = {}
    for study in studies:
        for claim in catalogue(study.setting):
            judged.setdefault(claim.id, []).append(judge(claim, study))
    plain = catalogue(default_setting("digits"))
    known = [c.id for c in plain]
    ids = [w.upper() for w in wanted]
    for word in ids:
        if word not in known:
            raise UserError(f"claims: {word!r} is not known{suggest(word, known)}; there are {known[0]} to {known[-1]}")
    return [_summary(claim, judged.get(claim.id, [])) for claim in plain if not ids or claim.id in ids]


def _summary(claim: Claim, judgements: list[Judgement]) -> ClaimSummary:
    best: dict[tuple[str, str], Judgement] = {}
    for judgement in judgements:
        key = (judgement.evidence.setting.data, str(judgement.evidence.setting.recipe))
        if judgement.says and (key not in best or _weight(judgement) > _weight(best[key])):
            best[key] = judgement
    ordered = sorted(best.values(), key=_place)
    able = [j for j in judgements if j.claim.statements]  # not those that have only a reason why they cannot
    chosen = tuple(ordered) or tuple(able[:1] or judgements[:1]) or (_empty(claim),)
    return ClaimSummary(chosen[0].claim, chosen)


def _weight(one: Judgement) -> tuple[bool, bool, int]:
    """What was run whole counts before what was run in part, runs after their rule before others, more seeds first."""
    return one.verdict != NOT_RUN, _came_first(one) is First.RULE, len(one.seeds)


def _place(one: Judgement) -> tuple[int, bool, bool, int]:
    """Return the key by which the studies of a claim are ordered."""
    last = (UNDECIDED, NOT_RUN)
    rank = last.index(one.verdict) + 1 if one.verdict in last else 0
    return rank, one.evidence.setting.data == "digits", _came_first(one) is not First.RULE, -len(one.seeds)


def _empty(claim: Claim) -> Judgement:
    """A claim of which there is no record at all."""
    return judge(claim, Evidence(Path("results"), default_setting("digits"), {}, {}))
