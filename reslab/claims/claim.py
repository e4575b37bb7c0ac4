"""What a claim is: its sentence, what it needs, the rule of each of its parts; and how records judge it.

A claim is data. Its bars and margins are in its file and are shown with the figures; `ledger` says since when.
It trains nothing: `api.studies` trains its nets, makes its measurements, and hands the evidence to `judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reslab.claims.evidence import Evidence, Net
from reslab.claims.quantity import Quantity
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED, Always, Figure, Rule, combined, figure
from reslab.claims.text import LANGUAGES, Text
from reslab.runs.recipe import Recipe

UNITS = {
    "points": Text("points", "점"),
    "decades": Text("decades", "decade"),
    "decades a layer": Text("decades a layer", "decade (한 층당)"),
    "layers": Text("layers", "층"),
}
MAIN, LIMIT, BESIDE = "main", "limit", "beside"
RUNS_UNDECIDED = Text("these runs do not decide it.", "이 실행들로는 결정할 수 없다.")
NOT_DECIDED = Text("it is not decided.", "결정되지 않았다.")
IN_PART = Text("not all of it was run.", "일부만 실행했다.")
NOT_FLAT = Text(
    " Not every curve is flat after {n} iterations: this is said at this budget.",
    " {n}회 반복 뒤에도 모든 곡선이 평탄해지지는 않았다: 이 예산에서의 판정이다.",
)
NOT_SEEN = Text(
    " Whether the curves are flat after {n} iterations was not measured: this is said at this budget.",
    " {n}회 반복 뒤 곡선이 평탄한지는 측정하지 않았다: 이 예산에서의 판정이다.",
)
FLAT = 0.5  # points of training error by which a curve may move in the last tenth of its schedule and be flat


class Bench(Protocol):
    """What a measurement is given: data, and the study's trained nets."""

    def network(self, of: Net, seed: int) -> Any:
        """The trained network of a run, in evaluation mode (`nets.model.Network`)."""
        ...

    def batch(self, of: Net, seed: int, count: int, split: str = "train") -> tuple[Any, Any]:
        """The first `count` samples of a split as that run sees them, not augmented: images [count,C,H,W], labels."""
        ...

    def first_images(self, recipe: Recipe, count: int) -> tuple[Any, Any]:
        """The data, and a batch of its first `count` training images as a run of `recipe` sees them, not augmented."""
        ...

    def logits(self, members: list[tuple[Net, int]]) -> tuple[list[Any], Any]:
        """Of each run (net, seed) the logits of the whole test split, [N,classes] in float64; and the labels [N]."""
        ...


@dataclass(frozen=True)
class Measurement:
    """Something computed from nets, saved as one file of plain numbers: made once, or for each seed.

    make     (bench, seed) → figures: numbers, or lists of them; imports torch when called. `seed` is None for "once"
    nets     whose finished runs it reads, all seeds of them
    version  to be raised whenever what `make` computes changes: older files are then made again
    seconds  about what one takes on a core of 2026, on digits: for `--budget`
    """

    name: str
    make: Callable[[Bench, int | None], dict[str, Any]]
    nets: tuple[Net, ...] = ()
    each_seed: bool = False
    version: int = 1
    seconds: float = 1.0


