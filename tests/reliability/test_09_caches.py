"""Rows 8 and 9 for what is kept from run to run: compiled kernels and the index of a large folder."""

from __future__ import annotations

import shutil
import time
from random import Random

import numpy as np
import pytest
from counts import SLOW_FLIPS
from damage import Tally, crash, cuts, flips, flips_near_ends
from PIL import Image
from trained import FOLDER, OFTEN, TINY, end_of, pets, same_end, sets


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
