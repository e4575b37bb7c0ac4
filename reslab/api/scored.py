"""The data that a trained model is scored on: those of its training, or others that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.data.images.levels import FULL, Levels
from reslab.data.source import DataLike, DataSource, recorded_kind, source_of
from reslab.engines import host
from reslab.errors import UserError
from reslab.runs.extension import ends_of, extension_words
from reslab.runs.naming import FROM_DATA
from reslab.runs.runlog import facts_of

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.models.trained import TrainedModel


@dataclass(frozen=True)
class DataRequest:
    """The data to score a checkpoint on. Equal requests are read once.

    own          the training's own files, at their recorded place or as the user gives it
    share, fingerprint    of the training
    pair         the split of images given in Python that name none
    by_order     the names of `classes` are assumed, so folders of other names are taken in their order
    group        with which the training's val was cut by `share`
    levels       of 16-bit pixels, as the model was trained
    """

    source: DataSource
    own: bool
    val_share: float | None
    bad_images: str
    holdout: int
    size: int
    classes: tuple[str, ...]
    share: float | None
    fingerprint: str | None
    pair: str
    by_order: bool = False
    group: str | None = None
    levels: Levels = FULL


def requested(
    model: TrainedModel, data: DataLike | None, val_share: float | None, bad: str, download: bool, pair: str = "test"
) -> DataRequest:
    """Return the request for `data`, or without it for the training's own data with the training's own split.

    Raises UserError if the training's data are gone or were given in Python, or for another `val_share` than theirs.
    """
    recorded = model.origin.data
    explicit = None if data is None else source_of(data)
    if not recorded:
        if explicit is None:
            raise UserError(f"{model.origin.path}: imported weights do not name their data; give some with --data")
        return DataRequest(
            explicit, False, val_share, bad, 0, model.spec.image_size, model.classes, None, None, pair,
            _has_assumed_names(model), levels=model.transform.levels,
        )  # fmt: skip
    share, text, place = recorded.get("val_share"), recorded["source"], recorded.get("place")
    if recorded_kind(recorded) == "given":
        if explicit is None:
            raise UserError(
                f"{model.origin.path}: was trained on images given in Python, which no run keeps; give them again as "
                "the data of the call, or others with --data"
            )
        own = False  # their fingerprint decides when they are read
    else:
        own = explicit is None or explicit.is_same_place(source_of(place or text))
    if own and share is not None:
        if val_share not in (None, share):
            raise UserError(
                f"--val-share {val_share}: {model.origin.path} was trained with {share}, and another cut would score "
                "images that it was trained on; leave it out"
            )
        val_share = share
    if own and recorded.get("bad_images") == "skip":
        bad = "skip"
    candidates = (source_of(candidate) for candidate in (place, text) if candidate)
    source = explicit or (source_of(text) if download else next((s for s in candidates if s.is_there()), None))
    if source is None:
        description = f"{text} ({place})" if place and place != text else text
        raise UserError(
            f"{model.origin.path}: was trained on {description}, which is not here; give its place with --data"
        )
    return DataRequest(
        source, own, val_share, bad, model.origin.holdout, model.spec.image_size, model.classes, share,
        recorded.get("fingerprint"), pair, group=recorded.get("group"), levels=model.transform.levels,
    )  # fmt: skip


def read(model: TrainedModel, request: DataRequest, splits: Sequence[str], download: bool) -> Data:
    """Return the requested data; of a folder or list without train, if it is not the training's own, every image."""
    from reslab.data.sources import to_score
    from reslab.data.splits import hold_out
    from reslab.models.inputs import channels_of, load_data

    def loaded(val_share: float | None, holdout: int = request.holdout) -> Data:
        return load_data(
            request.source, model.spec, holdout, splits=splits, download=download, val_share=val_share,
            bad_images=request.bad_images, pair=request.pair, classes=request.classes, levels=request.levels,
            group=request.group if val_share is not None and val_share == request.share else None,
        )  # fmt: skip

    if request.source.given is not None:
        images = loaded(request.val_share, 0)
        is_own = images.fingerprint == request.fingerprint and request.holdout
        return hold_out(images, request.holdout) if is_own else images
    if request.own or request.val_share is not None:
        return loaded(request.val_share)
    unsplit = to_score(
        request.source, request.classes, request.size, bad_images=request.bad_images, by_order=request.by_order,
        channels=channels_of(model.spec), workers=host.default_workers(), levels=request.levels,
    )  # fmt: skip
    if unsplit is None:
        return loaded(None)
    if request.share is not None:  # the training's own folder may have moved here
        try:
            moved = loaded(request.share)
        except UserError:
            return unsplit
        if moved.fingerprint == request.fingerprint:
            return moved
    return unsplit


def notes_on(model: TrainedModel, request: DataRequest, data: Data, explicit: bool) -> tuple[str, ...]:
    """Return remarks on the data. Raises UserError if they changed since the training and are not `explicit`."""
    if request.fingerprint in (None, data.fingerprint):
        return (*data.notes, *_assumed_names(model, data))
    if not explicit:
        cut = " (or --val-share is another)" if request.val_share is not None and request.share is None else ""
        raise UserError(
            f"{request.source.text}: its files are not those that {model.origin.path} was trained on{cut}; give "
            "--data to score others"
        )
    if data.kind == "given":
        return (*data.notes, "given in Python; images that it was trained on may be among them")
    if data.train is None and data.kind == "folder":
        return (*data.notes, "every image is scored; files that it was trained on may be among them")
    return (*data.notes, "not the files that it was trained on")


def course_note(checkpoint: Path) -> str:
    """Return the remark on a checkpoint of an extended run; "" for others."""
    return extension_words(ends_of(facts_of(checkpoint)))


def check_fits(model: TrainedModel, data: Data) -> None:
    """Raise UserError if classes, channels or image size of the data differ from the training's.

    Of an imported model whose class names are assumed, only their number is compared.
    """
    from reslab.models.inputs import fit

    if _assumed_names(model, data):
        fit(model.spec, data, dict.fromkeys(FROM_DATA, 1))
        return
    for number, names in enumerate(zip_longest(data.classes, model.classes)):
        if names[0] != names[1]:
            new, trained = ("missing" if name is None else repr(name) for name in names)
            raise UserError(
                f"{data.name}: its {len(data.classes)} classes are not the {len(model.classes)} that "
                f"{model.origin.path} was trained on ({', '.join(model.classes[:5])} …): class {number} is {new} here "
                f"and {trained} there"
            )
    fit(model.spec, data, dict.fromkeys(FROM_DATA, 1))


def _assumed_names(model: TrainedModel, data: Data) -> tuple[str, ...]:
    """Return a remark if the model's class names are assumed and the data have as many classes under other names."""
    same = tuple(data.classes) == model.classes
    if same or len(data.classes) != len(model.classes) or not _has_assumed_names(model):
        return ()
    return ("class names of the weights are assumed; the data's classes are taken in their order",)


def _has_assumed_names(model: TrainedModel) -> bool:
    imported = model.origin.imported
    return imported is not None and "classes" in imported.assumed
