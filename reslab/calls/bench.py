"""What a measurement is given: the data and the trained nets of a study's folder; and its figures, kept as a file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.claims.claim import Measurement
from reslab.claims.evidence import FORMAT, MEASURED, Net
from reslab.errors import UserError
from reslab.store.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from reslab.data.splits import Data
    from reslab.nets.model import Network
    from reslab.training.checkpoint import Checkpoint


@dataclass
class StudyBench:
    """`folders` maps (net, seed) to the folder of its finished run; nets are read from their newest checkpoint.

    whole  gives the data with all their splits; asked once a figure needs images
    """

    data: str
    seeds: tuple[int, ...]
    folders: Mapping[tuple[Net, int], Path]
    whole: Callable[[], Data]
    _found: dict[tuple[Net, int], Checkpoint] = field(default_factory=dict)

    def _checkpoint(self, of: Net, seed: int) -> Checkpoint:
        from reslab.training import checkpoint as checkpoints

        key = (of, seed)
        if key not in self._found:
            if key not in self.folders:
                raise UserError(f"{of}, seed {seed}: not trained in this study; run `reslab reproduce` for it")
            self._found[key] = checkpoints.find(self.folders[key])
        return self._found[key]

    def network(self, of: Net, seed: int) -> Network:
        """The trained network, in evaluation mode."""
        from reslab.training import checkpoint as checkpoints

        return checkpoints.network(self._checkpoint(of, seed)).eval()

    def batch(self, of: Net, seed: int, count: int, split: str = "train") -> tuple[Tensor, Tensor]:
        """The first `count` samples of a split, not augmented, with the run's own mean and scale."""
        import numpy as np

        from reslab.data.loader import Statistics, evaluation_batches

        state = self._checkpoint(of, seed).state
        stats = Statistics(state["mean"].numpy(), state["scale"].numpy())
        part = self.whole().split(split)
        count = min(count, len(part))
        one = next(iter(evaluation_batches(part.subset(np.arange(count)), stats, count, 0)))
        return one.images, one.labels

    def scores(self, members: list[tuple[Net, int]], how: str) -> tuple[list[float], float]:
        """Test error in percent of each run, and of all as one, `how` ("softmax" or "logits") being averaged."""
        from reslab.calls.scores import evaluate

        paths = [self.folders[key] for key in members]
        found = [e.scores.top1_error for e in evaluate(paths, self.data, split="test", ensemble=how)]
        return found[:-1], found[-1]


def path_of(folder: Path, measurement: Measurement, seed: int | None) -> Path:
    """Where a measurement's figures stand in a study's folder."""
    return folder / MEASURED / f"{measurement.name}{'' if seed is None else f'-s{seed}'}.json"


def is_made(path: Path, measurement: Measurement, runs: list[str]) -> bool:
    """Whether the file holds this measurement, as it is made today, of these runs. A damaged file does not."""
    if not path.is_file():
        return False
    try:
        told = read_json(path)
        return bool(
            told["format"] == FORMAT and told["version"] == measurement.version and told["runs"] == runs
            and isinstance(told["figures"], dict)
        )  # fmt: skip
    except (UserError, KeyError, TypeError):
        return False


def make(path: Path, measurement: Measurement, seed: int | None, bench: StudyBench, runs: list[str]) -> None:
    """Measure, and publish the figures in one step."""
    from reslab.training.machine import environment

    begin = time.perf_counter()
    figures: dict[str, Any] = measurement.make(bench, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"format": FORMAT, "name": measurement.name, "version": measurement.version, "seed": seed, "runs": runs}
    about = {
        "data": bench.data.partition(":")[0],
        "environment": environment(),
        "seconds": round(time.perf_counter() - begin, 2),
    }
    write_json(path, {**told, **about, "figures": figures})
