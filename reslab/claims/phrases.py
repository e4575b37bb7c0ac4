"""Figures in words, and the answer to a claim: at most 40 words, the verdict first, details in the table below it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED, Above, Always, Below, Figure
from reslab.claims.text import Text

if TYPE_CHECKING:
    from reslab.claims.claim import Finding, Statement

UNITS = {
    "points": Text(" points", "%p"),  # percentage points
    "decades": Text(" times", "배"),  # kept as powers of ten, in answers factors, in tables as ×2,610
    "layers": Text(" layers", "층"),
    "×": Text(" times", "배"),
}
BUDGET = Text("For this budget, yes.", "이 학습량에서는 그렇다.")
OPENING = {  # an answer's first word or two
    HOLDS: Text("Yes.", "그렇다."),
    CONDITION: Text("In part.", "부분적으로만 그렇다."),
    FAILS: Text("No.", "아니다."),
    UNDECIDED: Text("Not decided.", "아직 판정할 수 없다."),
}
NOTE, NOTES, PAPER = Text("note", "노트"), Text("notes", "노트"), Text("paper", "논문")
AGAINST = Text("; against it: ", "; 반대: ")
MISSING = "\0"  # in a sentence, in place of a figure that was not measured
IN_PART = Text("Only a part of this was run.", "일부만 실행했다.")
NOT_JUDGED = Text("Only a part of this was run, which gives no verdict.", "일부만 실행했으므로 판정하지 않는다.")
FOR_THIS_BUDGET = Text(
    "The runs have not converged: this is the answer after {n} iterations.",
    "학습이 아직 수렴하지 않았다. 반복 {n}회까지의 결과다.",
)
CONVERGENCE_UNKNOWN = Text(
    "Whether the runs have converged was not measured: this is the answer after {n} iterations.",
    "학습이 수렴했는지는 측정하지 않았다. 반복 {n}회까지의 결과다.",
)
TOO_FEW = Text(
    "With fewer than three seeds the spread over seeds is unknown, so no rule decides.",
    "seed가 3개 미만이면 seed에 따른 편차를 알 수 없어 판정하지 않는다.",
)
MORE_SEEDS = Text(
    "With this mean and spread about {n} seeds in all would show that {verdict}; a seed took {time} of computing.",
    "평균과 편차가 지금과 같다면 seed 총 {n}개가량이면 {verdict} 판정할 수 있다(seed당 계산 시간 {time}).",
)
DECIDING = {
    HOLDS: Text("it holds", "성립한다고"),
    CONDITION: Text("it holds with a condition", "조건부로 성립한다고"),
    FAILS: Text("it does not hold", "성립하지 않는다고"),
}
ON_THE_THRESHOLD = Text(
    "The mean lies so close to the threshold that more seeds will hardly decide it; a seed took {time} of computing.",
    "평균이 기준값에 너무 가까워 seed를 늘려도 판정하기 어렵다(seed당 계산 시간 {time}).",
)


def answers(*, holds: Text, condition: Text, fails: Text, undecided: Text) -> dict[str, Text]:
    """Return the answer for each verdict: a sentence or two, before which `spoken` puts the verdict in a word.

    {s0} is the figure of the first statement, "77.1 points"; {s0n} without its unit, {s0a} without its sign; {s0m} as a
    change, "rises by 77.1 points"; {s0l} as a comparison, "77.1 points higher". A power of ten is a factor, "1/1,100"
    without its unit; its change is "shrinks to 1/1,100".
    """
    return {HOLDS: holds, CONDITION: condition, FAILS: fails, UNDECIDED: undecided, NOT_RUN: NOT_JUDGED}


def answer(text: Text) -> dict[str, Text]:
    """Return `answers` with the same sentence after each verdict: its figures say the rest."""
    return answers(holds=text, condition=text, fails=text, undecided=text)


def spoken(answers: Mapping[str, Text], verdict: str, opening: Text | None = None) -> Text:
    """Return a verdict's answer from its first word on: `OPENING`'s, or another `opening`."""
    first, text = opening or OPENING.get(verdict), answers[verdict]
    return text if first is None else Text(f"{first.en} {text.en}", f"{first.ko} {text.ko}")


def forms(finding: Finding, language: str) -> Mapping[str, str]:
    """Return a figure in the forms that an answer can ask for, by the letter after its number ("" for none)."""
    figure = finding.figure
    if figure is None:
        return dict.fromkeys(("", "a", "m", "n", "l"), MISSING)
    unit, powers, up = _unit(finding, language), finding.statement.unit == "decades", figure.mean >= 0
    ratio = factor(abs(figure.mean)) if powers else brief(abs(figure.mean))
    plain, size = factor(figure.mean) if powers else brief(figure.mean), ratio + unit
    if isinstance(finding.statement.rule, Always):
        plain = _range(figure, factor if powers else brief, " to " if language == "en" else "–")
    if language == "en":
        growth = "keeps its size" if ratio == "1" else f"grows {ratio} times" if up else f"shrinks to 1/{ratio}"
        change = growth if powers else f"{'rises' if up else 'falls'} by {size}"
        compared = f"{size} {'higher' if up else 'lower'}"
    else:
        growth = "그대로 유지" if ratio == "1" else f"{ratio}배 증가" if up else f"1/{ratio}로 감소"
        change = growth if powers else f"{size} {'증가' if up else '감소'}"
        compared = f"{size} {'크다' if up else '작다'}"
    return {"": plain + unit, "a": size, "m": change, "n": plain, "l": compared}


def _range(figure: Figure, number: Callable[[float], str], between: str) -> str:
    """What was computed and not sampled: its lowest and highest value, or the one that all have."""
    low, high = min(figure.values), max(figure.values)
    return number(low) if low == high else f"{number(low)}{between}{number(high)}"


def brief(value: float) -> str:
    """Return a number as prose has it: three digits (two below 1), thousands with commas; a whole one in full."""
    if value < 0:
        return f"−{brief(-value)}"
    if value == int(value) and value < 1e12:
        return f"{int(value):,}"
    if value >= 100:
        return f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.0f}" if value < 1e12 else f"{value:.0e}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def shown(finding: Finding, language: str = "en", spread: bool = False) -> str:
    """Return a figure as a table has it: the mean and its 95 % interval, "1.23 [1.11, 1.35] points (n = 5)".

    With `spread`, mean and standard deviation: "1.23 ± 0.10 points (n = 5)". A computed figure is shown as its range, a
    power of ten as a factor: "×1/371 [1/637, 1/216] (n = 5)".
    """
    figure = finding.figure
    if figure is None:
        return "–"
    powers = finding.statement.unit == "decades"
    number, before, unit = (factor, "×", "") if powers else (_number, "", _unit(finding, language))
    if isinstance(finding.statement.rule, Always):
        return f"{before}{_range(figure, number, ' … ')}{unit}"
    if figure.n == 1:
        return f"{before}{number(figure.mean)}{unit} (n = 1)"
    equal = max(figure.values) - min(figure.values) <= 1e-12 * abs(figure.mean)  # rounding alone is no spread
    low, high = (figure.mean, figure.mean) if equal else (figure.low, figure.high)
    if spread:
        std = 0.0 if equal else figure.std
        around = f"×/÷ {factor(std)}" if powers else f"± {_number(std)}"
    else:
        around = f"[{number(low)}, {number(high)}]"
    return f"{before}{number(figure.mean)} {around}{unit} (n = {figure.n})"


def factor(power: float) -> str:
    """Return a power of ten as a factor, "1,090" or "1/4.5"."""
    size = brief(10.0 ** min(abs(power), 300.0))
    return size if power >= 0 or size == "1" else f"1/{size}"


def threshold(statement: Statement, language: str = "en") -> str:
    """Return what a statement's figure is held against: "> 0", "± 3", of powers of ten "> ×1,000"."""
    rule = statement.rule
    if statement.unit != "decades" or not isinstance(rule, Above | Below):
        return str(rule).replace(", each", "")  # in the rule's own text, which its hash has
    return f"{'>' if isinstance(rule, Above) else '≤'} ×{factor(rule.bar)}"


