"""Cut a val split from the training images of a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from reslab.data.sets.classes import Listing
from reslab.errors import UserError


def with_val(root: Path, listing: Listing, share: float | None, notes: list[str]) -> dict[str, Listing]:
    """Return train and val, which gets `share` of each class of `listing`. Raises UserError without a valid share."""
    if share is None:
        raise UserError(
            f"{root}: has no val folder; add one, or hold a share of the images out with --val-share 0.1, say"
        )
    if not 0 < share < 1:
        raise UserError(f"--val-share: {share} is not between 0 and 1")
    train: Listing = {}
    val: Listing = {}
    for name, files in listing.items():
        # A hash of its own path decides for each file, so adding files moves few of the others.
        digests = [hashlib.sha256(files.relative(row)).digest() for row in range(len(files))]
        ranked = sorted(range(len(files)), key=digests.__getitem__)
        count = min(max(round(share * len(files)), 1), len(files) - 1)
        val[name], train[name] = (files.subset(np.sort(rows)) for rows in np.split(np.array(ranked, np.int64), [count]))
    held = sum(map(len, val.values()))
    notes.append(f"{held:,} of {sum(map(len, listing.values())):,} images held out as val by a hash of their paths")
    return {"train": train, "val": val}
