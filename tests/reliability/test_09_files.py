"""Rows 8 and 9 for all other files that a verb reads: studies, committed records, kernels, indexes, data, settings."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
from counts import FAST_FLIPS, FLIPS, LENGTHS, SLOW_FLIPS
from damage import Tally, copied, crash, cuts, flips, outcome
from PIL import Image
from test_cifar import REAL, write_parquet
from trained import FOLDER, OFTEN, TINY, end_of, pets, same_end, sets

RESULTS = Path(__file__).parents[2] / "results"
STUDY = RESULTS / "digits"


def damages(content: bytes, number: int, draws: Random) -> list[tuple[str, bytes]]:
    return [*flips(content, number, draws), *cuts(content, LENGTHS // 2, draws)]


# -- studies


@pytest.fixture
def study(reslab) -> Path:
    """A copy of a committed study, with what holds over all of results/ beside it."""
    results = reslab.here / "results"
    results.mkdir()
    for file in RESULTS.iterdir():
        if file.is_file():
            shutil.copy2(file, results)
    return copied(STUDY, results / "digits")


def kinds(study: Path) -> dict[str, list[Path]]:
    """Files of a study by kind."""
    return {
        "study.json": [study / "study.json"],
        "measured/*.json": sorted(study.glob("measured/*.json")),
        "run.json": sorted(study.glob("*/run.json")),
        "metrics.jsonl": sorted(study.glob("*/metrics.jsonl")),
    }


@pytest.mark.parametrize("kind", ["study.json", "measured/*.json", "run.json", "metrics.jsonl"])
def test_fault_08_09_claims_of_a_study(reslab, study, count, kind):
    """Every verdict, figure and sentence is as without the damage, or the file is named."""
    words = ("claims", "--records", study, "--json")
    before, draws, flipped, cut = reslab(*words).good().out, Random(kind), Tally(), Tally()
    for number in range(FLIPS):
        file = draws.choice(kinds(study)[kind])
        good = file.read_bytes()
        cases = [next(flips(good, 1, draws))] if number % 2 else [draws.choice(list(cuts(good, 4, draws)))]
        for case, content in cases:
            file.write_bytes(content)
            ended = reslab(*words)
            wrong = outcome(ended, ended.out == before, (file.name, file.parent.name), before)
            (flipped if "bit" in case else cut).add(f"{case} of {file.relative_to(study)}", wrong)
        file.write_bytes(good)
    assert reslab(*words).good().out == before
    flipped.told(count, 9, f"study: {kind}, claims")
    cut.told(count, 8, f"study: {kind}, claims")


def test_fault_09_any_committed_file(reslab, count):
    """The whole of results/, found by `claims` itself."""
    shutil.copytree(RESULTS, reslab.here / "results")
    before, draws, tally = reslab("claims", "--json").good().out, Random(99), Tally()
    files = sorted(f for f in (reslab.here / "results").rglob("*.json*") if f.is_file())
    for _ in range(2 * SLOW_FLIPS):
        file = draws.choice(files)
        good = file.read_bytes()
        ((case, content),) = flips(good, 1, draws)
        file.write_bytes(content)
        ended = reslab("claims", "--json")
        wrong = outcome(ended, ended.out == before, (file.name, file.parent.name), before)
        tally.add(f"{case} of {file.relative_to(reslab.here)}", wrong)
        file.write_bytes(good)
    tally.told(count, 9, "committed results: any file, claims")


def test_fault_09_report_of_a_study(reslab, study, count):
    page, draws, tally = reslab.here / "page.html", Random(98), Tally()
    words = ("report", study, "--out", page)
    reslab(*words).good()
    drawn = page.read_text()
    for kind, files in kinds(study).items():
        for _ in range(max(1, SLOW_FLIPS // 4)):
            file = draws.choice(files)
            good = file.read_bytes()
            ((case, content),) = flips(good, 1, draws)
            file.write_bytes(content)
            page.unlink(missing_ok=True)
            ended = reslab(*words)
            text = page.read_text() if page.exists() else ""
            names = (file.name, file.parent.name)
            wrong = outcome(ended, text == drawn, names)
            known = set(drawn.splitlines())
            if wrong and any(n in line for line in text.splitlines() if line not in known for n in names):
                wrong = ""
            tally.add(f"{case} of {kind}", wrong)
            file.write_bytes(good)
    tally.told(count, 9, "study: all kinds of file, report")


@pytest.fixture(scope="module")
def small_study(server, tmp_path_factory) -> Path:
    """A study of two nets, two seeds, twelve updates each, made by `reproduce`."""
    here = tmp_path_factory.mktemp("study")
    server(*reproduce(here / "study"), cwd=here, seconds=300).good()
    return here / "study"


def reproduce(out: Path) -> tuple[object, ...]:
    return (
        "reproduce", "degradation", "--depths", "8,14", "--seeds", "2", "--recipe", "digits-smoke", *sets("drops=8"),
        "--scale", "0.6", "--processes", "1", "--device", "cpu", "--out", out,
    )  # fmt: skip


def test_fault_08_09_reproduced(reslab, small_study, count):
    """`reproduce` over a finished study with one damaged file: refused, named, made again, or the same verdicts."""
    draws, tally = Random(97), Tally()
    study = copied(small_study, reslab.here / "study")
    before = reslab("claims", "--records", study, "--json").good().out
    for number in range(2 * SLOW_FLIPS):
        study = copied(small_study, reslab.here / "study")
        files = [f for of in kinds(study).values() for f in of]
        file = draws.choice(files)
        good = file.read_bytes()
        ((case, content),) = flips(good, 1, draws) if number % 2 else [draws.choice(list(cuts(good, 4, draws)))]
        file.write_bytes(content)
        ended = reslab(*reproduce(study), seconds=120)
        after = reslab("claims", "--records", study, "--json")
        wrong = crash(ended) or outcome(ended, after.out == before, (file.name, file.parent.name, "damaged"))
        tally.add(f"{case} of {file.relative_to(study)}", wrong)
    tally.told(count, 9, "study: all kinds of file, reproduce")


# -- caches


def test_fault_08_09_compiled_kernels(reslab, tmp_path, count):
    """A damaged library in the cache: made again or not used; the numbers of a run never change."""
    cache, images = tmp_path / "cache", pets(tmp_path / "pets", train=8, val=2)
    words = (*FOLDER, *OFTEN, *sets("save_every=4"), "--data", images, "--iterations", "4", "--engine", "fused")
    first = reslab(*words, "--out", "whole", XDG_CACHE_HOME=str(cache), seconds=240)
    if first.code == 2 and "--engine" in first.last:
        pytest.skip(f"no kernels on this machine: {first.last}")
    whole, draws, tally = end_of(reslab.here / "whole"), Random(96), Tally()
    for library in sorted(cache.rglob("*.so")):
        good = library.read_bytes()
        for number, (case, content) in enumerate([*flips(good, SLOW_FLIPS, draws), *list(cuts(good, 1, draws))[::5]]):
            library.chmod(0o755)
            library.write_bytes(content)
            out = reslab.here / f"{library.stem}-{number}"
            ended = reslab(*words, "--out", out, XDG_CACHE_HOME=str(cache), seconds=240)
            wrong = crash(ended) or ("" if same_end(out, whole) else f"ends elsewhere: {ended.last[:100]}")
            tally.add(f"{case} of {library.name}", wrong)
        library.write_bytes(good)
    tally.told(count, 9, "compiled kernels in the cache, trained with")


def test_fault_08_09_kept_folder_index(reslab, tmp_path, count):
    """The index of a folder of 10,000 files: read anew when it is damaged; the run is the same."""
    cache, root = tmp_path / "cache", tmp_path / "many"
    content = {}
    for label in range(2):
        (root / "train" / f"class{label}").mkdir(parents=True)
        pixels = np.full((8, 8, 3), 40 + 150 * label, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "one.png")
        content[label] = (tmp_path / "one.png").read_bytes()
    for i in range(10_400):
        (root / "train" / f"class{i % 2}" / f"{i}.png").write_bytes(content[i % 2])
    time.sleep(2.5)  # a folder that has just changed is not kept
    words = (*TINY, "--image-size", "8", "--data", root, "--val-share", "0.01", "--workers", "0", "--iterations", "1",
             *sets("batch=4", "augment=none", "clean_every=99", "centre=channel", "scale=255"))  # fmt: skip
    first = reslab(*words, "--out", "whole", XDG_CACHE_HOME=str(cache), seconds=200).good()
    files = [f for f in cache.rglob("*") if f.is_file() and f.suffix != ".so"]
    if not files:
        pytest.skip(f"no index is kept: {first.last}")
    whole, draws, tally = end_of(reslab.here / "whole"), Random(95), Tally()
    for file in files:
        good = file.read_bytes()
        cases = [
            *flips(good, SLOW_FLIPS, draws),
            *flips_near_ends(good, SLOW_FLIPS, draws),
            *list(cuts(good, 1, draws))[::4],
        ]
        for number, (case, damaged) in enumerate(cases):
            file.write_bytes(damaged)
            out = reslab.here / f"run{number}"
            ended = reslab(*words, "--out", out, XDG_CACHE_HOME=str(cache), seconds=200)
            wrong = crash(ended) or ("" if same_end(out, whole) else f"ends elsewhere: {ended.last[:100]}")
            tally.add(case, wrong)
            shutil.rmtree(out, ignore_errors=True)
            file.write_bytes(good)
    tally.told(count, 9, "kept index of a folder, trained with")


def flips_near_ends(content: bytes, number: int, draws: Random) -> list[tuple[str, bytes]]:
    """Flips within the first 64 and the last 2,000 bytes: positions, counts and keys."""
    cases = []
    for i in range(number):
        place = draws.randrange(64) if i % 2 else len(content) - 1 - draws.randrange(min(2000, len(content)))
        flipped = bytearray(content)
        flipped[place] ^= 1 << draws.randrange(8)
        cases.append((f"bit of byte {place}", bytes(flipped)))
    return cases


# -- data and settings


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
