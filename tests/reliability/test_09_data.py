"""Rows 8 and 9 for what a user brings: images, parquet files, settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest
from counts import FAST_FLIPS, FLIPS, LENGTHS, SLOW_FLIPS
from damage import Tally, crash, cuts, flips, flips_near_ends, outcome
from PIL import Image
from test_cifar import REAL, write_parquet
from trained import FOLDER, OFTEN, TINY, end_of, pets, same_end


def damages(content: bytes, number: int, draws: Random) -> list[tuple[str, bytes]]:
    return [*flips(content, number, draws), *cuts(content, LENGTHS // 2, draws)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_fault_08_09_images_predicted(reslab, tmp_path, count, kind):
    """Many damaged copies in one command. Of a PNG, which has checksums, no other prediction is taken in silence."""
    folder = tmp_path / "copies"
    folder.mkdir()
    reslab(*TINY, "--iterations", "2", "--out", "run").good()
    pixels = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    path = folder / f"whole.{kind.lower()}"
    Image.fromarray(pixels).save(path, kind)
    draws, good = Random(kind), path.read_bytes()
    cases = [*flips(good, FAST_FLIPS if kind == "PNG" else FAST_FLIPS // 4, draws), *cuts(good, LENGTHS, draws)]
    for number, (_, content) in enumerate(cases):
        (folder / f"{number}.{kind.lower()}").write_bytes(content)
    ended = reslab("predict", "run", folder, "--json", "--bad-images", "skip", seconds=200)
    flipped, cut = Tally(), Tally()
    wrong = crash(ended)
    lines = {Path(one["file"]).stem: one for one in map(json.loads, ended.out.splitlines())} if not wrong else {}
    whole = lines.get("whole", {})
    for number, (case, _) in enumerate(cases):
        line = lines.get(str(number))
        is_told = f"{folder}/{number}.{kind.lower()}" in ended.err
        this = wrong or ("" if line or is_told else "neither predicted nor named")
        if line and is_told:
            this = "predicted and named"
        if kind == "PNG" and line and line["probabilities"] != whole["probabilities"]:
            this = "another prediction in silence"
        (flipped if "bit" in case else cut).add(case, this)
    note = "" if kind == "PNG" else "has no checksum: no crash is asked for"
    flipped.told(count, 9, f"{kind} image, predicted", note)
    cut.told(count, 8, f"{kind} image, predicted", note)


def test_fault_08_09_images_trained_on(reslab, tmp_path, count):
    """A PNG of the training split: refused by name, or the run ends as without."""
    images = pets(tmp_path / "pets", classes=2, train=4, val=2, side=32)
    words = (*FOLDER, "--widths", "4,4,8", *OFTEN, "--data", images, "--workers", "0", "--iterations", "3")
    reslab(*words, "--out", "whole").good()
    whole, draws, tally = end_of(reslab.here / "whole"), Random(94), Tally()
    file = images / "train" / "class0" / "1.png"
    good = file.read_bytes()
    for number, (case, content) in enumerate(damages(good, FLIPS, draws)):
        file.write_bytes(content)
        ended = reslab(*words, "--out", f"run{number}")
        tally.add(case, outcome(ended, same_end(reslab.here / f"run{number}", whole), (str(file),)))
    tally.told(count, 9, "PNG image, trained on")


def test_fault_08_09_parquet(reslab, tmp_path, count):
    """A run's own data set is recognised by its fingerprint; of a fresh run no crash is asked for."""
    folder = tmp_path / "cifar"
    pixels = np.random.default_rng(2).integers(0, 256, (60, 32, 32, 3), np.uint8)
    write_parquet(folder, pixels[:40], side="train")
    write_parquet(folder, pixels[40:], side="test")
    words = (*FOLDER, "--widths", "4,4,8", *OFTEN, "--data", f"cifar10:{folder}", "--iterations", "2")
    reslab(*words, "--out", "run").good()
    scores = ("evaluate", "run", "--json")
    before, draws, scored, fresh = reslab(*scores).good().out, Random(93), Tally(), Tally()
    for file in sorted(folder.glob("*.parquet")):
        good = file.read_bytes()
        for number, (case, content) in enumerate(
            [*damages(good, FLIPS, draws), *flips_near_ends(good, FLIPS // 2, draws)]
        ):
            file.write_bytes(content)
            ended = reslab(*scores)
            scored.add(f"{case} of {file.name}", outcome(ended, ended.out == before, (str(folder), file.name), before))
            if number % 2:
                fresh.add(f"{case} of {file.name}", crash(reslab(*words, "--dry-run")))
        file.write_bytes(good)
    scored.told(count, 9, "parquet file, evaluated")
    fresh.told(count, 9, "parquet file, train --dry-run", "no crash is asked for")


@pytest.mark.skipif(not (REAL.is_dir() and any(REAL.glob("test-*.parquet"))), reason="no CIFAR-10 parquet files here")
def test_fault_09_the_real_parquet(reslab, tmp_path, count):
    """One file of CIFAR-10 itself, cut and flipped: no crash."""
    draws, tally, folder = Random(92), Tally(), tmp_path / "cifar"
    source = next(iter(sorted(REAL.glob("test-*.parquet"))))
    folder.mkdir()
    for name in ("train-0.parquet", "test-0.parquet"):
        shutil.copy(source, folder / name)
    good = source.read_bytes()
    words = (*FOLDER, "--widths", "4,4,8", *OFTEN, "--data", f"cifar10:{folder}", "--dry-run")
    for case, content in [*flips(good, max(1, SLOW_FLIPS // 4), draws), *list(cuts(good, 1, draws))[1::6]]:
        (folder / "train-0.parquet").write_bytes(content)
        tally.add(case, crash(reslab(*words, seconds=200)))
    tally.told(count, 9, "real parquet file of CIFAR-10, train --dry-run", "no crash is asked for")


def test_fault_09_settings(reslab, count):
    """A TOML file is the user's own word: what is still valid counts as said; no crash."""
    good = (
        b'# a run\nmodel = "cifar_resnet8"\nrecipe = "digits-smoke"\nseed = 1\nthreads = 1\nbad_images = "error"\n'
        b'[net]\nwidths = [4, 4, 8]\nshortcut = "B"\n[set]\nlr = 0.05\ndrops = [4, 8]\naugment = "none"\n'
    )
    draws, tally, file = Random(91), Tally(), reslab.here / "run.toml"
    for case, content in damages(good, 2 * FLIPS, draws):
        file.write_bytes(content)
        ended = reslab("train", "--config", file, "--dry-run", "--device", "cpu")
        tally.add(case, crash(ended))
    tally.told(count, 9, "settings in TOML, train --dry-run", "no crash is asked for")
