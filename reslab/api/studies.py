"""`reproduce`: train the runs that some claims need, measure, judge, and write one page."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from reslab.api import bench as benches
from reslab.api.arguments import takes
from reslab.api.jobs import RUNS, begun_with, check_machine, check_readable
from reslab.api.pages import link_to_networks, write_networks
from reslab.campaign.executor import LOCAL, Where
from reslab.claims import evidence as evidences
from reslab.claims.catalogue import chosen, default_setting
from reslab.claims.claim import Claim
from reslab.claims.evidence import Beginning, Net, Setting
from reslab.claims.judging import Judgement, judge
from reslab.engines.host import check_processes
from reslab.errors import UserError
from reslab.notebook import table
from reslab.options.pages import ReproduceOptions
from reslab.runs.naming import command_of, recipe_words, resolve_recipe, run_name, seed_words
from reslab.runs.runlog import RUN, Tell, steady
from reslab.version import source_commit

MOST_SEEDS = 1_000  # runs of each net; all are planned before the first starts


@dataclass(frozen=True)
class Study:
    """The outcome of `reproduce`.

    folder       the study's runs and records
    page         the HTML report
    judgements   of the claims that were run
    left_out     ids of the claims that did not fit into the budget
    """

    folder: Path
    page: Path
    judgements: tuple[Judgement, ...]
    left_out: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        rows = [(judgement.claim.id, judgement.verdict, judgement.sentence("en")) for judgement in self.judgements]
        return table(f"Study in {self.folder}; its page: {self.page}", ("claim", "verdict", "why"), rows)


@takes(ReproduceOptions, "data")
def reproduce(
    what: str | Sequence[str], *, options: ReproduceOptions, tell: Tell | None = None, command: str | None = None
) -> Study:
    """Train the nets that some claims need, measure, judge, and write one HTML report.

    what       experiments ("degradation", "shortcuts" …), claims ("C3"), or "all"
    {options}
    command    recorded as the command that started the study
    `scale`, `recipe` and `set` change the study's recipe: digits-study on digits, else paper-cifar, probed every 1,000
    iterations. A folder holds runs of one recipe. `budget` is in seconds. Finished runs are not trained again,
    unfinished ones resume.

    Raises UserError for bad options or a folder of another study, RunError if a run fails, and Interrupted if a signal
    stopped the study: everything is saved, and the same call resumes.
    """
    from reslab.campaign.runs import run_all
    from reslab.engines.machine import ComputeOptions
    from reslab.models.inputs import fit, load_data
    from reslab.show.pages.page import publish
    from reslab.show.pages.report import study_page
    from reslab.show.terminal.messages import in_language, judged
    from reslab.show.terminal.notebook import default_teller
    from reslab.store.files import writable_folder
    from reslab.training.checks import check_batch_norm
    from reslab.training.job import Job, Reading
    from reslab.training.room import check_run

    tell = in_language(options.lang, steady(tell or default_teller()))
    data, processes, device, download = options.data, options.processes, options.device, options.download
    where = Where(options.on or LOCAL, processes, options.cores_per_run, options.gpus_per_run, options.lease)
    if options.budget is not None and where.is_leased:
        raise UserError(f"--budget: with --on {where.on}; the time there is not known, so leave it out")
    if where.is_leased:
        check_readable(data, where.on)
    setting = _setting(options)
    names = [what] if isinstance(what, str) else list(what)
    claims = chosen(setting, names)
    if len(setting.depths) < 2 and "all" not in names and any(not c.statements for c in claims):
        ids = ", ".join(c.id for c in claims if not c.statements)
        raise UserError(f"--depths: {setting.shallow}: {ids} compares depths; give at least two")
    device = where.device(device)
    if where.is_here:
        check_machine(device)
    check_processes("--processes", processes or 1)
    nets = list(dict.fromkeys(n for claim in claims for n in claim.nets))
    first = nets[0].spec() if nets else Net(f"cifar_resnet{setting.shallow}").spec()
    load = partial(load_data, data, first, setting.recipe.holdout, download=download, resize=setting.recipe.resize)
    loaded = load(splits=("test",))
    folder = options.out or RUNS / f"study-{loaded.name}"
    begun = (begun_with(path.parent) for path in sorted(folder.glob(f"*/{RUN}")))
    levels = next((one for one in begun if one), loaded.levels)  # all runs of a study read the same images
    range_words = "auto"
    if levels != loaded.levels:
        loaded, range_words = load(splits=("test",), levels=levels), levels.text
    load_all = cache(partial(load, levels=levels))  # every split, once

    def job_of(net: Net, seed: int) -> Job:
        spec, recipe = fit(net.spec(), loaded, {}), setting.recipe
        out = folder / run_name(spec, loaded.name, recipe, seed)
        line = command_of(spec, data, recipe, seed, range=range_words)
        return Job(spec, data, recipe, seed, out, ComputeOptions(device), command=line,
                   reading=Reading(download, levels=levels), fingerprint=loaded.fingerprint)  # fmt: skip

    jobs = {(n, seed): job_of(n, seed) for seed in setting.seeds for n in nets}  # all nets of a seed, then the next
    last_jobs = {job.spec: job for job in jobs.values()}  # each net's last seed, which is the least advanced
    for job in last_jobs.values():
        check_batch_norm(job.spec, job.recipe, job.recipe.batch)
        if where.is_here:
            check_run(job.out, job.spec, job.recipe, ComputeOptions(device))
    _prepare(writable_folder(folder), replace(setting, data=loaded.name))
    left_out: tuple[str, ...] = ()
    if options.budget is not None:
        claims, left_out = _within_budget(options, claims, jobs, folder, setting, load_all, tell)
        used_nets = {n for claim in claims for n in claim.nets}
        jobs = {key: job for key, job in jobs.items() if key[0] in used_nets}
    if jobs:
        run_all(list(jobs.values()), tell, where)
    bench = benches.StudyBench(data, {key: job.out for key, job in jobs.items()}, load_all)
    benches.measure(folder, claims, setting, bench, options.lang, tell)
    evidence = evidences.read(folder)
    for problem in evidence.problems:
        tell({"kind": "warning", "text": problem})
    every = [judge(claim, evidence) for claim in chosen(setting, ["all"])]
    judgements = tuple(judgement for judgement in every if judgement.claim.id in {claim.id for claim in claims})
    for judgement in judgements:
        tell(judged(options.lang, judgement))
    page = folder / ("report.html" if options.lang == "en" else f"report.{options.lang}.html")
    shown_command = command or reproduce_command(names, data, setting)
    write_networks(folder, bench.folders, options.lang, tell)
    link = link_to_networks(folder, page)
    publish(study_page(every, options.lang, shown_command, loaded.notes, networks=link), page)
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
        Net(f"cifar_resnet{depth}").spec()  # raises UserError for a depth that does not exist
    is_scaled = recipe is None  # `default_setting` has scaled its own recipe
    base = resolve_recipe(options.data, recipe or setting.recipe, scale=None if is_scaled else scale, set=options.set)
    return replace(setting, recipe=base)


def _prepare(folder: Path, setting: Setting) -> None:
    """Write the study's setting into `folder`, or add seeds to it. Raises UserError if it holds another study."""
    from reslab.claims import ledger

    seeds = setting.seeds
    if evidences.is_study(folder):
        existing = evidences.read_setting(folder)
        for key, new, old in (
            ("data", setting.data, existing.data), ("depths", setting.depths, existing.depths),
            *((k, v, existing.recipe.to_dict()[k]) for k, v in setting.recipe.to_dict().items()),
        ):  # fmt: skip
            if new != old:
                raise UserError(f"{folder}: holds a study with {key} = {old}, not {new}; give another --out")
        seeds = tuple(sorted({*seeds, *existing.seeds}))
        if seeds == existing.seeds:
            return
        beginning = evidences.read_beginning(folder)
    else:
        beginning = Beginning(f"{datetime.now(UTC):%Y-%m-%d}", source_commit(), ledger.hashes())
    evidences.write_study(folder, replace(setting, seeds=seeds), beginning)


