"""Rows 12, 16, 18 and 19: two runs in one folder, class folders, labels, too few images."""

from __future__ import annotations

import functools
import itertools
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from counts import some
from damage import Tally, crash, refusal
from PIL import Image
from processes import Running
from test_cifar import binary_files, write_folder, write_parquet
from trained import FOLDER, OFTEN, TINY, end_of, iteration_of, pets, same_end, sets

LONG = (*TINY, "--iterations", "100000", *sets("log_every=1", "eval_every=100000", "clean_every=100000"))
SHORT = (*FOLDER, "--widths", "4,4,8", "--image-size", "16", "--workers", "0", "--iterations", "2", *OFTEN)


def holds(run: Running, out: Path) -> bool:
    """Whether the lock of `out` is this run's."""
    owner = out / ".owner"
    return owner.exists() and f"process {run.pid} " in owner.read_text()


def test_fault_12_two_runs_in_one_folder(reslab, count):
    """The second is refused with the first's process, and the first goes on; a lock that is left behind is no lock."""
    tally, out = Tally(), reslab.here / "run"
    for number in range(3):
        first = reslab.start(*LONG, "--out", out)
        assert first.until(functools.partial(holds, first, out)), first.wait().text
        for words in (LONG, (*TINY, "--iterations", "3")):
            tally.add("a second process", refusal(reslab(*words, "--out", out), f"process {first.pid} on "))
        assert first.alive, first.wait().text
        first.signal((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)[number])
        first.wait()
    before = iteration_of(out)
    again = reslab.start(*LONG, "--out", out)
    again.until(lambda: holds(again, out) and iteration_of(out) > before)
    again.signal(signal.SIGTERM)
    ended = again.wait()
    tally.add("after kill -9", "" if ended.code == 75 else f"the stale lock holds: {ended.code} {ended.text}")
    tally.told(count, 12, "second process in one folder; stale lock after kill -9")


def test_fault_12_many_begin_at_once(reslab, count):
    """Six processes begin one run in one moment: it ends as if one had, whatever each is told."""
    tally, words = Tally(), (*TINY, "--iterations", "40", *sets("save_every=5"))
    reslab(*words, "--out", "whole").good()
    whole = end_of(reslab.here / "whole")
    for number in range(3):
        out = reslab.here / f"run{number}"
        together = [reslab.start(*words, "--out", out) for _ in range(6)]
        for ended in [one.wait() for one in together]:
            tally.add("one of six", crash(ended) or (refusal(ended, str(out)) if ended.code else ""))
        tally.add("the run", "" if same_end(out, whole) else "ends elsewhere")
    tally.told(count, 12, "six processes begin one run at once")


def shaded(root: Path, room: str, shades: dict[str, int], number: int = 4) -> None:
    """Images whose grey level is their class."""
    for name, shade in shades.items():
        folder = root / room / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(number):
            Image.new("RGB", (20, 20), (shade, shade, shade)).save(folder / f"{i}.png")


SHADES = {"ant": 20, "bee": 120, "cat": 220}


def per_class(ended) -> dict[str, int]:
    (told,) = json.loads(ended.out)
    return {row["class"]: row["n"] for row in told["per_class"]}


