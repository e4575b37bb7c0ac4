"""The studies behind every published number: trains what is missing (resuming), then keeps the small part in results/.

`python -m benchmarks.evidence [--data cifar10:PATH] [PART …]`. A part is a study: results/PART holds study.json, for
each run run.json (recipe, settings, environment, command) and metrics.jsonl, and measured/. CIFAR-10 runs also have
summary.json (exact scores of the final weights, fp32, by `reslab evaluate`) and, for the nets named in `weights`, the
final weights, which `reslab evaluate results/PART/RUN --data cifar10:PATH` scores again, and, where the net was not
probed on the way, probe.json (`reslab probe` of them). Paths of the machine that ran them do not travel.
`--set-aside` copies the runs of a part that is not finished, with their newest checkpoints, to results/unfinished/,
from where the same command elsewhere goes on. `--extend` counts the runs of results/PART as done, and trains only what
the part has gained since.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from itertools import product
from pathlib import Path

import torch

import reslab
from benchmarks.parts import PARTS, Part
from reslab.campaign.executor import Where
from reslab.campaign.runs import run_all
from reslab.claims import evidence as evidences
from reslab.data.splits import Data
from reslab.engines.machine import ComputeOptions
from reslab.errors import ReslabError
from reslab.models.inputs import fit, load_data
from reslab.nets.names import spec_of
from reslab.runs import runlog
from reslab.runs.naming import command_of, resolve_recipe
from reslab.runs.recipe import Recipe
from reslab.show.terminal.plain import PlainTeller
from reslab.store import jsonl
from reslab.store.checksums import write_checksums
from reslab.store.files import write_json
from reslab.store.sealed import write_sealed
from reslab.training.job import Job
from reslab.training.saving import copied

ROOT = Path(__file__).resolve().parent.parent
RUNS, RESULTS = ROOT / "runs", ROOT / "results"
UNFINISHED = RESULTS / "unfinished"
PROBE = "probe.json"
PUBLIC = "cifar10:PATH"  # what stands in a committed record in place of a path


def find_cifar10() -> str | None:
    """`cifar10:PATH` from RESLAB_CIFAR10, or from the data folder beside the checkout."""
    beside = ROOT.parent / "shared" / "data" / "cifar10"
    path = os.environ.get("RESLAB_CIFAR10") or (str(beside) if beside.is_dir() else None)
    return f"cifar10:{path}" if path else None


def trained(part: Part, data: str, folder: Path, processes: int | None = None) -> None:
    """What is missing of a part's runs, in `folder`."""
    tell = PlainTeller(every=60)
    if part.what:
        reslab.reproduce(
            part.what,
            data,
            scale=part.scale,
            seeds=part.seeds,
            first_seed=part.first,
            depths=part.depths,
            set=part.set,
            out=folder,
            tell=tell,
        )
        return
    run_all(plans(part, data, folder), tell, Where(processes=processes))


def plans(part: Part, data: str, folder: Path) -> list[Job]:
    """The runs of a part without claims, whole seeds first."""
    found = []
    kept: dict[int, Data] = {}  # by what is held out, which decides the fingerprint
    seeds = range(part.first, part.first + part.seeds)
    for seed, net, precision, (variant, changes) in product(seeds, part.nets, part.precisions, part.variants.items()):
        recipe = resolve_recipe(data, part.recipe, scale=part.scale, set={**part.set, **changes})
        if recipe.holdout not in kept:
            kept[recipe.holdout] = load_data(data, spec_of(net), recipe.holdout, splits=("test",))
        loaded = kept[recipe.holdout]
        spec = fit(spec_of(net), loaded, {})
        shown = precision if len(part.precisions) > 1 else ""
        name = "-".join(word for word in (net, variant, shown, f"s{seed}") if word)
        command = command_of(spec, data, recipe, seed, precision=precision)
        options = ComputeOptions(precision=precision)
        found.append(
            Job(spec, data, recipe, seed, folder / name, options, command=command, fingerprint=loaded.fingerprint)
        )
    return found


def keep(study: Path, target: Path, data: str, part: Part) -> None:
    """Copy a study's records; its unfinished runs stay behind."""
    if part.what:
        evidences.write_study(target, evidences.read_setting(study), evidences.read_beginning(study))
    if (study / evidences.MEASURED).is_dir():
        shutil.copytree(study / evidences.MEASURED, target / evidences.MEASURED, dirs_exist_ok=True)
    for path in sorted(study.glob(f"*/{runlog.RUN}")):
        if runlog.read(path.parent).finished:
            keep_run(path.parent, target / path.parent.name, data, part)


