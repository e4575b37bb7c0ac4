"""`reproduce`: the runs of some claims trained, what is computed measured, judged, and shown on one page."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from reslab.api import bench as benches
from reslab.api.arguments import takes
from reslab.api.runs import RUNS, check_machine
from reslab.claims import evidence as evidences
from reslab.claims.catalogue import chosen, default_setting
from reslab.claims.claim import Claim, Measurement
from reslab.claims.evidence import Beginning, Net, Setting
from reslab.claims.judging import Judgement, judge
from reslab.engines.host import check_processes
from reslab.errors import Interrupted, UserError
from reslab.notebook import table
from reslab.options.pages import ReproduceOptions
from reslab.runs.naming import command_of, recipe_words, resolve_recipe, run_name, seed_words
from reslab.runs.runlog import Tell, steady
from reslab.version import source_commit

MOST_SEEDS = 1_000  # runs of each net; every one is planned before the first starts


@dataclass(frozen=True)
class Study:
    """The outcome of `reproduce`: where it stands, its page, the claims judged, and those that did not fit in time."""

    folder: Path
    page: Path
    judgements: tuple[Judgement, ...]
    left_out: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        rows = [(one.claim.id, one.verdict, one.sentence("en")) for one in self.judgements]
        return table(f"Study in {self.folder}; its page: {self.page}", ("claim", "verdict", "why"), rows)


@dataclass(frozen=True)
class PendingMeasurement:
    """A measurement to be made: of which seed (None: once), in which file, from which runs."""

    what: Measurement
    seed: int | None
    path: Path
    runs: list[str]


@takes(ReproduceOptions, "data")
def reproduce(
    what: str | Sequence[str], *, options: ReproduceOptions, tell: Tell | None = None, command: str | None = None
) -> Study:
    """Train the nets that some claims need, measure, judge, and write one HTML report.

    what       experiments ("degradation", "shortcuts" …), claims ("C3"), or "all"
    {options}
    command    recorded as what started the study
    `scale`, `recipe` and `set` change the study's own recipe: digits-study on digits, elsewhere paper-cifar, probed
    every 1,000 iterations. The folder holds runs of one recipe only. `budget` is in seconds.
    Finished runs are not trained again, unfinished ones resume. Raises UserError, RunError, Interrupted.
    """
    from reslab.engines.machine import ComputeOptions
    from reslab.models.inputs import fit, load_data
    from reslab.show.pages.page import publish
    from reslab.show.pages.report import study_page
    from reslab.show.terminal.notebook import default_teller
    from reslab.store.files import writable_folder
    from reslab.training.campaign import run_all
    from reslab.training.checks import check_batch_norm
    from reslab.training.job import Job
    from reslab.training.room import check_run

    tell = steady(tell or default_teller())
    data, processes, device, download = options.data, options.processes, options.device, options.download
    setting = _setting(options)
    names = [what] if isinstance(what, str) else list(what)
    claims = chosen(setting, names)
    if len(setting.depths) < 2 and "all" not in names and any(not c.statements for c in claims):
        told = ", ".join(c.id for c in claims if not c.statements)
        raise UserError(f"--depths: {setting.shallow}: at least two different depths are compared by {told}")
    check_machine(device)
    check_processes("--processes", processes or 1)
    nets = list(dict.fromkeys(n for claim in claims for n in claim.nets))
    first = nets[0].spec() if nets else Net(f"cifar_resnet{setting.shallow}").spec()
    loaded = load_data(data, first, setting.recipe.holdout, download=download, splits=("test",))
    whole = cache(lambda: load_data(data, first, setting.recipe.holdout, download=download))  # only where it is needed
    folder = options.out or RUNS / f"study-{loaded.name}"

    def planned(of: Net, seed: int) -> Job:
        spec = fit(of.spec(), loaded, {})
        name = run_name(spec, loaded.name, setting.recipe, seed)
        said = command_of(spec, data, setting.recipe, seed)
        return Job(
            spec, data, setting.recipe, seed, folder / name, ComputeOptions(device),
            command=said, download=download, fingerprint=loaded.fingerprint,
        )  # fmt: skip

    plans = {(n, seed): planned(n, seed) for seed in setting.seeds for n in nets}  # whole seeds first
    last_of_each = {plan.spec: plan for plan in plans.values()}  # of each net the last seed, which has done the least
    for plan in last_of_each.values():
        check_batch_norm(plan.spec, plan.recipe, plan.recipe.batch)
        check_run(plan.out, plan.spec, plan.recipe, ComputeOptions(device))
    _enter(writable_folder(folder), replace(setting, data=loaded.name))
    left_out: tuple[str, ...] = ()
    if options.budget is not None:
        claims, left_out = _within(options.budget, claims, plans, folder, setting, whole, processes, tell)
        wanted = {n for claim in claims for n in claim.nets}
        plans = {key: plan for key, plan in plans.items() if key[0] in wanted}
    if plans:
        run_all(list(plans.values()), tell, processes)
    _measure(folder, claims, setting, {key: plan.out for key, plan in plans.items()}, data, whole, tell)
    found = evidences.read(folder)
    for problem in found.problems:
        tell({"kind": "warning", "text": problem})
    every = [judge(claim, found) for claim in chosen(setting, ["all"])]
    judgements = tuple(one for one in every if one.claim.id in {claim.id for claim in claims})
    for one in judgements:
        tell({"kind": "note", "text": f"{one.claim.id} {one.verdict}: {one.sentence('en')}"})
    told = command or reproduce_command(names, data, setting)
    page = folder / ("report.html" if options.lang == "en" else f"report.{options.lang}.html")
    publish(study_page(every, options.lang, told, loaded.notes), page)
    return Study(folder, page, judgements, left_out)


def _setting(options: ReproduceOptions) -> Setting:
    seeds, scale, recipe = options.seeds, options.scale, options.recipe
    if seeds is not None and seeds < 1:
        raise UserError(f"--seeds: {seeds} must be at least 1")
    if seeds is not None and seeds > MOST_SEEDS:
        raise UserError(f"--seeds is too large; the largest value is {MOST_SEEDS:,}")
    depths = tuple(sorted(frozenset(options.depths))) if options.depths else None
    setting = default_setting(options.data, seeds, depths, scale, options.first_seed)
    for depth in setting.depths:
        Net(f"cifar_resnet{depth}").spec()  # refuses a depth that does not exist
    scaled_already = recipe is None
    base = resolve_recipe(
        options.data, recipe or setting.recipe, scale=None if scaled_already else scale, set=options.set
    )
    return replace(setting, recipe=base)


def _enter(folder: Path, setting: Setting) -> None:
    """Make the folder this study's, or find that it is. Raises UserError if it holds another one."""
    from reslab.claims import ledger

    seeds = setting.seeds
    if evidences.is_study(folder):
        there = evidences.read_setting(folder)
        for what, mine, theirs in (
            ("data", setting.data, there.data), ("depths", setting.depths, there.depths),
            *((k, v, there.recipe.to_dict()[k]) for k, v in setting.recipe.to_dict().items()),
        ):  # fmt: skip
            if mine != theirs:
                raise UserError(f"{folder}: holds a study with {what} = {theirs}, not {mine}; give another --out")
        seeds = tuple(sorted({*seeds, *there.seeds}))
        if seeds == there.seeds:
            return
        beginning = evidences.read_beginning(folder)
    else:
        beginning = Beginning(f"{datetime.now(UTC):%Y-%m-%d}", source_commit(), ledger.hashes())
    evidences.write_study(folder, replace(setting, seeds=seeds), beginning)


