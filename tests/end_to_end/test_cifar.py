"""The real CIFAR-10, read, trained on for a moment and scored, through the command line."""

import json
import os
from pathlib import Path

import pytest

from .shell import run

PATH = Path(os.environ.get("RESLAB_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10")

pytestmark = pytest.mark.skipif(
    not PATH.exists(), reason="no CIFAR-10 here: set RESLAB_CIFAR10 to a folder or archive that has it"
)


@pytest.mark.slow
def test_thirty_iterations_and_a_score(tmp_path):
    out = tmp_path / "run"
    _, told = run(
        "train", "cifar_resnet8", "--data", f"cifar10:{PATH}", "--widths", "8,8,16", "--recipe", "paper-cifar-smoke",
        "--iterations", 30, "--threads", 1, "--out", out,
    )  # fmt: skip
    record = json.loads((out / "run.json").read_text())
    assert record["data"]["sizes"] == {"train": 50_000, "test": 10_000}
    assert "finished 30 iterations" in told
    score, _ = run("evaluate", out, "--json", "--threads", 1)
    (found,) = json.loads(score)
    assert (found["n"], found["split"], found["iteration"]) == (10_000, "test", 30)
    assert found["top1_error"] < 85.0
    assert [c["n"] for c in found["per_class"]] == [1000] * 10
    last = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    clean = next(m for m in last if m["kind"] == "eval" and m["split"] == "train")
    assert clean["n"] == 50_000
    if any(PATH.glob("test-*.parquet")):
        assert record["data"]["notes"] == ["82 of 50,000 train and 21 of 10,000 test images are not bit-exact"]
