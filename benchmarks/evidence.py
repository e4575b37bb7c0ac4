"""The runs behind every published number: trains what is missing (resuming), then keeps the small part in results/.

`python -m benchmarks.evidence [--data cifar10:PATH] [PART …]`. A part's folder in results/ holds run.json (recipe,
settings, environment, command), metrics.jsonl and summary.json (exact scores of the final weights, fp32, by
`reslab evaluate`). Paths of the machine that ran it do not travel.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reslab import api
from reslab.show.plain import PlainTeller
from reslab.store.files import write_json, write_text
from reslab.training import runlog
from reslab.training.naming import command_of
from reslab.training.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
RUNS, RESULTS = ROOT / "runs", ROOT / "results"


@dataclass(frozen=True)
class Part:
    """One CIFAR-10 run under the paper's recipe, its schedule scaled as a whole."""

    model: str
    scale: float
    seed: int = 0
    set: dict[str, Any] = field(default_factory=dict)


OFTEN = {"eval_every": 400, "clean_every": 1_600}
PARTS = {
    "cifar_resnet20-whole": Part("cifar_resnet20", 1.0),
    "cifar_resnet20-tenth": Part("cifar_resnet20", 0.1, set=OFTEN),
    "cifar_plain20-tenth": Part("cifar_plain20", 0.1, set=OFTEN),
}
DIGITS = "degradation-digits"


def find_cifar10() -> str | None:
    """`cifar10:PATH` from RESLAB_CIFAR10, or from the data folder beside the checkout."""
    beside = ROOT.parent / "shared" / "data" / "cifar10"
    path = os.environ.get("RESLAB_CIFAR10") or (str(beside) if beside.is_dir() else None)
    return f"cifar10:{path}" if path else None


def keep(run: Path, target: Path, data: str | None) -> None:
    """Copy a finished run's record without its weights; a summary of its final weights beside it."""
    record = runlog.read(run)
    if not record.finished:
        raise SystemExit(f"{run}: not finished; run the same command again to go on")
    source = record.run["data"]["source"].partition(":")[0]
    shown = source if source == "digits" else f"{source}:PATH"
    spec = api.spec(record.model, **record.run["switches"])
    command = command_of(spec, shown, Recipe.from_dict(record.run["recipe"]), record.seed)
    told = {**record.run, "command": command, "data": {**record.run["data"], "source": shown}}
    write_json(target / "run.json", told)
    write_text(target / "metrics.jsonl", (run / "metrics.jsonl").read_text(encoding="utf-8"))
    found = {s: api.evaluate(run, data, split=s)[0].to_dict() for s in ("test", "train")}
    for scores in found.values():
        scores.pop("checkpoint")
    write_json(target / "summary.json", {"command": command, **found})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default=find_cifar10(), help="cifar10:PATH")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{DIGITS}, {', '.join(PARTS)} (default: all)")
    asked = parser.parse_args()
    wanted = asked.parts or [DIGITS, *PARTS]
    for name in wanted:
        if name == DIGITS:
            api.reproduce("degradation")
            for run in sorted(p.parent for p in (api.RUNS / DIGITS).glob("*/run.json")):
                keep(run, RESULTS / DIGITS / run.name, None)
            continue
        if name not in PARTS:
            sys.exit(f"{name}: no such part; there are {DIGITS}, {', '.join(PARTS)}")
        if asked.data is None:
            print(f"{name}: skipped, no CIFAR-10: give --data cifar10:PATH or set RESLAB_CIFAR10")
            continue
        part = PARTS[name]
        api.train(
            part.model, asked.data, recipe="paper-cifar", scale=part.scale, seed=part.seed, set=part.set,
            out=RUNS / name, tell=PlainTeller(every=60),
        )  # fmt: skip
        keep(RUNS / name, RESULTS / name, asked.data)


if __name__ == "__main__":
    main()
