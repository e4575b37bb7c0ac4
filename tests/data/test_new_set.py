"""A new set known by a word is a file of data/sets and a line of the registry: tried in a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reslab

STRIPES = """
import numpy as np

from reslab.data.splits import Data, Memory, fingerprint

CLASSES, CHANNELS, SIZE = ("rows", "columns", "falling", "rising"), 1, 12


def read(path, splits):
    y, x = np.mgrid[:SIZE, :SIZE]
    labels = np.arange(400) % 4
    waves = np.stack([[y, x, y + x, y - x][k] + number // 4 for number, k in enumerate(labels)])
    images = ((waves % 6 < 3) * 200).astype(np.uint8)[..., None]
    parts = [Memory(images[half], labels[half]) for half in (slice(320), slice(320, None))]
    return Data("stripes", CLASSES, CHANNELS, SIZE, parts[0], None, parts[1], fingerprint([images, labels]))
"""
LINE = '    "stripes": KnownSet("stripes", "stripes", recipe="digits"),\n'


@pytest.mark.slow
def test_a_new_set_is_a_file_and_a_line(tmp_path):
    package = tmp_path / "reslab"
    shutil.copytree(Path(reslab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "data" / "sets" / "stripes.py").write_text(STRIPES)
    registry = (package / "data" / "known.py").read_text()
    assert registry.count("KNOWN = {\n") == 1
    (package / "data" / "known.py").write_text(registry.replace("KNOWN = {\n", f"KNOWN = {{\n{LINE}"))

    def verb(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "reslab", *words], capture_output=True, text=True, timeout=240, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip

    done = verb("train", "cifar_resnet8", "--data", "stripes", "--iterations", "2", "--threads", "1")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    record = json.loads((run / "run.json").read_text())
    assert run.name.startswith("cifar_resnet8-stripes-digits-s0")
    assert {key: record["spec"][key] for key in ("classes", "in_channels", "image_size")} == {
        "classes": 4, "in_channels": 1, "image_size": 12,
    }  # fmt: skip
    assert (record["data"]["kind"], record["data"]["source"]) == ("set", "stripes")
    (scores,) = json.loads(verb("evaluate", str(run), "--threads", "1", "--json").stdout)
    assert (scores["n"], scores["data"], scores["split"]) == (80, "stripes", "test")
    assert [one["class"] for one in scores["per_class"]] == ["rows", "columns", "falling", "rising"]
    assert "known: stripes, digits, cifar10:PATH" in verb("train", "cifar_resnet8", "--data", "nonsense").stderr
    assert "did you mean stripes?" in verb("train", "cifar_resnet8", "--data", "stripez").stderr