def _within(
    budget: float, claims: Sequence[Claim], plans: Mapping[tuple[Net, int], Any], folder: Path, setting: Setting,
    whole: Callable[[], Any], processes: int | None, tell: Tell,
) -> tuple[tuple[Claim, ...], tuple[str, ...]]:  # fmt: skip
    """The claims whose runs and measurements fit into `budget` seconds, and the ids of those that do not."""
    from reslab.training.budget import fitting, seconds_each
    from reslab.training.campaign import is_done, parallelism

    side, threads = parallelism(list(plans.values()), processes)
    missing = [p for p in plans.values() if not is_done(p)]
    seconds = {p.out: 0.0 for p in plans.values()}
    if missing:
        tell({"kind": "note", "text": "timing a few updates of each net, to see what fits into the budget"})
        seconds |= seconds_each(missing, whole(), threads)
    folders = {key: plan.out for key, plan in plans.items()}
    due = {c.id: _due(folder, [c], setting, folders) for c in claims}
    # measurements are made one after another, so that each takes the time of `side` runs
    seconds |= {one.path: side * one.what.seconds for some in due.values() for one in some}
    needs = {
        c.id: [*(p.out for (n, _), p in plans.items() if n in c.nets), *(one.path for one in due[c.id])] for c in claims
    }
    fit = fitting(needs, seconds, budget, side)
    left = tuple(c.id for c in claims if c.id not in fit)
    used = sum(seconds[p] for p in {p for name in fit for p in needs[name]}) / side
    told = f"{len(fit)} of {len(claims)} claims fit, about {used / 60:.0f} min"
    tell({"kind": "note", "text": f"{told}; not run: {', '.join(left)}" if left else told})
    return tuple(c for c in claims if c.id in fit), left


def _measure(
    folder: Path, claims: Sequence[Claim], setting: Setting, folders: Mapping[tuple[Net, int], Path], data: str,
    whole: Callable[[], Any], tell: Tell,
) -> None:  # fmt: skip
    """Make every measurement of `claims` that is not there; one file each, so that nothing is computed twice."""
    from reslab.training.stop import Stop

    due = _due(folder, claims, setting, folders)
    bench = benches.StudyBench(data, folders, whole)
    with Stop() as stop:
        for number, one in enumerate(due, 1):
            tell({"kind": "note", "text": f"measures {one.path.stem} ({number} of {len(due)})"})
            benches.make(one.path, one.what, one.seed, bench, one.runs)
            if stop():
                raise Interrupted("stopped; what is measured is kept, the same command goes on from there")


def _due(
    folder: Path, claims: Sequence[Claim], setting: Setting, folders: Mapping[tuple[Net, int], Path]
) -> list[PendingMeasurement]:
    """The measurements of `claims` that are not there yet."""
    due = []
    for one in {m.name: m for claim in claims for m in claim.measurements}.values():  # two claims may share one
        moments: tuple[int | None, ...] = setting.seeds if one.each_seed else (None,)
        for seed in moments:
            of = setting.seeds if seed is None else (seed,)
            runs = sorted(folders[n, s].name for n in one.nets for s in of)
            path = benches.path_of(folder, one, seed)
            if not benches.is_made(path, one, runs):
                due.append(PendingMeasurement(one, seed, path, runs))
    return due


def reproduce_command(names: Sequence[str], data: str, setting: Setting) -> str:
    """The command line that does the same, every choice said."""
    words = ["reslab", "reproduce", *names, "--data", data, "--depths", ",".join(map(str, setting.depths))]
    return shlex.join([*words, *seed_words(setting.seeds), *recipe_words(setting.recipe, data)])
