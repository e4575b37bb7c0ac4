"""One run before its first step: who it is, whether the folder is its own, with which settings it computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reslab.data.splits import Data
from reslab.engines import choose
from reslab.engines.machine import UNDECIDED, ComputeOptions, Settings, environment, resolve_device, settle
from reslab.errors import UserError
from reslab.nets.names import name_of, switches_of
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.identity import difference
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import RUN
from reslab.store.sealed import is_sealed, read_sealed, write_sealed


@dataclass(frozen=True)
class Job:
    """One run, complete: what, on what, how, from which seed, where to, asked for by which command.

    asked   the threads of `wish` are a user's word, which a resumed run follows, and no campaign's share of the cores
    """

    spec: Spec
    source: str
    recipe: Recipe
    seed: int
    out: Path
    wish: ComputeOptions = UNDECIDED
    workers: int = 0
    command: str = ""
    asked: bool = False


def enter(job: Job, data: Data) -> tuple[Settings, list[str]]:
    """Write `run.json`, or check that the one there is this run's; the settings to compute with, and what has changed
    since it began so that it will not end bit for bit as it would have."""
    mine: dict[str, Any] = {
        "model": name_of(job.spec),
        "switches": switches_of(job.spec),
        "spec": job.spec.to_dict(),
        "recipe": job.recipe.to_dict(),
        "seed": job.seed,
        "data": {
            "source": job.source,
            **data.origin(),
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
        write_sealed(job.out / RUN, {**mine, "settings": settings.to_dict()})
        return settings, []
    record = runlog.read(job.out)
    there, different = record.run, difference(mine, record.run, record.folder / RUN)
    if different:
        raise UserError(f"--out {job.out}: holds another run ({different}); give another folder")
    try:
        settings = Settings.from_dict(there["settings"])
    except TypeError:
        raise UserError(f"{job.out / RUN}: damaged (its settings are incomplete); give another folder") from None
    if not record.finished:
        try:
            resolve_device(str(settings.device))
        except UserError:
            raise UserError(
                f"--out {job.out}: the run began on {settings.device}, which torch does not see here; resume it where "
                "there is one, or give another folder to begin anew"
            ) from None
    for key in ("device", "precision", "engine"):
        if getattr(job.wish, key) not in ("auto", getattr(settings, key)):
            raise UserError(
                f"--{key} {getattr(job.wish, key)}: the run began with {getattr(settings, key)}; give another --out"
            )
    changes = list[str]()
    if not record.finished:
        then, settings = settings.threads, _followed(job, settings)
        if settings.threads != then:
            changes.append(_changed("threads", settings.threads, then))
    on_gpu = settings.device.startswith("cuda")
    for key in ("torch", "numpy", "cpu", "cores", *(["gpu"] if on_gpu else [])):
        now, then = mine["environment"][key], there["environment"].get(key)
        if now != then:
            changes.append(_changed(key, now, then))
    return settings, changes


def _followed(job: Job, settings: Settings) -> Settings:
    """The settings of a run that is resumed, with what the user now asks for that is no other run."""
    new = settings
    if job.wish.recompute not in ("auto", "on", "off"):
        raise UserError(f"--recompute: {job.wish.recompute!r} is none of auto, on, off")
    if job.wish.recompute != "auto":
        new = replace(new, recompute=job.wish.recompute == "on")
    if new.recompute and new.engine in choose.KEEPS_ALL:
        raise UserError(
            f"--recompute on: not with the engine {new.engine}, with which the run began; give another --out"
        )
    if job.asked and job.wish.threads:
        new = replace(new, threads=job.wish.threads)
    return new if new == settings else replace(new, why=_line(new))


def _changed(key: str, now: Any, then: Any) -> str:
    return f"{key} is {now}, the run began with {then}: resumed, but not bit for bit"


def _line(settings: Settings) -> str:
    """The settings in one line."""
    s = settings
    return (
        f"{s.device}, {s.precision}, {s.layout}, {s.engine}, {'recompute, ' if s.recompute else ''}{s.threads} threads"
    )


def keep_settings(job: Job, settings: Settings) -> None:
    """Write the settings with which a resumed run goes on into its `run.json`, if that has others or no seal."""
    run = read_sealed(job.out / RUN)
    if not is_sealed(run) or Settings.from_dict(run["settings"]) != settings:
        write_sealed(job.out / RUN, {**run, "settings": settings.to_dict()})
