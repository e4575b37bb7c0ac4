"""`--group`: val is cut out of train by whole groups of files, such as the frames of a clip.

The group of a file is found by `re.search` on its path relative to its class folder (of a list: its path in the list):
what the first capturing group that took part holds, or the whole match. The class is no part of it, because each class
is cut on its own: equal names in two classes have the same rank and mostly the same side, but need not.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reslab.data.check.finding import Finding
from reslab.errors import UserError

_Key = tuple[str | None, str]  # the name of a group and "", or None and the path of a file that matches none


def check_group(group: str | None, val_share: float | None) -> None:
    """Raise UserError if `group` is no regular expression, or if there is no cut that it could keep whole."""
    if group is None:
        return
    if val_share is None:
        raise UserError("--group: keeps groups of files whole when --val-share cuts val out of train; give it too")
    try:
        re.compile(group)
    except re.error as error:
        raise UserError(f"--group: {group!r} is no regular expression: {error}") from None


@dataclass
class Groups:
    """The groups of a regular expression, and what the cut of each class by them came to.

    sizes       number of groups of train and of val
    single      paths of files that do not match, which are groups of their own
    sides       name → the splits in which it is, of all classes
    """

    group: str
    sizes: Counter[str] = field(default_factory=Counter)
    single: list[str] = field(default_factory=list)
    sides: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def name(self, path: str) -> str | None:
        """Return the name of a file's group, or None if its path does not match."""
        match = re.search(self.group, path)
        if match is None:
            return None
        return next((part for part in match.groups() if part is not None), match[0])

    def held_out(self, cls: str, names: Sequence[bytes], inside: int, share: float) -> np.ndarray:
        """Return bool [N]: which files of a class are held out.

        names    relative paths; the first `inside` characters of each are the class folder's
        Groups are taken in the order of a hash of their names, each if it brings the number of files nearer to `share`;
        one group at least goes to either side. Raises UserError for several files in a single group.
        """
        keys = list[_Key]()
        for name in map(os.fsdecode, names):
            group = self.name(name[inside:])
            keys.append((None, name) if group is None else (group, ""))
        sizes = Counter(keys)
        if len(sizes) == 1 and len(keys) > 1 and keys[0][0] is not None:
            raise UserError(
                f"--group: all {len(keys):,} images of class {cls!r} are one group ({next(iter(sizes))[0]!r}); give a "
                "regular expression that tells its groups apart, or put some of them into a val folder"
            )
        held = _chosen(sizes, share)
        self.single += [path for name, path in sizes if name is None]
        for key in sizes:
            side = "val" if key in held else "train"
            self.sizes[side] += 1
            if key[0] is not None:
                self.sides[key[0]].add(side)
        return np.array([key in held for key in keys], bool)

    @property
    def notes(self) -> list[str]:
        """What the cut came to, in lines."""
        return [f"--group {self.group}: val has {self.sizes['val']:,} of {self.sizes.total():,} groups"]

    @property
    def findings(self) -> list[Finding]:
        """What the cut came to that was perhaps not meant."""
        both = [name for name, sides in self.sides.items() if len(sides) > 1]
        found = (("ungrouped", self.single), ("both-sides", both))
        return [Finding(kind, len(names), examples=tuple(names)) for kind, names in found if names]


def _chosen(sizes: Counter[_Key], share: float) -> set[_Key]:
    """Return the groups that are held out; none of a single one."""

    def rank(key: _Key) -> bytes:
        name = key[1] if key[0] is None else key[0]
        return hashlib.sha256(os.fsencode(name)).digest()

    wanted, count = share * sizes.total(), 0
    ranked, held = sorted(sizes, key=rank), list[_Key]()
    for key in ranked:
        if abs(count + sizes[key] - wanted) < abs(count - wanted):
            held.append(key)
            count += sizes[key]
    smallest = min(ranked, key=lambda key: sizes[key])  # the first of several
    if not held:
        held = [smallest]
    if len(held) == len(ranked):
        held.remove(smallest)
    return {*held}
