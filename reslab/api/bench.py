"""Measurements of a study: the data and trained nets that they use, and the files that keep their figures."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.scored import check_fits
from reslab.claims.claim import Claim, Measurement
from reslab.claims.evidence import MEASURED, Net, Setting
from reslab.data.source import source_of
from reslab.errors import Interrupted, UserError
from reslab.options.scoring import EvaluateOptions
from reslab.runs.runlog import Tell
from reslab.store.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from reslab.data.batches.loader import Batch, Statistics
    from reslab.data.splits import Data
    from reslab.models.trained import TrainedModel
    from reslab.nets.model import Network
    from reslab.runs.recipe import Recipe


@dataclass
class StudyBench:
    """The `Bench` of a study's folder.

    folders    (net, seed) to the folder of its finished run; nets are read from their newest checkpoint
    load_all   returns the data with all splits; called when a figure needs images
    """

    data: str
    folders: Mapping[tuple[Net, int], Path]
    load_all: Callable[[], Data]
    _models: dict[tuple[Net, int], TrainedModel] = field(default_factory=dict)

    def _model(self, of: Net, seed: int) -> TrainedModel:
        from reslab.models.trained import load

        key = (of, seed)
        if key not in self._models:
            if key not in self.folders:
                raise UserError(f"{of}, seed {seed}: not trained in this study; run `reslab reproduce` for it")
            self._models[key] = load(self.folders[key])
        return self._models[key]

    def network(self, of: Net, seed: int) -> Network:
        """Return the trained network, in evaluation mode."""
        return deepcopy(self._model(of, seed).network)  # a measurement may change it

    def batch(self, of: Net, seed: int, count: int, split: str = "train") -> tuple[Tensor, Tensor]:
        """Return the first `count` samples of a split, not augmented, normalised with the run's mean and scale.

        Images [N,C,S,S] in float32, labels [N].
        """
        batch = self._first(split, count, self._model(of, seed).transform.statistics)
        return batch.images, batch.labels

    def first_images(self, recipe: Recipe, count: int) -> tuple[Data, Batch]:
        """Return the data and a batch of the first `count` training images, normalised by `recipe`, not augmented."""
        from reslab.data.batches.loader import statistics

        stats = statistics(self.load_all().split("train"), recipe.centre, recipe.scale)
        return self.load_all(), self._first("train", count, stats)

    def _first(self, split: str, count: int, stats: Statistics) -> Batch:
        import numpy as np

        from reslab.data.batches.loader import evaluation_batches

        part = self.load_all().split(split)
        count = min(count, len(part))
        return next(iter(evaluation_batches(part.subset(np.arange(count)), stats, count)))

    def logits(self, members: list[tuple[Net, int]]) -> tuple[list[Tensor], Tensor]:
        """Return each run's logits of the test split, [N,classes] in float64, and the labels [N]."""
        from reslab.data.batches.loader import evaluation_batches
        from reslab.engines.machine import prepare, scoring
        from reslab.measure.ensemble import all_logits
        from reslab.models.inputs import workers_for

        settings = scoring("auto", 0)
        prepare(settings)
        data = self.load_all()
        part, workers = data.split("test"), workers_for(data, None)
        results = []
        for key in members:
            model = self._model(*key)
            check_fits(model, data)
            batches = evaluation_batches(part, model.transform.statistics, EvaluateOptions().batch, workers)
            results.append(all_logits(model.logits(settings), batches, len(part)))
        return [logits for logits, _ in results], results[0][1]


def path_of(folder: Path, measurement: Measurement, seed: int | None) -> Path:
    """Return the file of a measurement's figures in a study's folder."""
    return folder / MEASURED / f"{measurement.name}{'' if seed is None else f'-s{seed}'}.json"


def is_made(path: Path, measurement: Measurement, runs: list[str]) -> bool:
    """Return whether the file holds this version of the measurement for these runs; False if it is damaged."""
    if not path.is_file():
        return False
    try:
        record = read_sealed(path)
        is_current = record["version"] == measurement.version and record["runs"] == runs
        return bool(is_current and isinstance(record["figures"], dict))
    except (UserError, KeyError, TypeError):
        return False


def make(path: Path, measurement: Measurement, seed: int | None, bench: StudyBench, runs: list[str]) -> None:
    """Make a measurement and write its figures to `path`; an interrupted write leaves no file."""
    from reslab.engines.machine import environment

    begin = time.perf_counter()
    figures: dict[str, Any] = measurement.make(bench, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = {"name": measurement.name, "version": measurement.version, "seed": seed, "runs": runs}
    circumstances = {
        "data": source_of(bench.data).name,
        "environment": environment(),
        "seconds": round(time.perf_counter() - begin, 2),
    }
    write_sealed(path, {**identity, **circumstances, "figures": figures})


@dataclass(frozen=True)
class PendingMeasurement:
    """A measurement that has no file yet.

    seed   of the runs that are measured; None: the measurement covers all seeds
    path   the file to write
    runs   names of the runs it reads
    """

    measurement: Measurement
    seed: int | None
    path: Path
    runs: list[str]


def measure(
    folder: Path, claims: Sequence[Claim], setting: Setting, bench: StudyBench, language: str, tell: Tell
) -> None:
    """Make every measurement of `claims` that has no file yet, one file each."""
    from reslab.show.terminal.messages import note
    from reslab.training.stop import Stop

    pending = pending_of(folder, claims, setting, bench.folders)
    with Stop() as stop:
        for number, item in enumerate(pending, 1):
            tell(note(language, "measuring", name=item.path.stem, number=number, n=len(pending)))
            make(item.path, item.measurement, item.seed, bench, item.runs)
            if stop():
                raise Interrupted("stopped; the measurements so far are kept, the same command resumes")


def pending_of(
    folder: Path, claims: Sequence[Claim], setting: Setting, folders: Mapping[tuple[Net, int], Path]
) -> list[PendingMeasurement]:
    """Return the measurements of `claims` that have no file yet."""
    pending = []
    for measurement in {m.name: m for claim in claims for m in claim.measurements}.values():  # claims may share some
        seeds: tuple[int | None, ...] = setting.seeds if measurement.each_seed else (None,)
        for seed in seeds:
            run_seeds = setting.seeds if seed is None else (seed,)
            runs = sorted(folders[n, s].name for n in measurement.nets for s in run_seeds)
            path = path_of(folder, measurement, seed)
            if not is_made(path, measurement, runs):
                pending.append(PendingMeasurement(measurement, seed, path, runs))
    return pending
