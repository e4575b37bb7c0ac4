"""Row 17: the same image in train and in another split, or in two classes: `check` counts each, and no other."""

from __future__ import annotations

import json
import shutil
from random import Random

import corpus
from counts import FLIPS
from damage import Tally, crash
from test_images import encoded


def test_fault_17_copies_are_counted(reslab, count):
    """A random number of copies is placed; the files are named, and the status is 1 if there are any."""
    tally, draws, seeds = Tally(), Random(17), iter(range(10**6))
    for case in range(max(5, FLIPS // 4)):
        root = reslab.here / f"pets{case}"
        for room, number in (("train", 6), ("val", 3), ("test", 3)):
            for label in ("cat", "dog"):
                images = {
                    f"{i}{room}.png": encoded(corpus.photo(next(seeds)), "PNG")
                    for i in range(number)
                }  # fmt: skip
                corpus.write(root / room / label, images)
        placed = {"across-splits": set[str](), "two-classes": set[str]()}
        for number in range(draws.randrange(4)):
            label, other = draws.sample(("cat", "dog"), 2)
            kind = draws.choice([*placed])
            source = f"train/{label}/{number}train.png"  # each is copied once
            target = f"{draws.choice(('val', 'test'))}/{other if kind == 'two-classes' else label}/copy{number}.png"
            shutil.copy(root / source, root / target)
            placed[kind].add(f"{target} = {source}")
        ended = reslab("check", root, "--size", "32", "--json", "--all")
        wrong = "" if ended.code == int(any(placed.values())) else f"exit {ended.code}"
        if not wrong:
            findings = json.loads(ended.out)["findings"]
            found = {kind: {name for f in findings if f["kind"] == kind for name in f["examples"]} for kind in placed}
            wrong = "" if found == placed else f"found {found}, placed {placed}"
        tally.add(case, wrong or crash(ended))
    tally.told(count, 17, "copies placed in val, test and other classes: check names each and no other")
