"""Synthetic runs in the record format, for figures and pages that must not need a training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reslab.claims.catalogue import catalogue
from reslab.claims.evidence import Evidence, Net, Setting
from reslab.claims.evidence import read as read_study
from reslab.claims.judging import Judgement
from reslab.claims.overview import overview
from reslab.nets.names import spec_of, switches_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.runs.recipes import recipe
from reslab.show.charts.chart import specification
from reslab.store import jsonl
from reslab.store.sealed import write_sealed

ITERATIONS = 600
COMMAND = "reslab report --out 'a & b'"
INEXACT = "103 images differ from the original ones by a few grey levels"


def errors_at(residual: bool, depth: int, seed: int, iteration: int) -> tuple[float, float]:
    """A made-up (training, test) error in percent: falling with time; rising with depth in plain nets alone."""
    floor = 0.4 if residual else max(0.4, (depth - 20) * 0.7)
    wobble = ((seed * 7 + iteration // 50 * 3) % 5) * 0.3
    train = floor + wobble + 85.0 * 0.5 ** (iteration / 60)
    return train, train + 2.0


def write_run(
    folder: Path, model: str, seed: int, *, shown: str | None = None, of: Net | None = None,
    recipe_of: Recipe | None = None, **data: Any,
) -> Path:  # fmt: skip
    """Write `run.json` and `metrics.jsonl` of a finished run of `model` (or `of`), named `shown` in the record."""
    spec = spec_of(model, in_channels=1, image_size=8, **dict(of.switches if of else ()))
    run = {
        "model": shown or model,
        "switches": switches_of(spec),
        "spec": spec.to_dict(),
        "recipe": (recipe_of or recipe("digits")).to_dict(),
        "seed": seed,
        "data": {
            "source": "digits", "name": "digits", "fingerprint": "f00d", "classes": [str(i) for i in range(10)],
            "sizes": {"train": 1297, "test": 500}, "notes": [], **data,
        },
        "environment": {"reslab": "0.1.0", "torch": "2.10.0", "cpu": "a CPU", "cores": 2, "gpu": None},
        "settings": {"device": "cpu", "precision": "fp32", "layout": "channels_last", "engine": "eager", "threads": 2,
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
    write_sealed(folder / "run.json", run)
    write_lines(folder, lines)
    return folder


def write_lines(folder: Path, lines: Iterable[dict[str, Any]]) -> None:
    for line in lines:
        jsonl.append(folder / "metrics.jsonl", line)


class Asked(dict[str, Any]):
    """Figures of a measurement that has every key that it is asked for, and keeps which."""

    def get(self, key: str, default: Any = None) -> Any:
        return self.setdefault(key, 0.5 + len(self) % 3)


class Asking(dict[str, dict[int | None, dict[str, Any]]]):
    """Measurements by name: any that is asked for is there."""

    def get(self, key: str, default: Any = None) -> Any:
        return self.setdefault(key, {None: Asked()})


def write_study(folder: Path, setting: Setting, *, probed: bool = True, **data: Any) -> Path:
    """A study's folder in which every net that a claim trains has run, and every measurement a claim reads was made."""
    folder.mkdir(parents=True)
    write_sealed(folder / "study.json", setting.to_dict())
    claims = catalogue(setting)
    for number, net in enumerate(dict.fromkeys(n for claim in claims for n in claim.nets)):
        for seed in setting.seeds:
            out = write_run(folder / f"run{number}-{seed}", net.model, seed, of=net, recipe_of=setting.recipe,
                            **{"name": setting.data, "source": setting.data, **data})  # fmt: skip
            if probed:
                write_lines(out, (probe_line(net.spec(), seed, i) for i in (0, 100, 200, 300, 400)))
    asking = Asking()
    for claim in claims:
        for statement in claim.statements:
            with contextlib.suppress(ArithmeticError, IndexError):
                statement.quantity.read(Evidence(folder, setting, {}, asking))
    (folder / "measured").mkdir()
    for name, figures in {**asking, "gradients-init": {None: asking.get("gradients-init")[None] | by_block()}}.items():
        told = {"name": name, "seed": None, "figures": dict(figures[None])}
        write_sealed(folder / "measured" / f"{name}.json", told)
    return folder


def probe_line(spec: Spec, seed: int, iteration: int) -> dict[str, Any]:
    """A made-up probe: by block and by layer, a figure that falls with its place and differs by seed."""
    blocks = [r.block for r in plan(spec) if r.kind == "add"] or list(
        dict.fromkeys(r.block for r in plan(spec) if r.block)
    )
    layers = [r.name for r in plan(spec) if r.kind == "conv"]
    by_blocks = {b: (1.0 + seed / 10) / (1 + i) + iteration / 1e4 for i, b in enumerate(blocks)}
    by_layers = {n: (1.0 + seed / 10) / (2 + i) + iteration / 1e4 for i, n in enumerate(layers)}
    return {"kind": "probe", "iteration": iteration, "n": 128, "gradient_batch": 64, "loss": 1.0,
            **dict.fromkeys(("gradients", "activations", "residuals"), by_blocks),
            **dict.fromkeys(("weight_gradients", "responses"), by_layers)}  # fmt: skip


def by_block() -> dict[str, list[float]]:
    """Gradients and activations at the initial weights, as `gradients-init` has them."""
    return {
        f"{kind}{depth}-{bn}-{g}.{what}": [0.9 ** (i if bn == "nobn" else 1) for i in range((depth - 2) // 2)]
        for kind in ("plain", "resnet") for depth in (20, 56) for bn in ("bn", "nobn")
        for g in ("relu", "tanh", "sigmoid") for what in ("gradients", "activations")
    }  # fmt: skip


def judged(*folders: Path) -> list[Judgement]:
    """Every claim on these studies, as the report is given them."""
    return [one for told in overview([read_study(folder) for folder in folders]) for one in told.judgements]


def values_of(chart: Any) -> list[dict[str, Any]]:
    """The rows that a chart is drawn from."""
    spec = specification(chart)
    return spec["datasets"][(spec.get("data") or spec["layer"][0]["data"])["name"]]
