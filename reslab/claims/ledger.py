"""When the rule of each claim was committed, and in which commit a study's runs began: rules come before their runs.

A rule is what decides: quantities, limits, roles, margins. Its hash leaves out every word that is only read. The ledger
(`ledger.json`) holds each claim's rules, oldest first, with the day of the commit that brought them;
`python -m benchmarks.rules` writes it. A study records, when it begins, the hashes of that moment.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.claim import Claim
from reslab.claims.evidence import Beginning
from reslab.claims.text import Text

LEDGER = "ledger.json"
DIGITS = 16  # hexadecimal digits of a hash that are kept


@dataclass(frozen=True)
class Rule:
    """A rule of a claim: its hash, and the day (ISO) of the commit that brought it.

    at_latest   the rule is older than the ledger, which took it up on that day
    """

    hash: str
    date: str
    at_latest: bool = False

    def committed(self, language: str) -> str:
        if language == "en":
            return f"rule committed {self.date}{' at the latest' if self.at_latest else ''}"
        return f"판정 규칙을 {'늦어도 ' if self.at_latest else ''}{self.date}에 커밋"


def deciding(claim: Claim) -> list[Any]:
    """Return what decides a claim, as plain types."""
    parts = [[s.quantity.key, str(s.rule), s.role, s.unit, [net.key for net in s.flat]] for s in claim.statements]
    return [parts, sorted([m.name, m.version] for m in claim.measurements)]


@cache
def hashes() -> dict[str, str]:
    """Claim id → hash of its rule today, over the settings of digits, CIFAR-10, and CIFAR-10 with all of Table 6."""
    settings = (
        default_setting("digits"),
        default_setting("cifar10:PATH"),
        default_setting("cifar10:PATH", depths=(20, 32, 44, 56, 110, 1202), scale=1.0),
    )
    parts: dict[str, list[Any]] = {}
    for setting in settings:
        for claim in catalogue(setting):
            parts.setdefault(claim.id, []).append(deciding(claim))
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:DIGITS]
        for name, part in parts.items()
    }


@cache
def ledger() -> dict[str, tuple[Rule, ...]]:
    """Claim id → its rules, oldest first, as they were committed."""
    content = json.loads((files("reslab.claims") / LEDGER).read_text(encoding="utf-8"))
    return {name: tuple(Rule(**rule) for rule in rules) for name, rules in content.items()}


class First(Enum):
    """Which came first, today's rule of a claim or the runs of a study."""

    RULE = "confirmatory"
    RUNS = "exploratory"
    TOGETHER = "committed together"
    UNKNOWN = "not recorded"


def first(name: str, beginning: Beginning | None) -> First:
    """Return whether the claim's rule of today or the study's runs came first.

    A study without a `beginning` is older than the ledger, as is one whose rules and runs came together.
    """
    rules = ledger().get(name, ())
    if not rules:
        return First.UNKNOWN
    if beginning is None or beginning.together:
        if not rules[-1].at_latest:  # a rule of the ledger's own time
            return First.RUNS
        return First.UNKNOWN if beginning is None else First.TOGETHER
    return First.RULE if beginning.hashes.get(name) == hashes()[name] else First.RUNS


def order(name: str, beginning: Beginning | None) -> Text:
    """Return what `first` found as a sentence, with the dates."""
    came_first = first(name, beginning)
    if came_first is First.UNKNOWN:
        return Text(
            "whether the rule or the runs came first was not recorded (this study is older than the ledger of rules)",
            "판정 규칙과 실행 중 무엇이 먼저인지 기록되지 않았다(규칙을 기록하기 전의 실험이다)",
        )
    rule, began = ledger()[name][-1], _began(beginning)
    if came_first is First.TOGETHER:
        return Text(f"rule and runs were committed together, {began}: which came first cannot be checked",
                    f"판정 규칙과 실행 결과를 함께 커밋했으므로({began}) 무엇이 먼저인지 확인할 수 없다")  # fmt: skip
    if came_first is First.RULE:
        return Text(f"{rule.committed('en')}, before the runs, which began {began}",
                    f"{rule.committed('ko')}한 뒤에 실행했다({began} 시작)")  # fmt: skip
    changed = len(ledger()[name]) > 1
    is_older = beginning is None or beginning.together
    since, since_ko = ("", "") if is_older else (f", which began {began}", f"({began} 시작)")
    return Text(
        f"rule {'changed' if changed else 'committed'} {rule.date}, after the runs{since}: exploratory",
        f"실행한{since_ko} 뒤에 {'바꾼' if changed else '정한'} 판정 규칙({rule.date} 커밋)이므로 탐색적인 결과다",
    )


def _began(beginning: Beginning | None) -> str:
    """Return the day and the commit of a study's beginning: "2026-11-27 (commit 51f7dc3cfb)"."""
    if beginning is None:
        return ""
    commit = (beginning.commit or "")[:10] + ("+changes" if "+" in (beginning.commit or "") else "")
    return f"{beginning.date} (commit {commit})" if commit else beginning.date
