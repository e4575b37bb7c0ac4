"""One run before its first step: who it is, whether the folder is its own, with which settings it computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reslab.data.splits import Data
from reslab.errors import UserError
from reslab.nets.names import name_of, switches_of
from reslab.nets.spec import Spec
from reslab.store.files import write_json
from reslab.training import runlog
from reslab.training.machine import UNDECIDED, Settings, Wish, environment, settle
from reslab.training.recipe import Recipe
from reslab.training.runlog import RUN, Tell


@dataclass(frozen=True)
class Job:
    """One run, complete: what, on what, how, from which seed, where to, asked for by which command."""

    spec: Spec
    source: str
    recipe: Recipe
    seed: int
    out: Path
    wish: Wish = UNDECIDED
    workers: int = 0
    command: str = ""


def enter(job: Job, data: Data, tell: Tell) -> Settings:
    """Write `run.json`, or check that the one there is this run's; returns the settings to compute with."""
    mine: dict[str, Any] = {
        "format": runlog.FORMAT,
        "model": name_of(job.spec),
        "switches": switches_of(job.spec),
        "spec": job.spec.to_dict(),
        "recipe": job.recipe.to_dict(),
        "seed": job.seed,
        "data": {
            "source": job.source,
            "name": data.name,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "sizes": {name: len(part) for name, part in data.there().items()},
            "notes": list(data.notes),
        },
        "environment": environment(),
        "command": job.command,
    }
    if not (job.out / RUN).exists():
        foreign = [p.name for p in job.out.iterdir() if not p.name.startswith(".")]
        if foreign:
            raise UserError(
                f"--out {job.out}: holds {foreign[0]!r} and no run of reslab; give an empty or a new folder"
            )
        settings = settle(job.spec, job.recipe, job.wish)
        write_json(job.out / RUN, {**mine, "settings": settings.to_dict()})
        return settings
    record = runlog.read(job.out)
    there, different = record.run, runlog.difference(mine, record)
    if different:
        raise UserError(f"--out {job.out}: holds another run ({different}); give another folder")
    try:
        settings = Settings.from_dict(there["settings"])
    except TypeError:
        raise UserError(f"{job.out / RUN}: damaged (its settings are incomplete); give another folder") from None
    for key in ("device", "precision"):
        if getattr(job.wish, key) not in ("auto", getattr(settings, key)):
            raise UserError(
                f"--{key} {getattr(job.wish, key)}: the run began with {getattr(settings, key)}; give another --out"
            )
    for key in ("torch", "numpy", "cpu", "cores"):
        now, then = mine["environment"][key], there["environment"].get(key)
        if now != then:
            tell(
                {"kind": "warning", "text": f"{key} is {now}, the run began with {then}: resumed, but not bit for bit"}
            )
    return settings
