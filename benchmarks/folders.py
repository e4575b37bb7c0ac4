"""Are the recipes for own images any good? `python -m benchmarks.folders`: CIFAR-10 written as PNG, beside torchvision.

Few images of CIFAR-10 are written as PNG files, a folder a class, and a ResNet-20 learns them in three ways:
from random weights 50 images of each of ten classes, by `photos`, by `modern` and by the defaults of torchvision's
reference script (references/classification/train.py: rate 0.1 for batches of 32, divided by 10 every 30 of 90 epochs);
from a net that knows the other five classes (25,000 images, the paper's recipe shortened) 50 images of each of five
classes, by `finetune` and by the values of PyTorch's tutorial on transfer learning (rate 0.001 for batches of 4,
divided by 10 every 7 of 25 epochs, no weight decay).
All have the same images, crops and flips (`modern`: its own augmentation) and are scored once, at the end, on all test
images of their classes.

The rule, committed before the runs: a recipe of ours holds if the 95 % interval of the mean difference of test errors
(ours minus the peer's, five seeds, paired by seed) ends below 1 point, and is better if it ends below 0. A recipe that
does not hold is changed by runs with other seeds (from 1,000) and then judged again, both results being kept.

Runs are resumed and finished ones kept, in runs/folders; results/folders.json has the figures.
"""

from __future__ import annotations

import argparse
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import reslab
from benchmarks.evidence import find_cifar10
from reslab.claims.rules import figure
from reslab.data.sources import load
from reslab.engines.machine import environment
from reslab.store.sealed import write_sealed

ROOT = Path(__file__).resolve().parent.parent
RUNS, RESULT = ROOT / "runs" / "folders", ROOT / "results" / "folders.json"
SEEDS = range(5)
PER_CLASS = 50
PRETRAINING = {"iterations": 1_000, "drops": (500, 750), "eval_every": 1_000, "clean_every": 1_000}
PLAIN = {  # what both peers share
    "schedule": "steps", "drop_factor": 0.1, "momentum_form": "torch", "bn_statistics": "moving", "rise": 0,
}  # fmt: skip
PAIRS = {"photos": "reference", "modern": "reference", "finetune": "tutorial"}


def stepwise(images: int, batch: int, epochs: int, step: int) -> dict[str, Any]:
    """Return batch, length and drops of a recipe that is stated in epochs."""
    per_epoch = images / batch
    drops = tuple(round(per_epoch * e) for e in range(step, epochs, step))
    return {**PLAIN, "batch": batch, "iterations": round(per_epoch * epochs), "drops": drops}


def arms(images: int, pretrained: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the recipe and the changed values of each way of training on this many images."""
    if pretrained:
        tutorial = {**stepwise(images, 4, 25, 7), "lr": 0.001, "weight_decay": 0.0}
        return {"finetune": ("finetune", {}), "tutorial": ("finetune", tutorial)}
    reference = {**stepwise(images, 32, 90, 30), "lr": 0.1}
    return {"photos": ("photos", {}), "modern": ("modern", {}), "reference": ("photos", reference)}


def written(seed: int, first: int, last: int) -> Path:
    """Write this seed's training images and all test images of the classes `first` to `last` - 1; return the folder."""
    folder = RUNS / "images" / f"{first}-{last}-s{seed}"
    if (folder / "whole").exists():
        return folder / "set"
    data = load(find_cifar10() or "cifar10")
    for name in ("train", "test"):
        split = data.split(name)
        labels = np.asarray(split.labels)
        order = np.random.default_rng(seed).permutation(len(labels))
        for label in range(first, last):
            rows = order[labels[order] == label]
            place = folder / "set" / name / data.classes[label]
            place.mkdir(parents=True, exist_ok=True)
            for row in rows[:PER_CLASS] if name == "train" else rows:
                Image.fromarray(np.asarray(split.images[row])).save(place / f"{row:05d}.png")
    (folder / "whole").touch()
    return folder / "set"


def pretrained() -> Path:
    """Return the run that learned the first five classes."""
    data = load(find_cifar10() or "cifar10")
    splits = {}
    for name in ("train", "test"):
        split = data.split(name)
        rows = np.flatnonzero(np.asarray(split.labels) < 5)
        splits[name] = (split.images[rows], np.asarray(split.labels)[rows])
    return reslab.train(
        "cifar_resnet20", {"classes": list(data.classes[:5]), **splits}, recipe="paper-cifar", set=PRETRAINING,
        seed=0, threads=1, device="cpu", out=RUNS / "pretraining", tell=_silent,
    ).folder  # fmt: skip


def trained(seed: int) -> dict[str, float]:
    """Return the test error in percent of each way of training, training what is missing."""
    errors = {}
    for first, last, init in ((0, 10, False), (5, 10, True)):
        folder = written(seed, first, last)
        for arm, (recipe, values) in arms(PER_CLASS * (last - first), init).items():
            run = RUNS / f"{arm}-s{seed}"
            end = 10**6  # scored at the end only, which any recipe does
            record = reslab.train(
                "cifar_resnet20", str(folder), recipe=recipe, set={**values, "eval_every": end, "clean_every": end},
                seed=seed, threads=1, device="cpu", out=run, tell=_silent,
                **({"init_from": RUNS / "pretraining"} if init else {}),
            )  # fmt: skip
            score = record.final("test")
            assert score is not None
            assert score["n"] == 1_000 * (last - first)
            errors[arm] = float(score["top1_error"])
            print(f"seed {seed}, {arm}: test error {errors[arm]:.2f} %", flush=True)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1)
    processes = parser.parse_args().processes
    pretrained()
    with get_context("spawn").Pool(processes) as pool:
        runs = pool.map(trained, SEEDS, chunksize=1)
    rows = {}
    for ours, peer in PAIRS.items():
        mean = figure([run[ours] - run[peer] for run in runs])
        assert mean is not None
        verdict = "better" if mean.high < 0 else "holds" if mean.high < 1 else "does not hold"
        rows[ours] = {
            "peer": peer, "ours": [run[ours] for run in runs], "peers": [run[peer] for run in runs],
            "mean": mean.mean, "interval": [mean.low, mean.high], "verdict": verdict,
        }  # fmt: skip
        print(f"{ours} - {peer}: {mean.mean:+.2f} points [{mean.low:.2f}, {mean.high:.2f}], n = {len(runs)}: {verdict}")
    write_sealed(
        RESULT,
        {
            "command": "python -m benchmarks.folders", "seeds": list(SEEDS), "images_per_class": PER_CLASS,
            "rule": "holds if the 95 % interval of ours - peer ends below 1 point, better if below 0",
            "rows": rows, "machine": {**environment(), "threads": 1},
        },
    )  # fmt: skip


def _silent(event: dict[str, Any]) -> None:
    """Print nothing of a run."""


if __name__ == "__main__":
    main()
