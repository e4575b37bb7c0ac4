"""Rows 13 to 15: hostile and unusual images through `train`, `evaluate` and `predict`, as a user without rights."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import corpus
import pytest
from counts import FLIPS, some
from damage import Tally, crash, refusal
from test_images import encoded
from trained import FOLDER, sets

NET = (*FOLDER, "--widths", "4,4,8", "--image-size", "32", "--iterations", "2")
RARE = sets("batch=4", "eval_every=2", "clean_every=2", "log_every=1", "save_every=2")
MOST = 600 << 20  # bytes that a bomb may cost beyond what the command takes without it


@pytest.fixture
def here(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def nobody(server, here):
    """`nobody("train", …)` without root's rights."""

    def called(*words: object, **more):
        return server(*words, cwd=here, plain=True, XDG_CACHE_HOME=str(here / "cache"), HOME=str(here), **more)

    return called


@pytest.fixture
def pets(here) -> Path:
    """Two classes of good images; a run on them."""
    root = here / "pets"
    for room, number in (("train", 6), ("val", 2)):
        for label in range(2):
            folder = root / room / f"class{label}"
            corpus.write(folder, {f"{i}.png": encoded(corpus.photo(10 * label + i), "PNG") for i in range(number)})
    return root


def test_fault_13_one_by_one(nobody, pets, here, count):
    """Each bad file alone among good ones: `error` refuses it by name, `skip` leaves it out by name."""
    nobody(*NET, *RARE, "--data", pets, "--out", "run").good()
    folder, refused, predicted = pets / "train" / "class0", Tally(), Tally()
    names = corpus.write(here / "bad", corpus.bad(), special=True)
    for name in some(names):
        file = folder / name
        shutil.move(here / "bad" / name, file)
        out = here / f"out-{name}"
        for words in (("--dry-run",), ("--out", out)):
            ended = nobody(*NET, *RARE, "--data", pets, *words)
            refused.add(f"{name}: train {words[0]}", refusal(ended, name))
        skipped = nobody(*NET, *RARE, "--data", pets, "--bad-images", "skip", "--out", f"skip-{name}")
        wrong = crash(skipped)
        if not wrong and skipped.code:  # damage that only decoding shows ends the run by name
            wrong = refusal(skipped, name)
        refused.add(f"{name}: train --bad-images skip", wrong)
        predicted.add(f"{name}: error", refusal(nobody("predict", "run", file, "--bad-images", "error"), name))
        ended = nobody("predict", "run", file, folder / "0.png", "--json")
        found = (ended.code, len(ended.out.splitlines()))
        wrong = crash(ended) or ("" if found == (1, 2) else f"status, lines: {found}")
        predicted.add(f"{name}: report", wrong or ("" if name in ended.err else "no word of its name"))
        ended = nobody("predict", "run", file, folder / "0.png", "--json", "--bad-images", "skip")
        wrong = crash(ended) or (
            "" if len(ended.out.splitlines()) == 1 else f"{len(ended.out.splitlines())} predictions"
        )
        predicted.add(f"{name}: skip", wrong or ("" if name in ended.err else "left out without its name"))
        file.unlink()
    refused.told(count, 13, f"{len(names)} bad files, each among good ones: train, dry run, error and skip")
    predicted.told(count, 13, f"{len(names)} bad files: predict, error, report and skip")


def test_fault_13_evaluated(nobody, pets, here, count):
    """Bad files in the split that is scored: refused, never replaced; with skip counted out."""
    nobody(*NET, *RARE, "--data", pets, "--out", "run").good()
    tally, folder = Tally(), here / "scored" / "val" / "class0"
    names = corpus.write(here / "bad", corpus.bad(), special=True)
    good = {f"{i}.png": encoded(corpus.photo(i), "PNG") for i in range(3)}
    corpus.write(folder, good)
    corpus.write(here / "scored" / "val" / "class1", good)
    for name in some(names):
        shutil.move(here / "bad" / name, folder / name)
        ended = nobody("evaluate", "run", "--data", here / "scored", "--split", "val", "--json")
        tally.add(f"{name}: error", refusal(ended, name))
        ended = nobody("evaluate", "run", "--data", here / "scored", "--split", "val", "--json", "--bad-images", "skip")
        wrong = crash(ended) or (refusal(ended, name) if ended.code else "")
        if not ended.code and not wrong:
            n = json.loads(ended.out)[0]["n"]
            wrong = "" if n == 6 else f"scored {n} images of 6"
        tally.add(f"{name}: skip", wrong)
        (folder / name).unlink()
    tally.told(count, 13, f"{len(names)} bad files: evaluate, error and skip")


