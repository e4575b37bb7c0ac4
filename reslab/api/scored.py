"""Which data a trained model is scored on: those of its training, or others that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from reslab.data.source import DataLike, DataSource, recorded_kind, source_of
from reslab.errors import UserError
from reslab.runs.naming import FROM_DATA

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.models.trained import TrainedModel


@dataclass(frozen=True)
class DataRequest:
    """Which data a checkpoint meets: said by the user, or those it was trained on. Equal ones are read once.

    own          the training's own files, in their place or as the user says them
    share, fingerprint    as the training had them
    pair         the split that images given in Python are if they name none
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


def requested(
    model: TrainedModel, data: DataLike | None, val_share: float | None, bad: str, download: bool, pair: str = "test"
) -> DataRequest:
    """The data that `data` means, or without it those of the training, cut as it cut them. Raises UserError."""
    told = model.origin.data
    share, typed, place = told.get("val_share"), told["source"], told.get("place")
    asked = None if data is None else source_of(data)
    if recorded_kind(told) == "given":
        if asked is None:
            raise UserError(
                f"{model.origin.path}: was trained on images given in Python, which no run keeps; give them again as "
                "the data of the call, or others with --data"
            )
        own = False  # known by their fingerprint once they are read
    else:
        own = asked is None or asked.is_same_place(source_of(place or typed))
    if own and share is not None:
        if val_share not in (None, share):
            raise UserError(
                f"--val-share {val_share}: {model.origin.path} was trained with {share}, and another cut would score "
                "images that it was trained on; leave it out"
            )
        val_share = share
    if own and told.get("bad_images") == "skip":
        bad = "skip"
    candidates = (source_of(text) for text in (place, typed) if text)
    source = asked or (source_of(typed) if download else next((s for s in candidates if s.is_there()), None))
    if source is None:
        where = f"{typed} ({place})" if place and place != typed else typed
        raise UserError(
            f"{model.origin.path}: was trained on {where}, which is not here; say with --data where it lies now"
        )
    return DataRequest(
        source, own, val_share, bad, model.origin.holdout, model.spec.image_size, model.classes, share,
        told.get("fingerprint"), pair,
    )  # fmt: skip


def read(model: TrainedModel, what: DataRequest, splits: Sequence[str], download: bool) -> Data:
    """Return the data requested. A folder without a train split that is not the training's own is scored whole."""
    from reslab.data.sources import to_score
    from reslab.data.splits import hold_out
    from reslab.models.inputs import load_data

    def loaded(val_share: float | None, holdout: int = what.holdout) -> Data:
        return load_data(
            what.source, model.spec, holdout, splits=splits, download=download, val_share=val_share,
            bad_images=what.bad_images, pair=what.pair, classes=what.classes,
        )  # fmt: skip

    if what.source.given is not None:
        given = loaded(what.val_share, 0)
        is_own = given.fingerprint == what.fingerprint and what.holdout
        return hold_out(given, what.holdout) if is_own else given
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


def notes_on(model: TrainedModel, what: DataRequest, data: Data, said: bool) -> tuple[str, ...]:
    """What is to be told about the data. Raises UserError where nobody `said` them, and they have changed."""
    if what.fingerprint in (None, data.fingerprint):
        return data.notes
    if not said:
        cut = " (or --val-share is another)" if what.val_share is not None and what.share is None else ""
        raise UserError(
            f"{what.source.text}: its files are not those that {model.origin.path} was trained on{cut}; give --data to "
            "score others"
        )
    if data.kind == "given":
        return (*data.notes, "given in Python; images that it was trained on may be among them")
    if data.train is None and data.kind == "folder":
        return (*data.notes, "every image is scored; files that it was trained on may be among them")
    return (*data.notes, "not the files that it was trained on")


def check_fits(model: TrainedModel, data: Data) -> None:
    """Refuse data of other classes, channels or size than the model was trained on."""
    from reslab.models.inputs import fit

    for number, (here, there) in enumerate(zip_longest(data.classes, model.classes)):
        if here != there:
            one, other = ("missing" if name is None else repr(name) for name in (here, there))
            raise UserError(
                f"{data.name}: its {len(data.classes)} classes are not the {len(model.classes)} that "
                f"{model.origin.path} was trained on ({', '.join(model.classes[:5])} …): class {number} is {one} here "
                f"and {other} there"
            )
    fit(model.spec, data, dict.fromkeys(FROM_DATA, 1))