def test_fault_16_class_folders(reslab, tmp_path, count):
    """The training split's classes are the classes: labels never shift, whatever the validation split has."""
    tally, train = Tally(), sets("augment=none", "batch=4", "centre=channel", "scale=255")
    words = (*FOLDER, "--widths", "4,4,8", "--image-size", "16", "--workers", "0", "--iterations", "2", *train)
    full = tmp_path / "full"
    shaded(full, "train", SHADES)
    shaded(full, "val", SHADES)
    reslab(*words, "--data", full, "--out", "whole").good()
    weights = end_of(reslab.here / "whole")[0]
    for number in range(1, 4):
        for names in some(itertools.permutations(SHADES, number)):
            root = tmp_path / "-".join(("val", *names))
            shaded(root, "train", SHADES)
            shaded(root, "val", {n: SHADES[n] for n in names}, number=3)
            out = reslab.here / root.name
            ended = reslab(*words, "--data", root, "--out", out)
            wrong = crash(ended) or ("" if ended.code == 0 else f"refused: {ended.last}")
            if not wrong:
                same = end_of(out)[0] == weights
                wrong = "" if same else "other weights: the labels have shifted"
                scored = reslab("evaluate", out, "--split", "val", "--json")
                counts = per_class(scored)
                wrong = wrong or ("" if counts == {n: 3 * (n in names) for n in SHADES} else f"counted {counts}")
            tally.add(f"val has {', '.join(names)}", wrong)
    faults = {
        "an extra class in val": (lambda r: shaded(r, "val", {"dog": 9}), "dog"),
        "a class with another case": (lambda r: shaded(r, "val", {"Ant": 9}), "Ant"),
    }
    for case, (spoil, name) in faults.items():
        root = tmp_path / case.replace(" ", "-")
        shaded(root, "train", SHADES)
        shaded(root, "val", SHADES)
        spoil(root)
        tally.add(case, refusal(reslab(*words, "--data", root, "--out", case.replace(" ", "-")), name))
    harmless = {
        "a hidden folder": lambda r: shaded(r, "train", {".ipynb_checkpoints": 9}),
        "litter": lambda r: (r / "train" / "ant" / "Thumbs.db").write_bytes(b"x"),
        "a hidden file": lambda r: (r / "train" / "ant" / ".DS_Store").write_bytes(b"x"),
        "__MACOSX": lambda r: shaded(r, "train", {"__MACOSX": 9}),
    }
    for case, spoil in harmless.items():
        root = tmp_path / case.replace(" ", "-")
        shaded(root, "train", SHADES)
        shaded(root, "val", SHADES)
        spoil(root)
        ended = reslab(*words, "--data", root, "--out", case.replace(" ", "-"))
        same = end_of(reslab.here / case.replace(" ", "-"))[0] == weights if not ended.code else False
        tally.add(case, crash(ended) or ("" if same else f"other weights: {ended.last}"))
    for case, spoil in {
        "an empty class": lambda r: (r / "train" / "empty").mkdir(),
        "no class": lambda r: [p.unlink() for p in (r / "train").rglob("*.png")],
        "loose files": lambda r: Image.new("RGB", (9, 9)).save(r / "train" / "loose.png"),
        "case twins": lambda r: shaded(r, "train", {"ANT": 9}),
        "a link to itself": lambda r: (r / "train" / "ant" / "loop").symlink_to(r / "train"),
    }.items():
        root = tmp_path / case.replace(" ", "-")
        shaded(root, "train", SHADES)
        shaded(root, "val", SHADES)
        spoil(root)
        tally.add(case, crash(reslab(*words, "--data", root, "--out", case.replace(" ", "-"))))
    tally.told(count, 16, "15 orders and subsets of val's classes, extra, hidden, empty, twins, links")


def test_fault_18_labels(reslab, tmp_path, count):
    """Labels outside 0..9 in every layout of CIFAR-10: refused with file and row, before training."""
    tally, pixels = Tally(), np.zeros((8, 32, 32, 3), np.uint8)
    words = (*FOLDER, "--widths", "4,4,8", "--iterations", "1", *sets("batch=4"))
    for label in (-1, 10, 1000, 2**62, -(2**62), None):
        for at in (0, 7):
            folder = tmp_path / f"p{label}-{at}"
            labels = [label if i == at else i % 10 for i in range(8)]
            write_parquet(folder, pixels, side="train", labels=labels)
            write_parquet(folder, pixels, side="test")
            ended = reslab(*words, "--data", f"cifar10:{folder}", "--out", f"p{label}-{at}")
            tally.add(f"parquet: label {label} in row {at}", refusal(ended, f"row {at}"))
    for value in (10, 200, 255):
        files = binary_files()
        size = 10_000
        for name, content in files.items():
            files[name] = (content * (size * 3073 // len(content) + 1))[: size * 3073]
        raw = bytearray(files["data_batch_3.bin"])
        raw[5 * 3073] = value
        files["data_batch_3.bin"] = bytes(raw)
        folder = write_folder(tmp_path / f"b{value}", files)
        tally.add(
            f"binary: label {value}", refusal(reslab(*words, "--data", f"cifar10:{folder}", "--dry-run"), "record 5")
        )
    tally.told(count, 18, "labels outside 0..9 in parquet and binary files")


@pytest.mark.parametrize("workers", [0, 2])
def test_fault_19_too_few_images(reslab, tmp_path, count, workers):
    """One class, one image, a batch beyond the data, a last batch of one: trained, or refused in one line."""
    tally = Tally()
    base = (*FOLDER, "--widths", "4,4,8", "--image-size", "16", "--workers", str(workers), "--iterations", "3")
    for classes, number in some(itertools.product((1, 2), (1, 2, 3, 5))):
        root = pets(tmp_path / f"pets-{classes}-{number}", classes=classes, train=number, val=1, side=16)
        for batch, last in some(itertools.product((1, 2, 4, 1000), ("fill", "keep", "drop"))):
            out = reslab.here / f"{classes}-{number}-{batch}-{last}"
            ended = reslab(
                *base,
                "--data",
                root,
                "--out",
                out,
                *sets(
                    f"batch={batch}",
                    f"last_batch={last}",
                    "eval_every=1",
                    "clean_every=1",
                    "probe_every=2" if batch == 2 else "probe_every=0",
                ),
            )
            tally.add(f"{classes} classes of {number}, batch {batch}, {last}", crash(ended))
            if classes * number == 1 or batch == 1000:
                tally.add("scored", crash(reslab("evaluate", out)) if not ended.code else "")
    tally.told(count, 19, f"1 to 10 images in 1 or 2 classes, batches of 1 to 1,000, {workers} data workers")
