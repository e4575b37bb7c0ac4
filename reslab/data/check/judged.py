"""The findings about the files of a folder, from their facts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from reslab.data.check.duplicates import clips, copies, near
from reslab.data.check.facts import EXTENSIONS, Facts
from reslab.data.check.finding import Finding
from reslab.data.images.decode import FORMATS
from reslab.data.images.levels import Levels

BLACK = 16  # of 255: what becomes of the highest level of 12 bits if it is divided by 257
TINY, HUNDREDS = 1, 100  # images of a class that is none, beside others with so many
CROP = 224 / 256  # side of the view by the resized shorter side


class Entry(NamedTuple):
    """A file of a split and class; `name` is relative to the folder."""

    name: str
    split: str
    cls: str
    facts: Facts


def bad_kind(facts: Facts) -> str:
    """Return the kind of finding that a file is which cannot be read, "" for one that can."""
    if not facts.reason:
        return ""
    if "file is empty" in facts.reason:
        return "empty"
    if facts.format and facts.format not in FORMATS:
        return "format"
    return "no-image" if "is no image of a known format" in facts.reason else "damaged"


def judged(entries: Sequence[Entry], size: int, channels: int = 3) -> list[Finding]:
    """Return what the facts of the files of train, val and test show; `size` is the side of the network's input."""
    good = [entry for entry in entries if not entry.facts.reason]
    return [
        *_grouped(entries, lambda entry: bad_kind(entry.facts), lambda entry: entry.facts.format or ""),
        *_lopsided(entries),
        *duplicates(good),
        *_clips(good),
        *_tiny(good),
        *(finding for kind, holds in _traits(size, channels).items() for finding in _of_all(good, kind, holds)),
    ]


def _traits(size: int, channels: int) -> dict[str, Callable[[Entry], bool]]:
    """Return the kinds of findings that a single good file decides."""

    def other_format(entry: Entry) -> bool:
        named = EXTENSIONS.get(entry.name.rpartition(".")[2].lower(), entry.facts.format)
        return named != entry.facts.format

    def cropped(entry: Entry) -> bool:
        width, height = entry.facts.width, entry.facts.height
        return CROP**2 * min(width, height) / max(width, height) < 0.5

    return {
        "extension": other_format,
        "cropped": cropped,
        "small": lambda entry: 2 * min(entry.facts.width, entry.facts.height) < size,
        "blank": lambda entry: entry.facts.is_blank,
        "grey": lambda entry: channels == 3 and entry.facts.mode in ("1", "L", "LA"),
        "turned": lambda entry: entry.facts.turned,
        "cmyk": lambda entry: entry.facts.mode == "CMYK",
    }


def judged_levels(good: Sequence[Entry], levels: Levels) -> list[Finding]:
    """Return what is found about the 16-bit files among those that can be read, with the levels that are in use."""
    outside = sum(e.facts.is_deep and (e.facts.low < levels.low or e.facts.high > levels.high) for e in good)
    detail = levels.words + (f"; in {outside:,} of them others are clipped" if outside else "")
    return [
        *_of_all(good, "dark", lambda entry: entry.facts.is_deep and int(levels(np.array(entry.facts.high))) <= BLACK),
        *(replace(finding, detail=detail) for finding in _of_all(good, "deep", lambda entry: entry.facts.is_deep)),
    ]


def _grouped(
    entries: Sequence[Entry], kind_of: Callable[[Entry], str], format_of: Callable[[Entry], str]
) -> Iterator[Finding]:
    """Yield a finding for each kind, split, class and format."""
    sizes = Counter((entry.split, entry.cls) for entry in entries)
    groups = defaultdict[tuple[str, str, str, str], list[Entry]](list)
    for entry in entries:
        if kind := kind_of(entry):
            groups[kind, entry.split, entry.cls, format_of(entry)].append(entry)
    for (kind, split, cls, name), members in sorted(groups.items()):
        reasons = Counter(entry.facts.reason for entry in members)
        detail = reasons.most_common(1)[0][0] if kind in ("damaged", "no-image") else ""
        yield Finding(kind, len(members), sizes[split, cls], split, cls, name, _names(members), detail)


def _of_all(entries: Sequence[Entry], kind: str, holds: Callable[[Entry], bool]) -> Iterator[Finding]:
    """Yield one finding for all splits and classes, with the share of each class that has some."""
    members = [entry for entry in entries if holds(entry)]
    if members:
        classes = Counter(entry.cls for entry in members)
        alone = len(classes) == 1 and len({entry.cls for entry in entries}) > 1
        yield Finding(
            kind, len(members), len(entries), cls=next(iter(classes)) if alone else "", examples=_names(members)
        )


def _lopsided(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield the classes of train that lose half of their files, while not every class does."""
    train = [entry for entry in entries if entry.split == "train"]
    files = Counter(entry.cls for entry in train)
    lost = Counter(entry.cls for entry in train if entry.facts.reason)
    half = [cls for cls in sorted(files) if 2 * lost[cls] >= files[cls]]
    if len(half) < len(files):
        for cls in half:
            yield Finding(
                "lopsided", 1, len(files), "train", cls, detail=f"keeps {files[cls] - lost[cls]:,} of {files[cls]:,}"
            )


def duplicates(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield the findings on images that occur twice, or look alike in train and another split."""
    across, classes, again = list[tuple[Entry, Entry]](), list[tuple[Entry, Entry]](), list[tuple[Entry, Entry]]()
    for rows in copies([entry.facts.content for entry in entries]):
        first, *others = (entries[row] for row in rows)
        for other in others:
            pair = (other, first)
            if other.cls != first.cls:
                classes.append(pair)
            elif other.split != first.split:
                across.append(pair)
            else:
                again.append(pair)
    for kind, pairs in (("across-splits", across), ("two-classes", classes), ("duplicates", again)):
        if pairs:
            yield Finding(kind, len(pairs), examples=_pairs(pairs))
    train = [entry for entry in entries if entry.split == "train"]
    contents = {entry.facts.content for entry in train}
    others = [entry for entry in entries if entry.split != "train" and entry.facts.content not in contents]
    alike = near([entry.facts.look for entry in train], [entry.facts.look for entry in others])
    found = [(others[row], train[there]) for row, there in alike]
    if found:
        yield Finding("near-duplicates", len(found), len(others), examples=_pairs(found))


def _clips(entries: Sequence[Entry]) -> Iterator[Finding]:
    for cls in sorted({entry.cls for entry in entries}):
        train, others = (
            [entry for entry in entries if entry.cls == cls and (entry.split == "train") is here]
            for here in (True, False)
        )
        tails = [[entry.name.rpartition("/")[2] for entry in part] for part in (train, others)]
        rows = clips(*tails)
        if rows:
            yield Finding("clips", len(rows), len(others), cls=cls, examples=_names([others[row] for row in rows]))


def _tiny(entries: Sequence[Entry]) -> Iterator[Finding]:
    sizes = Counter(entry.cls for entry in entries if entry.split == "train")
    if sizes and sorted(sizes.values())[len(sizes) // 2] >= HUNDREDS:
        for cls, count in sorted(sizes.items()):
            if count <= TINY:
                yield Finding("tiny-class", 1, len(sizes), "train", cls)


def _names(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(entry.name for entry in entries)


def _pairs(pairs: Sequence[tuple[Entry, Entry]]) -> tuple[str, ...]:
    return tuple(f"{a.name} = {b.name}" for a, b in pairs)
