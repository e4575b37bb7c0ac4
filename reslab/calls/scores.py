"""`evaluate`: checkpoints scored exactly, alone and as an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.errors import UserError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.data.splits import Data
    from reslab.measure.evaluate import Scores
    from reslab.measure.result import Evaluation
    from reslab.training.member import Member

    Way = Callable[[Tensor], Tensor]  # images to logits

BATCH = 250  # images of a step where a whole split is scored


def evaluate(
    paths: str | Path | Iterable[str | Path],
    data: str | None = None,
    *,
    split: str | None = None,
    ensemble: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch: int = BATCH,
    threads: int = 0,
    workers: int | None = None,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
) -> list[Evaluation]:
    """Score checkpoints (or runs: their newest one) on exactly the n samples of a split, each sample once.

    data       as in `train`; default: what the checkpoint was trained on
    split      "test", "val" or "train" (a clean pass); default: test, or val where there is no test split
    ensemble   "softmax" or "logits": what is averaged over the members; the ensemble is the last of the list
    precision  "fp32" (the default: a number to trust) or "bf16" (`measure.inference` on a CPU: quicker, and close calls
               again in fp32, so that the top-1 error hardly differs)
    Raises UserError for a path that is no checkpoint, a damaged one, data of other classes, a split that is not there.
    """
    from reslab.measure.ensemble import AVERAGES, evaluate_together
    from reslab.measure.evaluate import evaluate as score
    from reslab.measure.inference import Inference
    from reslab.measure.result import Evaluation
    from reslab.training import checkpoint as checkpoints
    from reslab.training import member
    from reslab.training.inputs import load_data, workers_for
    from reslab.training.machine import Settings, prepare, resolve_device, thread_count

    for option, value, known in (
        ("--split", split, ("train", "val", "test")),
        ("--ensemble", ensemble, AVERAGES),
        ("--precision", precision, ("fp32", "bf16")),
    ):
        if value is not None and value not in known:
            raise UserError(f"{option}: {value!r} is none of {', '.join(known)}{suggest(str(value), known)}")
    settings = Settings(resolve_device(device), precision, "channels_last", "eager", thread_count(threads))
    found = [checkpoints.find(Path(path)) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if ensemble and len(found) < 2:
        raise UserError(f"--ensemble: {len(found)} checkpoint given; an ensemble is of two or more")
    loaded: dict[tuple[str, int, int], Data] = {}
    jobs = []
    for checkpoint in found:
        source, recipe = data or checkpoint.facts["data"]["source"], member.recipe_of(checkpoint)
        key = (source, recipe.holdout, checkpoint.spec.image_size)
        if key not in loaded:
            wanted = ("train", "val", "test") if recipe.holdout or split in ("train", "val") else ("test", "val")
            loaded[key] = load_data(
                source, checkpoint.spec, recipe,
                splits=wanted, download=download, val_share=val_share, bad_images=bad_images,
            )  # fmt: skip
        there = loaded[key]
        member.check_fits(checkpoint, there)
        name = split or ("val" if there.test is None and there.val is not None else "test")
        jobs.append((checkpoint, there, name))
    if ensemble and len({(d.fingerprint, len(d.split(name)), name) for _, d, name in jobs}) > 1:
        raise UserError("--ensemble: the members were trained on different data or splits; give one --data and --split")
    prepare(settings)

    def result(where: Path, model: str, iteration: int, there: Data, name: str, scores: Scores, way: Way) -> Evaluation:
        note = getattr(way, "fallback", None) or ""
        return Evaluation(where, model, iteration, there.name, name, precision, tuple(there.classes), scores, note)

    def way_of(one: Member) -> Way:
        return one.step.logits if precision == "fp32" else Inference(one.step.net, precision)

    if not ensemble:
        results = []
        for checkpoint, there, name in jobs:
            one, part = member.ready(checkpoint, settings), there.split(name)
            batches = one.batches(part, batch, workers_for(there, workers))
            way = way_of(one)
            scores = score(way, batches, len(part), len(there.classes))
            results.append(result(checkpoint.folder, one.step.net.name, checkpoint.iteration, there, name, scores, way))
        return results
    members = [member.ready(checkpoint, settings) for checkpoint, _, _ in jobs]
    _, there, name = jobs[0]
    part = there.split(name)
    ways = [way_of(m) for m in members]
    pairs = [(way, m.batches(part, batch, workers_for(there, workers))) for way, m in zip(ways, members, strict=True)]
    alone, whole = evaluate_together(pairs, len(part), len(there.classes), ensemble)
    told = [
        result(m.checkpoint.folder, m.step.net.name, m.checkpoint.iteration, there, name, scores, way)
        for m, scores, way in zip(members, alone, ways, strict=True)
    ]
    parent = members[0].checkpoint.folder.parent
    title = f"ensemble of {len(members)} ({ensemble} averaged)"
    return [*told, result(parent, title, max(m.checkpoint.iteration for m in members), there, name, whole, ways[0])]
