"""`evaluate`: checkpoints scored exactly, alone and as an ensemble."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.errors import UserError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.data.splits import Data
    from reslab.measure.evaluate import Scores
    from reslab.measure.result import Evaluation
    from reslab.training.checkpoint import Checkpoint
    from reslab.training.member import Member

    Way = Callable[[Tensor], Tensor]  # images to logits

BATCH = 250  # images of a step where a whole split is scored


@dataclass(frozen=True)
class Sought:
    """Which data a checkpoint meets: said by the user, or those it was trained on. Equal ones are read once.

    own          the training's own files, in their place or as the user says them
    share, fingerprint    as the training had them
    """

    source: str
    own: bool
    val_share: float | None
    bad_images: str
    holdout: int
    size: int
    classes: tuple[str, ...]
    share: float | None
    fingerprint: str | None


def sought(checkpoint: Checkpoint, data: str | None, val_share: float | None, bad: str, download: bool) -> Sought:
    """The data that `data` names, or without it those of the training, cut as it cut them. Raises UserError."""
    from reslab.data.sources import is_there

    facts, spec = checkpoint.facts, checkpoint.spec
    told = facts["data"]
    share, typed, place = told.get("val_share"), told["source"], told.get("place")
    own = data is None or _same_place(data, place or typed)
    if own and share is not None:
        if val_share not in (None, share):
            raise UserError(
                f"--val-share {val_share}: {checkpoint.folder} was trained with {share}, and another cut would score "
                "images that it was trained on; leave it out"
            )
        val_share = share
    if own and told.get("bad_images") == "skip":
        bad = "skip"
    source = data or (typed if download else next((s for s in (place, typed) if s and is_there(s)), None))
    if source is None:
        where = f"{typed} ({place})" if place and place != typed else typed
        raise UserError(
            f"{checkpoint.folder}: was trained on {where}, which is not here; say with --data where it lies now"
        )
    return Sought(
        source, own, val_share, bad, facts["recipe"].get("holdout", 0), spec.image_size, tuple(facts["classes"]), share,
        told.get("fingerprint"),
    )  # fmt: skip


def _same_place(one: str, other: str) -> bool:
    from reslab.data.sources import place_of

    try:
        a, b = (place_of(source) or source for source in (one, other))
    except UserError:
        return False
    lead = "cifar10:"
    return a == b or (
        a.startswith(lead) == b.startswith(lead)
        and os.path.realpath(a.removeprefix(lead)) == os.path.realpath(b.removeprefix(lead))
    )


def read(checkpoint: Checkpoint, what: Sought, splits: Sequence[str], download: bool) -> Data:
    """The data sought. A folder without a train split that is not the training's own is scored whole."""
    from reslab.data.sources import to_score
    from reslab.training.inputs import load_data
    from reslab.training.member import recipe_of

    def loaded(val_share: float | None) -> Data:
        return load_data(
            what.source, checkpoint.spec, recipe_of(checkpoint),
            splits=splits, download=download, val_share=val_share, bad_images=what.bad_images,
        )  # fmt: skip

    if what.own or what.val_share is not None:
        return loaded(what.val_share)
    whole = to_score(what.source, what.classes, what.size, bad_images=what.bad_images)
    if whole is None:
        return loaded(None)
    if what.share is not None:  # the training's own folder may have moved here
        try:
            moved = loaded(what.share)
        except UserError:
            return whole
        if moved.fingerprint == what.fingerprint:
            return moved
    return whole