def test_fault_13_a_folder_called_x_jpg(nobody, pets, here, count):
    """And a class folder without permission, and a file of each in a name that is not UTF-8."""
    tally = Tally()
    nobody(*NET, *RARE, "--data", pets, "--out", "run").good()
    folder = here / "x.jpg"
    corpus.write(folder, {"0.png": encoded(corpus.photo(), "PNG")})
    tally.add("a folder called x.jpg, predicted", crash(nobody("predict", "run", folder)))
    (pets / "train" / "class0" / "x.jpg").mkdir()
    tally.add("an empty folder x.jpg in a class", crash(nobody(*NET, *RARE, "--data", pets, "--out", "inner")))
    closed = pets / "train" / "class0" / "closed"
    closed.mkdir()
    closed.chmod(0)
    tally.add("a folder without permission", crash(nobody(*NET, *RARE, "--data", pets, "--out", "closed")))
    closed.chmod(0o755)
    odd = os.fsencode(pets / "train" / "class0") + b"/caf\xe9.jpg"
    with open(odd, "wb") as file:
        file.write(b"no image")
    ended = nobody(*NET, *RARE, "--data", pets, "--out", "odd")
    tally.add("a bad file whose name is not UTF-8", refusal(ended, "caf"))
    tally.told(count, 13, "folders called x.jpg, without permission, names that are not UTF-8")


def test_fault_13_random_damage(nobody, pets, here, count):
    """Flipped bits and cuts in every format, many at once, with data workers: no crash in decoders or loop."""
    nobody(*NET, *RARE, "--data", pets, "--out", "run").good()
    cases, tally = corpus.damaged(FLIPS), Tally()
    corpus.write(pets / "train" / "class0", cases)
    ended = nobody("predict", "run", pets / "train" / "class0", "--json", "--bad-images", "skip", seconds=120)
    seen = {Path(json.loads(line)["file"]).name for line in ended.out.splitlines()} if not crash(ended) else set()
    for name in cases:
        tally.add(name, crash(ended) or ("" if (name in seen) != (f"/{name}:" in ended.err) else "neither or both"))
    for workers in (0, 2):
        ended = nobody(
            *NET, *RARE, "--data", pets, "--workers", workers, "--bad-images", "skip", "--out", f"w{workers}"
        )
        tally.add(f"train, {workers} workers", crash(ended))
    tally.told(count, 13, "flipped and cut images of seven formats: predict and train --bad-images skip")


@pytest.mark.parametrize("name", ["bomb.png", "bomb8.png"])
def test_fault_14_bombs(nobody, pets, here, count, name):
    """30000x30000 in about 110 KB and in 900 KB: refused from the header, for less than 600 MB."""
    tally, file = Tally(), pets / "train" / "class0" / name
    nobody(*NET, *RARE, "--data", pets, "--out", "run").good()
    verbs = {
        "predict": ("predict", "run", file, "--bad-images", "error"),
        "train": (*NET, *RARE, "--data", pets, "--workers", "0", "--out", "new"),
        "skip": (*NET, *RARE, "--data", pets, "--workers", "0", "--bad-images", "skip", "--out", "skip"),
    }  # fmt: skip
    plain = {"predict": nobody("predict", "run", pets / "train" / "class0" / "0.png").good().peak}
    plain["train"] = plain["skip"] = nobody(*verbs["train"][:-1], "plain").good().peak
    file.write_bytes(corpus.bad()[name])
    for verb, words in verbs.items():
        ended = nobody(*words)
        wrong = crash(ended) or ("" if verb == "skip" else refusal(ended, name))
        beyond = ended.peak - plain[verb]
        tally.add(verb, wrong or ("" if beyond < MOST else f"{beyond >> 20} MB beyond a run without it"))
    tally.told(count, 14, f"30000x30000 in {file.stat().st_size // 1000} KB: refused, memory below 600 MB")


def test_fault_15_unusual_images(nobody, pets, here, count):
    """Every colour mode, depth, animation, orientation and odd size: predicted and trained on."""
    nobody(*NET, *RARE, "--data", pets, "--out", "run").good()
    cases, tally = corpus.good(), Tally()
    corpus.write(pets / "train" / "class0", cases)
    for name in some(cases):
        ended = nobody("predict", "run", pets / "train" / "class0" / name, "--json")
        tally.add(f"{name}, predicted", crash(ended) or ("" if ended.code == 0 else ended.last))
    count_ = len(cases) + 12
    for workers in (0, 2):
        ended = nobody(*NET, *RARE, "--data", pets, "--workers", workers, "--out", f"w{workers}")
        wrong = crash(ended) or ("" if ended.code == 0 else ended.last)
        tally.add(
            f"trained on, {workers} workers", wrong or ("" if f"n = {count_}" in ended.text else "not all were seen")
        )
    tally.told(count, 15, f"{len(cases)} unusual images: predict one by one, train on all")