def _within_budget(
    options: ReproduceOptions, claims: Sequence[Claim], jobs: Mapping[tuple[Net, int], Any], folder: Path,
    setting: Setting, load_all: Callable[[], Any], tell: Tell,
) -> tuple[tuple[Claim, ...], tuple[str, ...]]:  # fmt: skip
    """Return the claims whose runs and measurements fit into the budget, and the ids of the other claims."""
    from reslab.campaign.budget import fitting, seconds_each
    from reslab.campaign.plan import is_done, parallelism
    from reslab.show.terminal.messages import note

    language, budget = options.lang, options.budget or 0.0
    parallel_runs, threads = parallelism(list(jobs.values()), options.processes, options.cores_per_run)
    missing = [p for p in jobs.values() if not is_done(p)]
    seconds = {p.out: 0.0 for p in jobs.values()}
    if missing:
        tell(note(language, "timing"))
        seconds |= seconds_each(missing, load_all(), threads)
    folders = {key: job.out for key, job in jobs.items()}
    pending = {c.id: benches.pending_of(folder, [c], setting, folders) for c in claims}
    # measurements run one after another, so each takes the time of `parallel_runs` runs
    seconds |= {p.path: parallel_runs * p.measurement.seconds for items in pending.values() for p in items}
    needs = {
        c.id: [*(p.out for (n, _), p in jobs.items() if n in c.nets), *(p.path for p in pending[c.id])] for c in claims
    }
    fit = fitting(needs, seconds, budget, parallel_runs)
    left_out = tuple(c.id for c in claims if c.id not in fit)
    used = sum(seconds[p] for p in {p for name in fit for p in needs[name]}) / parallel_runs
    event = note(language, "fit", fit=len(fit), n=len(claims), minutes=f"{used / 60:.0f}")
    if left_out:
        event["text"] += note(language, "left_out", ids=", ".join(left_out))["text"]
    tell(event)
    return tuple(c for c in claims if c.id in fit), left_out


def reproduce_command(names: Sequence[str], data: str, setting: Setting) -> str:
    """Return the command line that repeats the study, with every choice given."""
    words = ["reslab", "reproduce", *names, "--data", data, "--depths", ",".join(map(str, setting.depths))]
    return shlex.join([*words, *seed_words(setting.seeds), *recipe_words(setting.recipe, data)])
