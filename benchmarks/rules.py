"""Enter into the ledger the rules of claims that have changed, or that are new, with today's date.

`python -m benchmarks.rules [--check]`. To be run before the commit of a rule, which holds nothing else, and before any
of its runs. `--check` writes nothing and exits with 1 if the ledger is behind.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from reslab.claims import ledger
from reslab.claims.ledger import LEDGER, Rule, hashes

FILE = Path(ledger.__file__).with_name(LEDGER)


def main(words: list[str]) -> int:
    there = ledger.ledger() if FILE.is_file() else {}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    changed = [name for name, now in hashes().items() if not there.get(name) or there[name][-1].hash != now]
    print(f"new or changed rules: {', '.join(changed) or 'none'}")
    if "--check" in words:
        return int(bool(changed))
    entered = {name: [*there.get(name, ()), Rule(now, today)] if name in changed else [*there[name]]
               for name, now in hashes().items()}  # fmt: skip
    content = {name: [asdict(rule) for rule in rules] for name, rules in entered.items()}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
