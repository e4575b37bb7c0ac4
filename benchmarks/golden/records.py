"""Rows on committed records: every claim judged on every study, every checkpoint read, figures computed afresh."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.golden.collection import (
    Collection,
    checkpoints_of,
    cifar_test,
    copied,
    reslab,
    reslab_json,
    reslab_lines,
    squares,
)
from benchmarks.golden.scores import predictions
from benchmarks.golden.values import Entries, compared, exact, flat, of_array, of_bytes

WORDING = frozenset({"statement", "sentence", "sentence_ko", "problems", "records", "command", "data_notes"})
CIFAR_IMAGES = 1_000


def _shelves(collection: Collection) -> dict[str, Path]:
    """Return the records that are read: the tree's own, and those of the tree it is compared with."""
    return {"own": collection.own, "base": collection.base}


def claims(collection: Collection) -> Entries:
    """Return figures and verdicts of every claim on every committed study, without the wording."""
    entries: Entries = {}
    for shelf, folder in _shelves(collection).items():
        studies = sorted(path.parent for path in folder.glob("*/study.json"))
        if "claims" in collection.planted and shelf == "own":
            studies = [_with_another_digit(studies[0]), *studies[1:]]
        for study in studies:
            name = f"{shelf}/{study.name}"
            for claim in reslab_json("claims", "--records", study):
                (judgement,) = claim["studies"]
                entries[f"{name}/{claim['id']}/problems"] = exact(len(judgement["problems"]))
                entries[f"{name}/recipe"] = exact(judgement.pop("recipe"))
                entries |= flat(compared(judgement, WORDING), f"{name}/{claim['id']}")
        words = [word for study in studies for word in ("--records", study)]
        for claim in reslab_json("claims", *words):
            entries[f"{shelf}/together/{claim['id']}"] = exact([claim["verdict"], len(claim["studies"])])
    return entries


def _with_another_digit(study: Path) -> Path:
    """Return a copy of a study, one digit of the last error measured in one of its runs changed."""
    copy = copied(study, f"planted/{study.name}")
    file = sorted(copy.glob("*/metrics.jsonl"))[0]
    lines = file.read_text(encoding="utf-8").split("\n")
    for place in reversed(range(len(lines))):
        if '"kind": "eval"' in lines[place] and '"split": "test"' in lines[place]:
            lines[place] = re.sub(
                r'("top1_error": \d*?)(\d)([.,])',
                lambda digit: f"{digit[1]}{int(digit[2]) ^ 1}{digit[3]}",
                lines[place],
            )
            break
    file.write_text("\n".join(lines), encoding="utf-8")
    summary = file.with_name("summary.json")
    summary.unlink(missing_ok=True)  # or its scores would count before the line's
    return copy


def checkpoints(collection: Collection) -> Entries:
    """Return names, weights and predictions of every committed checkpoint; of its test images if they are there."""
    entries: Entries = {}
    for shelf, folder in _shelves(collection).items():
        for number, checkpoint in enumerate(checkpoints_of(folder)[: 2 if collection.quick else None]):
            name = f"{shelf}/{checkpoint.relative_to(folder).as_posix()}"
            if "checkpoints" in collection.planted and (shelf, number) == ("own", 0):
                checkpoint = copied(checkpoint, "planted/checkpoint")
                collection.layout.republish(checkpoint)
            facts = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
            entries |= _read(collection, name, checkpoint, facts)
            on_cifar = facts["data"].get("name", "cifar10") == "cifar10"
            if shelf == "own" and on_cifar and not collection.quick and collection.has_cifar("checkpoints"):
                entries |= _on_test_images(collection, name, checkpoint)
    return entries


def _read(collection: Collection, name: str, checkpoint: Path, facts: dict[str, Any]) -> Entries:
    weights, spec = collection.layout.weights(checkpoint), facts["spec"]
    entries = {
        f"{name}/tensor names": of_bytes("\n".join(weights).encode()),
        f"{name}/weights": of_bytes("".join(map(of_array, weights.values())).encode()),
    }
    files = squares(spec["image_size"], "L" if spec["in_channels"] == 1 else "RGB")
    for precision in ("fp32", "bf16"):
        entries |= {f"{name}/{key}": text for key, text in predictions(checkpoint, files, precision).items()}
    if facts["data"].get("name") == "digits":
        (scores,) = reslab_json("evaluate", checkpoint, "--data", "digits", "--threads", 1)
        entries |= flat(compared(scores, frozenset({"checkpoint"})), f"{name}/digits")
    return entries


def _on_test_images(collection: Collection, name: str, checkpoint: Path) -> Entries:
    """Return how many of the first test images of CIFAR-10 are wrong, and the SHA-256 of every probability."""
    files = cifar_test(collection, CIFAR_IMAGES)
    lines = reslab_lines("predict", checkpoint, files, "--top", 10, "--precision", "fp32", "--threads", 1)
    wrong = sum(Path(line["file"]).parent.name != line["classes"][0] for line in lines)
    return {
        f"{name}/cifar10/images": exact(len(lines)),
        f"{name}/cifar10/wrong": exact(wrong),
        f"{name}/cifar10/probabilities": of_bytes("\n".join(map(exact, lines)).encode()),
    }


MEASURED = ("C7", "C10", "C22", "C24")  # claims whose figures are computed from fresh nets, in seconds


def measurements(collection: Collection) -> Entries:
    """Return the figures of claims that train nothing, computed in a small study on digits."""
    words = MEASURED[:2] if collection.quick else MEASURED
    reslab("reproduce", *words, "--depths", "8,14", "--seeds", 1, "--out", "study", "--processes", 1)
    entries: Entries = {}
    for file in sorted(Path("study/measured").glob("*.json")):
        measured = json.loads(file.read_text(encoding="utf-8"))
        entries |= flat(measured["figures"], f"{file.stem}/figures")
        entries[f"{file.stem}/version, seed, runs"] = exact([measured[key] for key in ("version", "seed", "runs")])
    study = json.loads(Path("study/study.json").read_text(encoding="utf-8"))
    entries |= flat(compared(study), "study.json")
    for claim in reslab_json("claims", *words, "--records", "study"):
        (judgement,) = claim["studies"]
        entries |= flat(compared(judgement, WORDING), f"{claim['id']}")
    return entries
