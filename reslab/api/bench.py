"""What a measurement is given: the data and the trained nets of a study's folder; and its figures, kept as a file."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.scored import check_fits
from reslab.claims.claim import Measurement
from reslab.claims.evidence import MEASURED, Net
from reslab.data.source import source_of
from reslab.errors import UserError
from reslab.options.scoring import EvaluateOptions
from reslab.store.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from reslab.data.batches.loader import Batch, Statistics
    from reslab.data.splits import Data
    from reslab.models.trained import TrainedModel
    from reslab.nets.model import Network
    from reslab.runs.recipe import Recipe


@dataclass
class StudyBench:
    """`folders` maps (net, seed) to the folder of its finished run; nets are read from their newest checkpoint.

    whole  gives the data with all their splits; asked once a figure needs images
    """

    data: str
    folders: Mapping[tuple[Net, int], Path]
    whole: Callable[[], Data]
    _found: dict[tuple[Net, int], TrainedModel] = field(default_factory=dict)

    def _model(self, of: Net, seed: int) -> TrainedModel:
        from reslab.models.trained import load

        key = (of, seed)
        if key not in self._found:
            if key not in self.folders:
                raise UserError(f"{of}, seed {seed}: not trained in this study; run `reslab reproduce` for it")
            self._found[key] = load(self.folders[key])
        return self._found[key]

    def network(self, of: Net, seed: int) -> Network:
        """The trained network, in evaluation mode."""
        return deepcopy(self._model(of, seed).network)  # a measurement may change it

    def batch(self, of: Net, seed: int, count: int, split: str = "train") -> tuple[Tensor, Tensor]:
        """The first `count` samples of a split, not augmented, with the run's own mean and scale."""
        one = self._first(split, count, self._model(of, seed).transform.statistics)
        return one.images, one.labels

    def first_images(self, recipe: Recipe, count: int) -> tuple[Data, Batch]:
        """The data, and a batch of its first `count` training images as a run of `recipe` sees them, not augmented."""
        from reslab.data.batches.loader import statistics

        stats = statistics(self.whole().split("train"), recipe.centre, recipe.scale)
        return self.whole(), self._first("train", count, stats)

    def _first(self, split: str, count: int, stats: Statistics) -> Batch:
        import numpy as np

        from reslab.data.batches.loader import evaluation_batches

        part = self.whole().split(split)
        count = min(count, len(part))
        return next(iter(evaluation_batches(part.subset(np.arange(count)), stats, count)))

    def logits(self, members: list[tuple[Net, int]]) -> tuple[list[Tensor], Tensor]:
        """Of each run the logits of the whole test split, [N,classes] in float64; and the labels [N]."""
        from reslab.data.batches.loader import evaluation_batches
        from reslab.engines.machine import prepare, scoring
        from reslab.measure.ensemble import all_logits
        from reslab.models.inputs import workers_for

        settings = scoring("auto", 0)
        prepare(settings)
        data = self.whole()
        part, workers = data.split("test"), workers_for(data, None)
        found = []
        for key in members:
            model = self._model(*key)
            check_fits(model, data)
            batches = evaluation_batches(part, model.transform.statistics, EvaluateOptions().batch, workers)
            found.append(all_logits(model.logits(settings), batches, len(part)))
        return [logits for logits, _ in found], found[0][1]


def path_of(folder: Path, measurement: Measurement, seed: int | None) -> Path:
    """Where a measurement's figures stand in a study's folder."""
    return folder / MEASURED / f"{measurement.name}{'' if seed is None else f'-s{seed}'}.json"


def is_made(path: Path, measurement: Measurement, runs: list[str]) -> bool:
    """Whether the file holds this measurement, as it is made today, of these runs. A damaged file does not."""
    if not path.is_file():
        return False
    try:
        told = read_sealed(path)
        return bool(
            told["version"] == measurement.version and told["runs"] == runs and isinstance(told["figures"], dict)
        )
    except (UserError, KeyError, TypeError):
        return False


def make(path: Path, measurement: Measurement, seed: int | None, bench: StudyBench, runs: list[str]) -> None:
    """Measure, and publish the figures in one step."""
    from reslab.engines.machine import environment

    begin = time.perf_counter()
    figures: dict[str, Any] = measurement.make(bench, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"name": measurement.name, "version": measurement.version, "seed": seed, "runs": runs}
    about = {
        "data": source_of(bench.data).name,
        "environment": environment(),
        "seconds": round(time.perf_counter() - begin, 2),
    }
    write_sealed(path, {**told, **about, "figures": figures})
