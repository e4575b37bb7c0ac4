"""Does pretraining help? `python -m benchmarks.transfer`: five classes of CIFAR-10, then few images of the others.

For each seed a ResNet-20 learns the first five classes (25,000 images, the paper's recipe shortened). Then 20 images of
each of the other five classes are learned twice, by the same recipe, images and order: from that net (`init_from`) and
from random weights. Scored on all 5,000 test images of these classes, at the end of training.

The rule, committed before the runs: transfer shows if the 95 % interval of the mean difference of test errors (with
minus without) over five seeds is below 0. Each arm has its own learning rate, the one with the lower mean error over
TUNING seeds, which are not among the judged ones.

Runs are resumed and finished ones kept, in runs/transfer; results/transfer.json has the figures.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence import find_cifar10
from reslab.claims.rules import figure
from reslab.engines.host import cores
from reslab.engines.machine import environment
from reslab.store.sealed import write_sealed

ROOT = Path(__file__).resolve().parent.parent
RUNS, RESULT = ROOT / "runs" / "transfer", ROOT / "results" / "transfer.json"
SEEDS, TUNING = range(5), range(1_000, 1_003)
RATES = (0.1, 0.03, 0.01)
PER_CLASS = 20
PRETRAINING = {"iterations": 2_000, "drops": (1_000, 1_500), "eval_every": 2_000, "clean_every": 2_000}
FINE_TUNING = {"iterations": 400, "drops": (200, 300), "batch": 100, "eval_every": 400, "clean_every": 400}
ARMS = ("pretrained", "random")


def parts(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the data of the pretraining, and those of the fine-tuning with this seed's 20 images of each class."""
    from reslab.data.sources import load

    data = load(find_cifar10() or "cifar10")
    found = []
    for first in (0, 5):
        classes = {"classes": list(data.classes[first : first + 5])}
        for name in ("train", "test"):
            split = data.split(name)
            labels = np.asarray(split.labels)
            rows = np.flatnonzero((labels >= first) & (labels < first + 5))
            if first and name == "train":
                order = np.random.default_rng(seed).permutation(rows)
                rows = np.concatenate([order[labels[order] == k][:PER_CLASS] for k in range(first, first + 5)])
            classes[name] = (split.images[rows], labels[rows] - first)
        found.append(classes)
    return found[0], found[1]


def trained(seed: int, rates: dict[str, Iterable[float]]) -> list[tuple[str, float, int, float]]:
    """Return (arm, rate, seed, test error in percent) of one seed's runs, training what is missing."""
    import reslab

    common: dict[str, Any] = {"seed": seed, "threads": 1, "device": "cpu", "recipe": "paper-cifar", "tell": _silent}
    first, second = parts(seed)
    pretraining = reslab.train("cifar_resnet20", first, set=PRETRAINING, out=RUNS / f"pretraining-s{seed}", **common)
    results = []
    for arm, tried in rates.items():
        for rate in tried:
            more = {"init_from": reslab.load(pretraining.folder)} if arm == "pretrained" else {}
            folder = RUNS / f"{arm}-lr{rate:g}-s{seed}"
            record = reslab.train(
                "cifar_resnet20", second, set={**FINE_TUNING, "lr": rate}, out=folder, **more, **common
            )
            end = record.final("test")
            assert end is not None
            assert end["n"] == 5_000
            results.append((arm, rate, seed, float(end["top1_error"])))
            print(f"seed {seed}, {arm}, lr {rate:g}: test error {end['top1_error']:.2f} %", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=cores())
    processes = parser.parse_args().processes
    with get_context("spawn").Pool(processes) as pool:
        tuning = pool.starmap(trained, [(seed, dict.fromkeys(ARMS, RATES)) for seed in TUNING], chunksize=1)
        rates = {arm: _best(arm, [run for runs in tuning for run in runs]) for arm in ARMS}
        judged = pool.starmap(trained, [(seed, {arm: [rates[arm]] for arm in ARMS}) for seed in SEEDS], chunksize=1)
    errors = {arm: {seed: error for runs in judged for a, _, seed, error in runs if a == arm} for arm in ARMS}
    differences = [errors["pretrained"][seed] - errors["random"][seed] for seed in SEEDS]
    mean = figure(differences)
    assert mean is not None
    write_sealed(
        RESULT,
        {
            "command": "python -m benchmarks.transfer", "rule": "shows if the 95 % interval is below 0",
            "seeds": list(SEEDS), "tuning_seeds": list(TUNING), "rates_tried": list(RATES), "rates": rates,
            "errors": {arm: [errors[arm][seed] for seed in SEEDS] for arm in ARMS},
            "differences": differences, "mean": mean.mean, "interval": [mean.low, mean.high],
            "shows": mean.high < 0, "machine": {**environment(), "threads": 1},
        },
    )  # fmt: skip
    print(f"{mean.mean:.2f} points [{mean.low:.2f}, {mean.high:.2f}], n = {len(differences)}: {RESULT}")


def _silent(event: dict[str, Any]) -> None:
    """Print nothing of a run."""


def _best(arm: str, runs: list[tuple[str, float, int, float]]) -> float:
    """Return the rate with the lowest mean error."""
    return min(RATES, key=lambda rate: statistics.mean(e for a, r, _, e in runs if (a, r) == (arm, rate)))


if __name__ == "__main__":
    main()
