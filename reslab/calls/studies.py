"""`reproduce`: an experiment's runs trained, judged and shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.calls.runs import RUNS, check_machine
from reslab.errors import UserError, suggest
from reslab.nets.names import spec_of
from reslab.training.naming import command_of, recipe_words, resolve_recipe, run_name
from reslab.training.recipe import Recipe
from reslab.training.runlog import Tell

if TYPE_CHECKING:
    pass


def reproduce(
    what: str = "degradation",
    data: str = "digits",
    *,
    depths: Sequence[int] | None = None,
    seeds: int | None = None,
    scale: float | None = None,
    recipe: str | None = None,
    set: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    processes: int | None = None,
    device: str = "auto",
    download: bool = False,
    tell: Tell | None = None,
    command: str | None = None,
) -> Path:
    """Train plain and residual twins at several depths and seeds, judge them, and write one HTML report; its path.

    depths     of the CIFAR nets (default: 8, 20, 56 on digits; 20, 32, 44, 56 elsewhere)
    seeds      how many: 0, 1, 2 … (default: 3 on digits, 1 elsewhere)
    processes  runs side by side (default: as many as cores where nets are small, else 1)
    Finished runs are not trained again, unfinished ones resume. Raises UserError, RunError, Interrupted.
    """
    from reslab.claims import degradation
    from reslab.show.plain import PlainTeller
    from reslab.show.report import degradation_page, publish
    from reslab.store.files import writable_folder
    from reslab.training.campaign import Plan, run_all
    from reslab.training.inputs import fit, load_data

    if what != "degradation":
        raise UserError(f"reproduce: {what!r} is not known{suggest(what, ['degradation'])}; there is: degradation")
    tell = tell or PlainTeller()
    default_depths, default_seeds, default_recipe = degradation.defaults(data)
    depths = tuple(sorted(frozenset(depths))) if depths else default_depths
    count = default_seeds if seeds is None else seeds
    if count < 1:
        raise UserError(f"--seeds: {count} must be at least 1")
    if len(depths) < 2:
        raise UserError(f"--depths: {', '.join(map(str, depths))}: at least two different depths are compared")
    base = resolve_recipe(data, recipe or default_recipe, scale=scale, set=set)
    specs = {d: [spec_of(f"cifar_{kind}{d}") for kind in ("plain", "resnet")] for d in depths}
    check_machine(device)
    loaded = load_data(data, specs[depths[0]][0], base, download=download, splits=("test",))
    folder = Path(out) if out is not None else RUNS / f"degradation-{loaded.name}"
    writable_folder(folder)
    plans = [
        Plan(fitted, data, run.recipe, run.seed, folder / run_name(fitted, loaded.name, run.recipe, run.seed),
             command_of(fitted, data, run.recipe, run.seed), device, download)
        for run in degradation.runs(depths, range(count), base)
        for fitted in [fit(spec_of(run.model), loaded, {})]
    ]  # fmt: skip
    records = run_all(plans, tell, processes)
    told = command or _reproduce_command(what, data, depths, count, base)
    judgement = degradation.judge(records)
    tell({"kind": "note", "text": judgement.sentence})
    path = folder / "report.html"
    publish(degradation_page(judgement, records, told, records[0].run["data"]["notes"]), path)
    return path


def _reproduce_command(what: str, data: str, depths: Sequence[int], seeds: int, recipe: Recipe) -> str:
    """The command line that does the same, every choice said."""
    words = ["reslab", "reproduce", what, "--data", data, "--depths", ",".join(map(str, depths))]
    return shlex.join([*words, "--seeds", str(seeds), *recipe_words(recipe, data)])
