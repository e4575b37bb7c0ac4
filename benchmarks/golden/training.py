"""The row of traces: short runs of the real training loop, for every engine, optimizer and switch of a recipe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.golden.collection import Collection, checkpoints_of, images
from benchmarks.golden.values import Entries, compared, exact, of_files

STEPS = 25  # at a batch of 128 digits, two epochs and a part: last batches and alternating flips matter
BASE: dict[str, Any] = {
    "batch": 128, "drops": (10, 20), "log_every": 1, "eval_every": 1_000, "clean_every": 1_000, "save_every": STEPS,
    "augment": "crop-flip", "lr": 0.05,
}  # fmt: skip
MUON = {"optimizer": "muon", "muon_lr": 0.02, "momentum_form": "nesterov"}
SWITCHES: dict[str, dict[str, Any]] = {
    "nesterov": {"momentum_form": "nesterov"},
    "caffe": {"momentum_form": "caffe"},
    "ghost batches": {"bn_batch": 32},
    "smoothed labels": {"label_smoothing": 0.1},
    "keep": {"last_batch": "keep"},
    "drop": {"last_batch": "drop"},
    "alternating flips": {"flip": "alternating"},
    "small images": {"small_size": 6, "small_until": 12},
    "linear": {"schedule": "linear", "rise": 5},
    "cosine": {"schedule": "cosine", "rise": 5},
    "precise statistics": {"bn_statistics": "precise", "bn_momentum": 0.3},
    "decay on weights": {"decay_on": "weights", "weight_decay": 5e-4},
    "channel statistics": {"centre": "channel", "scale": "channel-std"},
    "held out": {"holdout": 97},
    "first phase": {"warmup_from_depth": 8, "warmup_window": 5},
    "probed": {"probe_every": 10},
    "muon with smoothed labels": {**MUON, "label_smoothing": 0.1, "bn_batch": 64},
}
QUICK = ("ghost batches", "keep")
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("cifar_plain8", {}),
    "pre-activation": ("cifar_resnet8", {"order": "pre"}),
    "option B": ("cifar_resnet8", {"shortcut": "B"}),
    "option C": ("cifar_resnet8", {"shortcut": "C"}),
    "bottleneck": ("cifar_resnet11", {"block": "bottleneck", "stride_in": "3x3"}),
    "pooling": ("cifar_resnet8", {"downsample": "pool", "pad_at": "both"}),
    "last γ at 0": ("cifar_resnet8", {"zero_init": True}),
    "tanh": ("cifar_resnet8", {"activation": "tanh"}),
    "no batch norm": ("cifar_resnet8", {"batch_norm": False}),
    "mlp": ("mlp_resnet10", {}),
}
EAGER_ALONE = ("no batch norm", "mlp")


@dataclass(frozen=True)
class Trace:
    """A short run: arguments of `reslab.train` besides the common ones; `stop` ends it at the first checkpoint."""

    name: str
    engine: str = "eager"
    precision: str = "fp32"
    values: dict[str, Any] = field(default_factory=dict)
    model: str = "cifar_resnet8"
    switches: dict[str, Any] = field(default_factory=dict)
    source: str = "digits"
    recipe: str = "digits"
    iterations: int = STEPS
    options: dict[str, Any] = field(default_factory=dict)


class Enough(Exception):
    """A run has published the checkpoint that was waited for."""


def _traces(collection: Collection) -> Iterator[Trace]:
    for engine, precision in (("eager", "fp32"), ("eager", "bf16"), ("fused", "fp32"), ("fused", "bf16"),
                              ("winograd", "bf16"), ("compiled", "fp32")):  # fmt: skip
        for optimizer, values in (("sgd", {}), ("muon", MUON)):
            if not (collection.quick and engine == "compiled"):
                yield Trace(f"{engine} {precision} {optimizer}", engine, precision, values)
    for engine in ("eager", "fused"):
        for name, values in SWITCHES.items():
            if not collection.quick or name in QUICK:
                yield Trace(f"{engine}, {name}", engine, values=values)
        yield Trace(f"{engine}, recompute", engine, options={"recompute": "on"})
    if collection.quick:
        return
    for name, (model, switches) in NETS.items():
        for engine in ("eager",) if name in EAGER_ALONE else ("eager", "fused"):
            yield Trace(f"{engine}, {name}", engine, model=model, switches=switches)
    yield Trace("winograd, ghost batches", "winograd", "bf16", {"bn_batch": 32, "small_size": 6, "small_until": 12})
    yield Trace("fused, two threads", "fused", "bf16", options={"threads": 2})
    yield Trace("winograd, two threads", "winograd", "bf16", options={"threads": 2})
    folder, few = str(images()), {"batch": 16, "log_every": 1, "probe_every": 0}
    for workers in (0, 2):
        yield Trace(
            f"folder, {workers} workers", "fused", "bf16", few, switches={"image_size": 32}, source=folder,
            recipe="paper-cifar-smoke", iterations=8, options={"workers": workers},
        )  # fmt: skip
    thin = {"widths": (8, 8, 16, 16, 16), "image_size": 32}
    yield Trace("vgg19, dropout", "eager", "fp32", few, "vgg19", thin, folder, "paper-cifar-smoke", 3, {"workers": 0})
    if collection.has_cifar("traces"):
        place, until = f"cifar10:{collection.cifar}", {"log_every": 1, "save_every": STEPS}
        yield Trace("cifar10, paper", "winograd", "bf16", until, "cifar_resnet20", {}, place, "paper-cifar", 64_000)
        changes = {**until, "small_until": 12}
        yield Trace("cifar10, fast", "fused", "fp32", changes, "cifar_resnet20", {}, place, "fast-cifar", 9_290)


def traces(collection: Collection) -> Entries:
    """Return of each short run the loss of every update, what was measured, and the final weights and momentum."""
    from reslab.errors import UserError

    entries: Entries = {}
    for trace in _traces(collection):
        out = Path("traces") / trace.name
        try:
            _run(trace, out)
        except UserError as error:
            collection.note(f"{trace.name}: {error}")
            continue
        for text in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            line = compared(json.loads(text))
            if line["kind"] == "warning":  # such as an engine that could not be used
                collection.note(f"{trace.name}: {line['text']}")
            what = f"{line['kind']} {line.get('split', '')}".strip()
            loss = line.pop("loss", None)
            name = f"{trace.name}/{line.pop('iteration', 0):05} {what}"
            entries |= {f"{name}/loss": exact(loss)} if loss is not None else {}
            entries[name] = exact(line)
        newest = checkpoints_of(out)[-1]
        entries |= {f"{trace.name}/final {part}": digest for part, digest in of_files(newest).items()}
        entries[f"{trace.name}/settings"] = _settings(out)
        shutil.rmtree(out)
    return entries


def _run(trace: Trace, out: Path) -> None:
    """Train until the end, or until the checkpoint of STEPS if the schedule is longer."""
    import reslab

    def tell(event: dict[str, Any]) -> None:
        if event["kind"] == "checkpoint" and trace.iterations > event["iteration"]:
            raise Enough

    base = BASE if trace.recipe == "digits" else {}
    options = {"threads": 1, **trace.options}
    with suppress(Enough):
        reslab.train(
            trace.model, trace.source, recipe=trace.recipe, out=out, seed=5, iterations=trace.iterations,
            engine=trace.engine, precision=trace.precision, device="cpu", set={**base, **trace.values}, tell=tell,
            **options, **trace.switches,
        )  # fmt: skip


def _settings(out: Path) -> str:
    """Return the settings that a run recorded, without the sentence that gives the reasons."""
    settings = json.loads((out / "run.json").read_text(encoding="utf-8"))["settings"]
    return exact({key: value for key, value in settings.items() if key != "why"})