@dataclass(frozen=True)
class Statement:
    """One part of a claim: a quantity and the rule it is held against.

    role   "main": part of what is claimed; "limit": where it ends; "beside": told, and without a say
    unit   of the quantity: "points", "decades", "" …
    flat   nets whose training curves must have become flat, or else the statement is made "at this budget"
    """

    text: Text
    quantity: Quantity
    rule: Rule
    role: str = MAIN
    unit: str = ""
    flat: tuple[Net, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A statement of the notes or the paper.

    id, name     "C1", and the experiment's word: `reslab reproduce NAME`
    quote        the notes' own words (Korean) or the paper's
    said         where: "000, 001, 002", "§4.1"
    text         the claim in our words
    statements   its parts
    answers      a sentence for each verdict it can give (`answers`); {s0}, {s1} … stand for the parts' figures
    measurements what must be computed besides training
    charts       which figures show it, by the names that `show` knows
    analytic     made in seconds, without training
    """

    id: str
    name: str
    quote: str
    said: str
    text: Text
    statements: tuple[Statement, ...]
    answers: Mapping[str, Text]
    measurements: tuple[Measurement, ...] = ()
    charts: tuple[str, ...] = ()
    why_not_run: Text | None = None

    @property
    def nets(self) -> tuple[Net, ...]:
        """Every net that must be trained for it, once."""
        found = [n for s in self.statements for n in (*s.quantity.nets, *s.flat)]
        return tuple(dict.fromkeys([*found, *(n for m in self.measurements for n in m.nets)]))

    @property
    def analytic(self) -> bool:
        return not self.nets


def answers(en: str, ko: str, *, holds: Text, condition: Text, fails: Text, undecided: Text) -> dict[str, Text]:
    """A sentence for each verdict: the same in all of them, but for its end, which stands where it says {end}.

    That of "not run" is for a claim of which a part was run.
    """
    ends = {HOLDS: holds, CONDITION: condition, FAILS: fails, UNDECIDED: undecided, NOT_RUN: IN_PART}
    return {verdict: Text(en.replace("{end}", e.en), ko.replace("{end}", e.ko)) for verdict, e in ends.items()}


def kept(value: float) -> float:
    """A figure as a measurement's file keeps it: eight significant digits."""
    return float(f"{value:.8g}")


@dataclass(frozen=True)
class Finding:
    """A statement with its figure and verdict; `figure` is None where nothing was run."""

    statement: Statement
    figure: Figure | None
    verdict: str


@dataclass(frozen=True)
class Judgement:
    """A claim on one study's evidence. `flat`: its curves are, are not, or (None) were measured too seldom to say."""

    claim: Claim
    evidence: Evidence
    findings: tuple[Finding, ...]
    verdict: str
    flat: bool | None
    sentence: Text
    seeds: tuple[int, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Judgement({self.claim.id}, {self.evidence.setting.data}, n = {len(self.seeds)}: {self.verdict})"

    @property
    def says(self) -> bool:
        """Whether the study says anything of the claim: at least a part of what is claimed was run."""
        return any(f.figure and f.statement.role == MAIN for f in self.findings)


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Hold a claim against the records of a study."""
    findings = tuple(_finding(s, evidence) for s in claim.statements)
    curves = [is_flat(evidence, s.flat) for s in claim.statements]
    flat = False if False in curves else None if None in curves else True
    verdict = combined(
        [f.verdict for f in findings if f.statement.role == MAIN],
        [f.verdict for f in findings if f.statement.role == LIMIT],
    )
    seeds = sorted({seed for n in claim.nets for seed in evidence.runs(n)})
    sentence = _sentence(claim, verdict, findings)
    if not flat and verdict != NOT_RUN:
        budget = (NOT_SEEN if flat is None else NOT_FLAT).filled(n=f"{evidence.setting.recipe.iterations:,}")
        sentence = Text(sentence.en + budget.en, sentence.ko + budget.ko)
        verdict = CONDITION if verdict == HOLDS else verdict
    return Judgement(claim, evidence, findings, verdict, flat, sentence, tuple(seeds))


def _finding(statement: Statement, evidence: Evidence) -> Finding:
    series = statement.quantity.read(evidence)
    found = figure([series[k] for k in sorted(series)])
    return Finding(statement, found, NOT_RUN if found is None else statement.rule(found))


def is_flat(evidence: Evidence, nets: tuple[Net, ...]) -> bool | None:
    """Whether the training error of every run of `nets` moved by less than FLAT points over the last tenth.

    None where it was measured there less than twice in some run, and moved in no other.
    """
    seen: bool | None = True
    for record in evidence.every(nets):
        curve = record.evaluations("train")
        end = curve[-1]["iteration"] if curve else 0
        late = [e.get("top1_error") for e in curve if e["iteration"] >= 0.9 * end]
        known = [value for value in late if isinstance(value, int | float)]
        if len(known) < len(late) or max(known, default=0.0) - min(known, default=0.0) >= FLAT:
            return False
        if len(known) < 2:
            seen = None
    return seen


def _sentence(claim: Claim, verdict: str, findings: tuple[Finding, ...]) -> Text:
    if verdict == NOT_RUN and not any(f.figure and f.statement.role == MAIN for f in findings):
        return claim.why_not_run or Text("Not run here.", "여기서는 실행하지 않았다.")
    en, ko = ({f"s{i}": shown(f, language) for i, f in enumerate(findings)} for language in LANGUAGES)
    answer = claim.answers[verdict]
    return Text(answer.filled(**en).en, answer.filled(**ko).ko)


def shown(finding: Finding, language: str = "en", spread: bool = False) -> str:
    """Return a figure in words: the mean and its 95 % interval, "1.23 [1.11, 1.35] points (n = 5)".

    With `spread`, mean and standard deviation: "1.23 ± 0.10 points (n = 5)". A computed figure is shown as its range.
    """
    found = finding.figure
    if found is None:
        return "–"
    unit = UNITS.get(finding.statement.unit, Text(finding.statement.unit, finding.statement.unit))(language)
    unit = f" {unit}" if unit else ""
    if isinstance(finding.statement.rule, Always):
        low, high = min(found.values), max(found.values)
        return f"{_number(low)}{unit}" if low == high else f"{_number(low)} … {_number(high)}{unit}"
    if found.n == 1:
        return f"{_number(found.mean)}{unit} (n = 1)"
    equal = max(found.values) - min(found.values) <= 1e-12 * abs(found.mean)  # rounding alone is shown as no spread
    low, high = (found.mean, found.mean) if equal else (found.low, found.high)
    around = f"± {0 if equal else _number(found.std)}" if spread else f"[{_number(low)}, {_number(high)}]"
    return f"{_number(found.mean)} {around}{unit} (n = {found.n})"


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:.2f}" if 0.1 <= abs(value) < 1e5 else f"{value:.2g}"