def notes_on(checkpoint: Checkpoint, what: Sought, data: Data, said: bool) -> tuple[str, ...]:
    """What is to be told about the data. Raises UserError where nobody `said` them, and they have changed."""
    if what.fingerprint in (None, data.fingerprint):
        return data.notes
    if not said:
        cut = " (or --val-share is another)" if what.val_share is not None and what.share is None else ""
        raise UserError(
            f"{what.source}: its files are not those that {checkpoint.folder} was trained on{cut}; give --data to "
            "score others"
        )
    if data.train is None and data.kind == "folder":
        return (*data.notes, "every image is scored; files that it was trained on may be among them")
    return (*data.notes, "not the files that it was trained on")


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

    data       as in `train`; default: what the checkpoint was trained on, where it lay then. A folder of class folders
               without a train split is scored whole, labelled by the checkpoint's classes
    split      "test", "val" or "train" (a clean pass); default: test, or val where there is no test split
    ensemble   "softmax" or "logits": what is averaged over the members; the ensemble is the last of the list
    precision  "fp32" (the default: a number to trust) or "bf16" (`engines.inference` on a CPU: quicker, and close calls
               again in fp32, so that the top-1 error hardly differs)
    val_share, bad_images    of data that is given; of the training's own they are as the training had them
    Raises UserError for a path that is no checkpoint, a damaged one, data of other classes, a split that is not there,
    training data that is gone or has changed.
    """
    from reslab.engines.inference import Inference, piece_of
    from reslab.engines.machine import Settings, prepare, resolve_device, thread_count
    from reslab.measure.ensemble import AVERAGES, evaluate_together
    from reslab.measure.evaluate import evaluate as score
    from reslab.measure.result import Evaluation
    from reslab.training import checkpoint as checkpoints
    from reslab.training import member
    from reslab.training.inputs import workers_for
    from reslab.training.room import check_evaluation

    if batch < 1:
        raise UserError(f"--batch: {batch} must be at least 1")
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
    loaded: dict[Sought, Data] = {}
    jobs = []
    for checkpoint in found:
        what = sought(checkpoint, data, val_share, bad_images, download)
        if what not in loaded:
            wanted = ("train", "val", "test") if what.holdout or split in ("train", "val") else ("test", "val")
            loaded[what] = read(checkpoint, what, wanted, download)
        there = loaded[what]
        member.check_fits(checkpoint, there)
        notes = notes_on(checkpoint, what, there, data is not None)
        name = split or ("val" if there.test is None and there.val is not None else "test")
        jobs.append((checkpoint, there, name, notes))
    if ensemble and len({(d.fingerprint, len(d.split(name)), name) for _, d, name, _ in jobs}) > 1:
        raise UserError("--ensemble: the members were trained on different data or splits; give one --data and --split")
    for checkpoint, there, name, _ in jobs:
        spec, count = checkpoint.spec, len(found) if ensemble else 1
        pieces = piece_of(spec) if precision == "bf16" else None
        check_evaluation(spec, min(batch, len(there.split(name))), settings.device, count, pieces)
    prepare(settings)

    def result(
        where: Path,
        model: str,
        iteration: int,
        there: Data,
        name: str,
        scores: Scores,
        way: Way,
        notes: tuple[str, ...],
    ) -> Evaluation:
        unfit = f"{scores.unfit:,} of {scores.n:,} images have scores that are not finite" if scores.unfit else ""
        note = "; ".join(filter(None, (unfit, getattr(way, "fallback", None))))
        classes = tuple(there.classes)
        return Evaluation(where, model, iteration, there.name, name, precision, classes, scores, note, notes)

    def way_of(one: Member) -> Way:
        return one.step.logits if precision == "fp32" else Inference(one.step.net, precision)

    if not ensemble:
        results = []
        for checkpoint, there, name, notes in jobs:
            one, part = member.ready(checkpoint, settings), there.split(name)
            batches = one.batches(part, batch, workers_for(there, workers))
            way = way_of(one)
            scores = score(way, batches, len(part), len(there.classes))
            results.append(
                result(checkpoint.folder, one.step.net.name, checkpoint.iteration, there, name, scores, way, notes)
            )
        return results
    members = [member.ready(checkpoint, settings) for checkpoint, *_ in jobs]
    _, there, name, _ = jobs[0]
    part = there.split(name)
    ways = [way_of(m) for m in members]
    pairs = [(way, m.batches(part, batch, workers_for(there, workers))) for way, m in zip(ways, members, strict=True)]
    alone, whole = evaluate_together(pairs, len(part), len(there.classes), ensemble)
    told = [
        result(m.checkpoint.folder, m.step.net.name, m.checkpoint.iteration, there, name, scores, way, notes)
        for m, scores, way, (*_, notes) in zip(members, alone, ways, jobs, strict=True)
    ]
    parent = members[0].checkpoint.folder.parent
    notes = tuple(dict.fromkeys(note for *_, told_of_one in jobs for note in told_of_one))
    title = f"ensemble of {len(members)} ({ensemble} averaged)"
    return [
        *told,
        result(parent, title, max(m.checkpoint.iteration for m in members), there, name, whole, ways[0], notes),
    ]
