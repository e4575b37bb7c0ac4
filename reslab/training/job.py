"""One run before its first update: its description, the check of its folder, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from reslab.data.check.finding import EXAMPLES
from reslab.data.images.levels import Levels
from reslab.data.splits import Data
from reslab.engines import choose
from reslab.engines.machine import UNDECIDED, ComputeOptions, Settings, environment, resolve_device, settle
from reslab.engines.ranks import ALONE, Ranks
from reslab.errors import UserError
from reslab.nets.names import name_of, switches_of
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.extension import table_of
from reslab.runs.identity import difference
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import METRICS, RUN
from reslab.store import jsonl
from reslab.store.sealed import is_sealed, read_sealed, write_sealed
from reslab.training.checks import check_extension
from reslab.training.init import InitialWeights


@dataclass(frozen=True)
class Reading:
    """How a campaign's processes read the data of a run, as the command has read them.

    levels   of 16-bit pixels; None: the training files decide
    The rest is as in `models.inputs.load_data`.
    """

    download: bool = False
    val_share: float | None = None
    bad_images: str = "error"
    group: str | None = None
    levels: Levels | None = None

    def arguments(self) -> dict[str, Any]:
        """Return these choices as keywords of `load_data`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Job:
    """One run, complete.

    source            the data, as text of --data
    out               the run's folder
    options           device, precision, engine …; `settle` decides what is "auto"
    workers           processes that decode image files
    command           the command line that trains this run; recorded
    threads_explicit  the user set `options.threads`, so a resumed run takes it; the share of the cores that a campaign
                      gives to a run is not explicit
    reading           of the data, by a campaign
    fingerprint       of the data, "" if unknown: a folder whose run has other data does not hold this run
    init              what is taken over from a trained model; None: the weights are drawn
    extend            iterations in all of a finished run that is continued
    ranks             that train the run together; rank 0 alone reads and writes its folder
    ends              of a leg of an extended run: the ends up to that of this leg, where `recipe` ends
    """

    spec: Spec
    source: str
    recipe: Recipe
    seed: int
    out: Path
    options: ComputeOptions = UNDECIDED
    workers: int = 0
    command: str = ""
    threads_explicit: bool = False
    reading: Reading = Reading()
    fingerprint: str = ""
    init: InitialWeights | None = None
    extend: int | None = None
    ends: tuple[int, ...] = ()
    ranks: Ranks = ALONE

    def append(self, line: dict[str, Any]) -> None:
        """Add a line to the run's `metrics.jsonl`, on rank 0."""
        if self.ranks.is_first:
            jsonl.append(self.out / METRICS, line)

    @property
    def frozen(self) -> tuple[str, ...]:
        """The parts of the net that do not learn."""
        return self.init.record.frozen if self.init else ()

    @property
    def recorded(self) -> dict[str, Any]:
        """The fields of `run.json` that a checkpoint has, too."""
        recipe = replace(self.recipe, iterations=self.ends[0]) if self.ends else self.recipe
        return {
            "spec": self.spec.to_dict(),
            "recipe": recipe.to_dict(),
            "seed": self.seed,
            **({"init": self.init.record.to_dict()} if self.init else {}),
            **({"extended": table_of(self.ends)} if len(self.ends) > 1 else {}),
        }


