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
    """A rule of a claim: its hash, and the day (ISO) of the commit that brought it."""

    hash: str
    date: str


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
    UNKNOWN = "not recorded"


def first(name: str, beginning: Beginning | None) -> First:
    """Return whether the claim's rule of today or the study's runs came first. A study without a `beginning` is older
    than the ledger, and so is the first rule of its claims."""
    rules = ledger().get(name, ())
    if not rules:
        return First.UNKNOWN
    if beginning is None:
        return First.RUNS if len(rules) > 1 else First.UNKNOWN
    return First.RULE if beginning.hashes.get(name) == hashes()[name] else First.RUNS


def order(name: str, beginning: Beginning | None) -> Text:
    """Return what `first` found as a sentence, with the dates."""
    came_first = first(name, beginning)
    if came_first is First.UNKNOWN:
        return Text(
            "whether the rule or the runs came first was not recorded (this study is older than the ledger of rules)",
            "판정 규칙과 실행 중 무엇이 먼저인지 기록되지 않았다(규칙을 기록하기 전의 실험이다)",
        )
    rules = ledger()[name]
    if beginning is None:
        return Text(f"rule changed {rules[-1].date}, after the runs: exploratory",
                    f"실행한 뒤에 판정 규칙을 바꿨으므로({rules[-1].date}) 탐색적인 결과다")  # fmt: skip
    commit = (beginning.commit or "")[:10] + ("+changes" if "+" in (beginning.commit or "") else "")
    began = f"{beginning.date} (commit {commit})" if commit else beginning.date
    now = hashes()[name]
    dates = {rule.hash: rule.date for rule in rules}
    if came_first is First.RULE:
        return Text(f"rule committed {dates.get(now, 'never')}, before the runs, which began {began}",
                    f"판정 규칙을 먼저 커밋하고({dates.get(now, '없음')}) 실행했다({began} 시작)")  # fmt: skip
    return Text(
        f"rule committed {dates.get(now, 'never')}, written after the runs, which began {began}: exploratory",
        f"실행({began} 시작)한 뒤에 쓴 판정 규칙({dates.get(now, '없음')} 커밋)이므로 탐색적인 결과다",
    )
