"""Small runs that the tests kill, damage and compare; folders of images to train them on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image
from test_resume import lines

TINY = ("train", "cifar_resnet8", "--widths", "4,4,8", "--threads", "1", "--device", "cpu", "--recipe", "digits-smoke")
FOLDER = ("train", "cifar_resnet8", "--threads", "1", "--device", "cpu", "--recipe", "digits-smoke")
BRIEF = (*TINY, "--iterations", "4", "--set", "save_every=2")
NEWEST = Path("checkpoints") / "step-00000004"  # of such a run
ROOM = 3 << 30  # bytes of memory beyond a process's start that suffice for any of these runs
HASH = re.compile(r"(\d+:)?[0-9a-f]{16,}")
MARKS = ("resume", "warning")  # lines that tell of the resuming itself
FILES = ("weights.safetensors", "state.safetensors")


def sets(*fields: str) -> tuple[str, ...]:
    """`sets("batch=8", …)` as words of the command line."""
    return tuple(word for f in fields for word in ("--set", f))


# 12 updates an epoch; measured and logged often, saved after every update
OFTEN = sets("batch=8", "drops=30,45", "log_every=1", "save_every=1", "eval_every=7", "clean_every=14")


def pets(root: Path, *, classes: int = 3, train: int = 32, val: int = 5, side: int = 40) -> Path:
    """Class folders with random PNG images."""
    draws = np.random.default_rng(5)
    for room, number in (("train", train), ("val", val)):
        for label in range(classes):
            folder = root / room / f"class{label}"
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = draws.integers(0, 200, (side, side, 3), np.uint8) + np.uint8(18 * label)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def figures(out: Path) -> list[dict]:
    """All measurements of a run but the clock, lines that tell of resuming, and what protects the lines themselves."""
    return [
        {k: v for k, v in line.items() if k != "clock" and not (isinstance(v, str) and HASH.fullmatch(v))}
        for line in lines(out)
        if line["kind"] not in MARKS
    ]


def end_of(out: Path) -> tuple[dict[str, bytes], list[dict]]:
    """What a finished run is compared by: weights, momentum and sums, bit by bit, and its measurements."""
    steps = sorted((out / "checkpoints").glob("step-*"))
    return {name: (steps[-1] / name).read_bytes() for name in FILES} if steps else {}, figures(out)


def same_end(out: Path, whole: tuple[dict[str, bytes], list[dict]]) -> bool:
    try:
        return end_of(out) == whole
    except (OSError, ValueError, KeyError, TypeError):
        return False


def unfinished(run: Path) -> None:
    """Take the marks of its end from a run, so that the same command resumes it from its newest checkpoint."""
    content = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join(line for line in content if b'"end"' not in line))


def rewrite(path: Path, record: dict) -> None:
    """Write a record as the package does: sealed, if it seals records."""
    try:
        from reslab.store.sealed import write_sealed as write
    except ImportError:
        from reslab.store.files import write_json as write
    write(path, record)


def orphans(out: Path) -> list[str]:
    """Unfinished files below a folder."""
    return [str(p.relative_to(out)) for p in out.rglob(".writing-*")]


def iteration_of(out: Path) -> int:
    """The last update in the metrics, while they are being written; -1 before the first line."""
    try:
        content = (out / "metrics.jsonl").read_bytes()
    except OSError:
        return -1
    found = re.findall(rb'"kind": "train", "iteration": (\d+)', content)
    return int(found[-1]) if found else -1
