"""`check`: everything that is found about a folder, where `folder` stops at the first fault, or a set in memory."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from PIL import Image

from reslab.data.check.facts import Facts, look_of
from reslab.data.check.finding import Finding
from reslab.data.check.judged import Entry, duplicates, judged, judged_levels
from reslab.data.check.result import Check
from reslab.data.check.survey import Watch, surveyed
from reslab.data.encoded import EncodedImages
from reslab.data.sets.classes import contents_of, examine, refuse_unread, settle
from reslab.data.sets.folder import check_classes, checked_folder, index_of
from reslab.data.sets.indexing import Reading
from reslab.data.source import DataSource
from reslab.data.splits import Data, Files, Memory
from reslab.errors import UserError


def examined(
    source: DataSource, size: int, val_share: float | None, group: str | None, channels: int, workers: int,
    watch: Watch | None,
) -> Check:  # fmt: skip
    """Return what is found about a folder. Raises UserError if it holds no class folders at all."""
    root = checked_folder(source.text, size, "skip")
    try:
        contents = contents_of(root)
        refuse_unread(contents, True)
        examine(contents, size, True, channels=channels, workers=workers, watch=watch, most=math.inf)
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    splits = {
        split: {name: len(files) for name, files in sorted(listing.items())}
        for split, listing in contents.listings.items()
    }
    files = contents.files
    try:
        check_classes(contents)
        index = index_of(contents, Reading(size, val_share, True, channels, workers, watch, group))
        splits = {
            split: dict(zip(index.classes, part.counts, strict=True)) for split, part in index.parts.items()
        }  # fmt: skip
    except UserError as error:
        if not contents.is_settled:
            settle(contents, contents.listings.get("train", {}), None)
        contents.findings.append(Finding("refused", 1, detail=str(error)))
    return Check(source.text, splits, tuple(contents.findings), files)


def of_data(data: Data, workers: int = 0, watch: Watch | None = None) -> Check:
    """Return what is found about data that were read: of files what their reading found; of images in parquet files
    what a folder would be told; of images in memory duplicates, where an image is called "SPLIT ROW"."""
    encoded = [
        (split, part, part.paths)
        for split, part in data.splits().items()
        if isinstance(part, Files) and isinstance(part.paths, EncodedImages)
    ]
    rows = [
        Entry(images[row].name, split, data.classes[part.labels[row]], facts)
        for split, part, images in encoded
        for row, facts in sorted(surveyed(images, workers, watch))
    ]
    found = [*data.findings]
    if rows:
        good, levels = [row for row in rows if not row.facts.reason], encoded[0][1].levels
        found = [finding for finding in found if finding.kind != "deep"]
        found += [*judged(rows, data.size, data.channels), *judged_levels(good, levels)]
    entries = [
        Entry(f"{split} {row}", split, data.classes[label], _facts(image))
        for split, part in data.splits().items()
        if isinstance(part, Memory)
        for row, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True))
    ]
    splits = {
        split: dict(zip(data.classes, np.bincount(part.labels, minlength=len(data.classes)).tolist(), strict=True))
        for split, part in data.splits().items()
    }
    count = sum(map(len, data.splits().values()))
    return Check(data.name, splits, (*found, *duplicates(entries)), count)


def _facts(image: np.ndarray) -> Facts:
    """Return the facts of an image, uint8 [H, W, 1 or 3]."""
    content = hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
    grey = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).convert("L")
    return Facts(width=image.shape[1], height=image.shape[0], mode=grey.mode, content=content, look=look_of(grey))
