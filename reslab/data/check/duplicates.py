"""Images that occur twice: by their bytes, by how they look, and names numbered like the frames of a clip."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

NEAR = 12  # of 256 bits by which the looks of two copies may differ
BAND = 2  # bytes: two looks with at most 15 differing bits have at least one of 16 bands in common
CROWD = 64  # images of train with the same band, above which it says nothing (a sky, a white border)
FEWEST_BITS = 16  # of a look that are set; others show too little to be compared
_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")


def copies(contents: Sequence[str]) -> list[list[int]]:
    """Return the rows of each content that occurs more than once; "" is none."""
    rows = defaultdict[str, list[int]](list)
    for row, content in enumerate(contents):
        if content:
            rows[content].append(row)
    return [group for group in rows.values() if len(group) > 1]


def near(looks: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield (row of `others`, row of `looks`) of pairs that differ in at most NEAR bits; one for a row of `others`.

    Looks are those of `Facts.look`. Parts of a look that more than CROWD images share are not followed, so that a pair
    may be missed whose looks have all other parts different; with fewer images every pair is found.
    """
    known, a = _array(looks)
    asked, b = _array(others)
    found: dict[int, int] = {}
    for start in range(0, 32, BAND):
        mine, theirs = (x[:, start : start + BAND].copy().view(np.uint16).ravel() for x in (a, b))
        order = np.argsort(mine, kind="stable")
        first, last = (np.searchsorted(mine[order], theirs, side) for side in ("left", "right"))
        counts = np.where(last - first > CROWD, 0, last - first)
        rows = np.repeat(np.arange(len(b)), counts)
        steps = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs = order[np.repeat(first, counts) + steps]
        for piece in range(0, len(rows), 1 << 16):
            some, there = rows[piece : piece + (1 << 16)], pairs[piece : piece + (1 << 16)]
            close = _BITS[a[there] ^ b[some]].sum(1, dtype=np.int64) <= NEAR
            for row, other in zip(some[close].tolist(), there[close].tolist(), strict=True):
                found.setdefault(row, other)
    for row in sorted(found):
        yield asked[row], known[found[row]]


def _array(looks: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """Return the rows of the looks that show enough, and these as uint8 [rows, 32]."""
    rows = [row for row, look in enumerate(looks) if look and int(look, 16).bit_count() >= FEWEST_BITS]
    joined = b"".join(bytes.fromhex(looks[row]) for row in rows)
    return rows, np.frombuffer(joined, np.uint8).reshape(-1, 32)


def clip_of(name: str) -> str:
    """Return a file's name without its last number: that of the clip whose frame it may be."""
    return _LAST_NUMBER.sub("#", name.rpartition(".")[0] or name)


def clips(train: Iterable[str], others: Sequence[str]) -> list[int]:
    """Return the rows of `others` that are numbered like frames of a clip of which `train` has some.

    Only if the names look like clips: several beginnings with three numbers each or more, none of which more than half
    of the names have ("img_0001" to "img_9999" is no clip).
    """
    here = Counter(map(clip_of, train))
    everything = here + Counter(map(clip_of, others))
    long = [name for name, count in everything.items() if count >= 3 and "#" in name]
    if len(long) < 2 or max(everything.values()) * 2 > everything.total():
        return []
    return [row for row, name in enumerate(others) if everything[clip_of(name)] >= 3 and here[clip_of(name)]]