def keep_run(run: Path, target: Path, data: str, part: Part) -> None:
    """A run's record with the data's path left out; of CIFAR-10 runs the exact scores, and the weights where asked.

    Exact scores are of the test split, or of the held-out images alone where there are any: such runs are for choosing.
    """
    record = runlog.read(run)
    shown = "digits" if data == "digits" else PUBLIC
    command = write_record(run, target, shown)
    if data == "digits" or (target / runlog.EXACT).is_file():
        return
    of = ("val" if record.run["recipe"]["holdout"] else "test", "train")
    found = {s: reslab.evaluate(run, data, split=s)[0].to_dict() for s in of}
    for scores in found.values():
        scores.pop("checkpoint")
    write_sealed(target / runlog.EXACT, {"command": command, **found})
    if any(f"-{word}" in f"{run.name}-" for word in part.weights):
        copied(run, target, shown, to_resume=False)
        if not record.run["recipe"]["probe_every"]:
            seen = reslab.probe(target, data, only=("responses", "gradients", "residuals")).to_dict()
            seen.pop("checkpoint")
            write_json(target / PROBE, seen)


def write_record(run: Path, target: Path, source: str) -> str:
    """`run.json` and `metrics.jsonl` of a run, `source` in place of its data's path; returns its command."""
    record = runlog.read(run)
    spec = reslab.spec(record.model, **record.run["switches"])
    cut = {k: record.run["data"][k] for k in ("val_share", "bad_images", "group") if k in record.run["data"]}
    asked = record.run["settings"]["precision"] if "--precision" in str(record.run.get("command")) else "auto"
    command = command_of(spec, source, Recipe.from_dict(record.run["recipe"]), record.seed, precision=asked, **cut)
    told = {**record.run, "command": command, "data": {**record.run["data"], "source": source}}
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / runlog.METRICS, target / runlog.METRICS)
    jsonl.keep(target / runlog.METRICS, lambda line: True, checked=record.sealed)  # the first format had no checks
    write_sealed(target / runlog.RUN, told)
    return command


def set_aside(name: str) -> None:
    """Copy what a part needs to go on elsewhere: the records and the newest checkpoint of each of its runs."""
    for path in sorted((RUNS / name).glob(f"*/{runlog.RUN}")):
        run, target = path.parent, UNFINISHED / name / path.parent.name
        shutil.rmtree(target, ignore_errors=True)
        if not any((run / runlog.CHECKPOINTS).glob("step-*")):
            continue
        kept = copied(run, target, PUBLIC, to_resume=not runlog.read(run).finished)
        write_record(run, target, PUBLIC)
        print(f"{target}: {kept.name}")
    study = RUNS / name / evidences.STUDY
    if study.is_file():  # it records the rules under which the runs began
        shutil.copyfile(study, UNFINISHED / name / evidences.STUDY)


def take_up(name: str, extend: bool = False) -> None:
    """Bring back the runs of results/unfinished, and to `extend` a part those of results/, unless runs/ has them."""
    for kept in (UNFINISHED / name, *([RESULTS / name] if extend else [])):
        folders = [path.parent for path in sorted(kept.glob(f"*/{runlog.RUN}"))]
        for source in (*folders, kept / evidences.MEASURED, kept / evidences.STUDY):
            target = RUNS / name / source.name
            if target.exists() or not source.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default=find_cifar10(), help="cifar10:PATH")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--checksums", action="store_true", help="train nothing; renew the list of checksums")
    parser.add_argument("--set-aside", action="store_true", help="train nothing; keep what unfinished parts have")
    parser.add_argument("--extend", action="store_true", help="train only what results/ does not have of a part")
    parser.add_argument("--processes", type=int, help="runs side by side (of parts without claims)")
    asked = parser.parse_args()
    if asked.checksums:
        print(write_checksums(RESULTS))
        return
    for name in asked.parts or PARTS:
        if name not in PARTS:
            sys.exit(f"{name}: no such part; there are {', '.join(PARTS)}")
        if asked.set_aside:
            set_aside(name)
            continue
        take_up(name, asked.extend)
        part = PARTS[name]
        if part.gpu and not torch.cuda.is_available():
            print(f"{name}: skipped, no GPU")
            continue
        data = "digits" if part.data == "digits" else asked.data
        if data is None:
            print(f"{name}: skipped, no CIFAR-10: give --data cifar10:PATH or set RESLAB_CIFAR10")
            continue
        trained(part, data, RUNS / name, asked.processes)
        keep(RUNS / name, RESULTS / name, data, part)
        shutil.rmtree(UNFINISHED / name, ignore_errors=True)
        write_checksums(RESULTS)
        print(f"{name}: kept in {RESULTS / name}")


if __name__ == "__main__":
    try:
        main()
    except ReslabError as error:  # stopped, or refused: one line, as the command line tells it
        print(f"evidence: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