def enter(job: Job, data: Data) -> tuple[Settings, list[str]]:
    """Write the job's `run.json`, or check that the existing one is this job's.

    Returns the settings to compute with, and one line for each change since the run began because of which it will not
    end bit for bit the same. Raises UserError if the folder holds something else.
    """
    run: dict[str, Any] = {
        "model": name_of(job.spec),
        "switches": switches_of(job.spec),
        **job.recorded,
        "data": {
            "source": job.source,
            **data.origin(),
            "classes": list(data.classes),
            "sizes": {name: len(part) for name, part in data.splits().items()},
            "notes": list(data.notes),
            **({"findings": [finding.to_dict(EXAMPLES) for finding in data.findings]} if data.findings else {}),
        },
        "environment": environment(),
        "command": job.command,
    }
    if not (job.out / RUN).exists():
        check_vacant(job.out)
        if job.extend is not None:
            raise UserError(f"--extend {job.extend}: {job.out} holds no run; leave --extend out to train it first")
        settings = settle(job.spec, job.recipe, job.options, job.frozen)
        write_sealed(job.out / RUN, {**run, "settings": settings.to_dict()})
        return settings, []
    record = runlog.read(job.out)
    recorded = record.run
    different = difference({**run, "extended": []}, recorded, record.folder / RUN)
    if different:
        raise UserError(f"--out {job.out}: holds another run ({different}); give another folder")
    check_extension(record, job.extend)
    is_done = record.finished and job.extend in (None, record.ends[-1])
    try:
        settings = Settings.from_dict(recorded["settings"])
    except TypeError:
        raise UserError(f"{job.out / RUN}: damaged (its settings are incomplete); give another folder") from None
    if not is_done:
        try:
            resolve_device(str(settings.device))
        except UserError:
            raise UserError(
                f"--out {job.out}: the run began on {settings.device}, which torch does not see here; resume it on a "
                "machine that has it, or give another --out to start again"
            ) from None
    for key in ("device", "precision", "engine"):
        if getattr(job.options, key) not in ("auto", getattr(settings, key)):
            raise UserError(
                f"--{key} {getattr(job.options, key)}: the run began with {getattr(settings, key)}; give another --out"
            )
    if job.options.sync_bn and not settings.sync_bn:
        raise UserError("--sync-bn: the run began without it; leave it out, or give another --out")
    changes = list[str]()
    if not is_done:
        threads, settings = settings.threads, _updated(settings, job)
        if settings.threads != threads:
            changes.append(_changed("threads", settings.threads, threads))
        if settings.ranks != job.ranks.count:
            changes.append(_changed("the number of ranks", job.ranks.count, settings.ranks))
            settings = replace(settings, ranks=job.ranks.count)
    on_gpu = settings.device.startswith("cuda")
    for key in ("torch", "numpy", "cpu", "cores", *(["gpu"] if on_gpu else [])):
        value, recorded_value = run["environment"][key], recorded["environment"].get(key)
        if value != recorded_value:
            changes.append(_changed(key, value, recorded_value))
    return settings, changes


def check_vacant(out: Path) -> None:
    """Raise UserError if a new run cannot begin in the folder `out`, which may not exist yet: it holds other files."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out}: is a file, not a folder; choose another folder")
    foreign = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    if foreign:
        raise UserError(f"--out {out}: holds {foreign[0]!r} and no run of reslab; give an empty or a new folder")


def _updated(settings: Settings, job: Job) -> Settings:
    """Return the settings of a resumed run, with those options of the job that may change during a run."""
    new = settings
    if job.options.recompute not in ("auto", "on", "off"):
        raise UserError(f"--recompute: {job.options.recompute!r} is none of auto, on, off")
    if job.options.recompute != "auto":
        new = replace(new, recompute=job.options.recompute == "on")
    if new.recompute and new.engine in choose.KEEPS_ALL:
        raise UserError(
            f"--recompute on: not with the engine {new.engine}, with which the run began; give another --out"
        )
    if job.threads_explicit and job.options.threads:
        new = replace(new, threads=job.options.threads)
    return new if new == settings else replace(new, why=_line(new))


def _changed(key: str, value: Any, recorded: Any) -> str:
    return f"{key} is {value}, the run began with {recorded}: resumed, but not bit for bit"


def _line(settings: Settings) -> str:
    """Return the settings in one line."""
    s = settings
    return (
        f"{s.device}, {s.precision}, {s.layout}, {s.engine}, {'recompute, ' if s.recompute else ''}{s.threads} threads"
    )


def keep_settings(job: Job, settings: Settings) -> None:
    """Record the settings of a resumed run in its `run.json`, if that has other ones or no seal."""
    run = read_sealed(job.out / RUN)
    if not is_sealed(run) or Settings.from_dict(run["settings"]) != settings:
        write_sealed(job.out / RUN, {**run, "settings": settings.to_dict()})