def cited(said: str, language: str = "en") -> str:
    """Return where a claim is made: "000, 001; §4.1" as "notes 000, 001; paper §4.1"; "vs." comes before who denies it.

    Three digits are a study note, §, Fig., Table and Eq. the paper; anything else is a source by itself.
    """
    sides = said.partition(" vs. ")
    sources = [[_source(part, language) for part in side.split("; ")] for side in sides[::2] if side]
    return "; ".join(sources[0]) + "".join(AGAINST(language) + ", ".join(side) for side in sources[1:])


def _source(part: str, language: str) -> str:
    notes = re.findall(r"\b\d{3}\b(?!\d)", part) if part[0].isdigit() else []
    if notes:
        return f"{(NOTES if len(notes) > 1 else NOTE)(language)} {part}"
    return f"{PAPER(language)} {part}" if part.startswith(("§", "Fig.", "Table", "Eq.")) else part


def _unit(finding: Finding, language: str) -> str:
    unit = finding.statement.unit
    return UNITS[unit](language) if unit in UNITS else f" {unit}" if unit else ""


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:.2f}" if 0.1 <= abs(value) < 1e5 else f"{value:.2g}"


def duration(seconds: float, language: str) -> str:
    """Return a time to two digits: "40 s", "12 min", "3.5 h"."""
    for size, en, ko in ((3_600, "h", "시간"), (60, "min", "분")):
        if seconds >= 2 * size:
            count = f"{float(f'{seconds / size:.2g}'):,g}"
            return f"{count} {en}" if language == "en" else f"{count}{ko}"
    return f"{seconds:.0f} s" if language == "en" else f"{seconds:.0f}초"
