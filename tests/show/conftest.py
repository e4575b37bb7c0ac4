"""Synthetic runs in the record format, for figures and pages that must not need a training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reslab.nets.names import spec_of, switches_of
from reslab.training.recipes import recipe
from reslab.training.runlog import Record, read

ITERATIONS = 600


def errors_at(residual: bool, depth: int, seed: int, iteration: int) -> tuple[float, float]:
    """A made-up (training, test) error in percent: falling with time; rising with depth in plain nets alone."""
    floor = 0.4 if residual else max(0.4, (depth - 20) * 0.7)
    wobble = ((seed * 7 + iteration // 50 * 3) % 5) * 0.3
    train = floor + wobble + 85.0 * 0.5 ** (iteration / 60)
    return train, train + 2.0


def write_run(folder: Path, model: str, seed: int, *, shown: str | None = None, **data: Any) -> Path:
    """Write `run.json` and `metrics.jsonl` of a finished run of `model`, named `shown` in the record."""
    spec = spec_of(model, in_channels=1, image_size=8)
    run = {
        "format": 1,
        "model": shown or model,
        "switches": switches_of(spec),
        "spec": spec.to_dict(),
        "recipe": recipe("digits").to_dict(),
        "seed": seed,
        "data": {
            "source": "digits", "name": "digits", "fingerprint": "f00d", "classes": [str(i) for i in range(10)],
            "sizes": {"train": 1297, "test": 500}, "notes": [], **data,
        },
        "environment": {"reslab": "0.1.0", "torch": "2.10.0", "cpu": "a CPU", "cores": 2, "gpu": None},
        "settings": {"device": "cpu", "precision": "fp32", "layout": "channels_last", "compile": False, "threads": 2,
                     "why": "cpu, fp32, channels_last, eager, 2 threads"},
        "command": "reslab reproduce degradation",
    }  # fmt: skip
    lines: list[dict[str, Any]] = []
    for iteration in range(50, ITERATIONS + 1, 50):
        clock = {"seconds": iteration / 100, "rate": 5000.0, "data_wait": 0.01, "left": 1.0}
        lines.append({"kind": "train", "iteration": iteration, "loss": 1.0, "error": 5.0, "lr": 0.1, "clock": clock})
        train, test = errors_at(spec.residual, spec.depth, seed, iteration)
        for split, error, n in (("test", test, 500), ("train", train, 1297)):
            lines.append(
                {"kind": "eval", "iteration": iteration, "split": split, "n": n, "top1_error": error,
                 "top5_error": error / 5, "loss": error / 20}
            )  # fmt: skip
    lines.append({"kind": "end", "iteration": ITERATIONS, "clock": {"seconds": 6.5}})
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., list[Record]]:
    """`study(depths=…, seeds=…, **data)`: the records of a finished degradation study."""

    def made(
        depths: tuple[int, ...] = (8, 20, 32, 44), seeds: tuple[int, ...] = (0, 1, 2), *, hostile: str = "", **data: Any
    ) -> list[Record]:
        return [
            read(write_run(tmp_path / "runs" / f"{kind}{depth}-{seed}", f"cifar_{kind}{depth}", seed,
                           shown=f"cifar_{kind}{depth}{hostile}", **data))
            for seed in seeds for depth in depths for kind in ("plain", "resnet")
        ]  # fmt: skip

    return made
