"""Rows on trained networks: evaluation, ensembles, predictions and probes, through the command line's JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.golden.collection import (
    Collection,
    checkpoints_of,
    copied,
    images,
    reslab_json,
    reslab_lines,
    squares,
    trained,
)
from benchmarks.golden.values import Entries, exact, flat

EVALUATIONS: dict[str, tuple[str, ...]] = {
    "fp32": (),
    "bf16": ("--precision", "bf16"),
    "train split": ("--split", "train"),
}
PROBES: dict[str, tuple[str, ...]] = {
    "run, test split": ("--only", "responses,gradients,residuals", "--split", "test", "--samples", "100"),
    "run, all": (),
}
FRESH: dict[str, tuple[str, ...]] = {
    "plain": ("cifar_plain8", "--seed", "3"),
    "pre-activation": ("cifar_resnet8", "--order", "pre", "--samples", "64"),
    "bottleneck": ("cifar_resnet11", "--block", "bottleneck", "--only", "jacobians"),
    "mlp": ("mlp_resnet10", "--samples", "64"),
}


def scores(collection: Collection) -> Entries:
    """Return the results of `evaluate` and `predict` for short runs: alone, in bf16, as ensembles."""
    first, second = _runs(collection, "scores")
    entries: Entries = {}
    for name, words in EVALUATIONS.items():
        entries |= flat(reslab_json("evaluate", first, "--threads", 1, *words), f"{name}")
    for average in ("softmax", "logits"):
        results = reslab_json("evaluate", first, second, "--ensemble", average, "--threads", 1)
        entries |= flat(results, f"ensemble of {average}")
    for precision in ("fp32", "bf16"):
        entries |= predictions(first, squares(8, "L"), precision)
    entries |= {f"other size/{k}": v for k, v in predictions(first, images() / "val", "fp32").items()}
    return entries | ({} if collection.quick else _cifar(collection))


def _cifar(collection: Collection) -> Entries:
    """Return the scores of a committed checkpoint on the 10,000 test images of CIFAR-10."""
    committed = checkpoints_of(collection.own / "fast-cifar")
    if not committed or not collection.has_cifar("scores"):
        return {}
    entries: Entries = {}
    for precision in ("fp32", "bf16"):
        (results,) = reslab_json(
            "evaluate", committed[0], "--data", f"cifar10:{collection.cifar}", "--precision", precision, "--threads", 1
        )
        del results["checkpoint"]
        entries |= flat(results, f"cifar10 {precision}")
    return entries


def predictions(checkpoint: Path, files: Path, precision: str) -> Entries:
    """Return the classes and probabilities of each file below a folder, every class of them."""
    lines = reslab_lines(
        "predict", checkpoint, files, "--top", 10, "--precision", precision, "--batch", 8, "--threads", 1
    )
    return {f"predictions {precision}/{line.pop('file')}": exact(line) for line in lines}


def probes(collection: Collection) -> Entries:
    """Return the figures of `probe`: of a short run, and of nets at initialisation."""
    first, _ = _runs(collection, "probes")
    results: dict[str, Any] = {}
    for name, words in list(PROBES.items())[: 1 if collection.quick else None]:
        results[name] = reslab_json("probe", first, "--threads", 1, *words)
    for name, words in () if collection.quick else FRESH.items():
        results[name] = reslab_json("probe", *words, "--threads", 1)
    return {name: text for part, value in results.items() for name, text in flat(value, part).items()}


def _runs(collection: Collection, row: str) -> tuple[Path, Path]:
    """Return two short runs, the first with a flipped bit if the row is planted."""
    first, second = copied(trained(0), f"{row}-s0"), copied(trained(1), f"{row}-s1")
    if row in collection.planted:
        collection.layout.republish(checkpoints_of(first)[-1])
    return first, second
