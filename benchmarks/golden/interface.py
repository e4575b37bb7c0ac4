"""The row of interface facts: names, fields and keys that users and records rely on, without their values."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from benchmarks.golden.collection import (
    Collection,
    checkpoints_of,
    reslab,
    reslab_json,
    reslab_lines,
    squares,
    trained,
)
from benchmarks.golden.values import Entries, exact, key_paths


def interface(collection: Collection) -> Entries:
    """Return recipes with their fields, models, and the key paths of every JSON output and record."""
    entries: Entries = {}
    for line in reslab("recipe", "list").splitlines():
        recipe = line.split()[0]
        fields = reslab_json("recipe", "show", recipe)
        entries |= {f"recipes/{recipe}/{key}": exact(value) for key, value in fields.items()}
    models = [row["name"] for row in reslab_json("list")]
    entries |= {f"models/{name}": "present" for name in models}
    for source, output in _outputs(collection).items():
        entries |= {f"keys/{name}": text for name, text in key_paths(output, source).items()}
    return entries | _events() | _records()


def _outputs(collection: Collection) -> dict[str, Any]:
    """Return a value of every `--json` output."""
    run = trained(0)
    studies = sorted(path.parent for path in collection.own.glob("*/study.json"))
    return {
        "list": reslab_json("list"),
        "describe": [reslab_json("describe", "resnet18"), reslab_json("describe", "cifar_resnet14", "--order", "pre")],
        "recipe show": reslab_json("recipe", "show", "digits"),
        "evaluate": reslab_json("evaluate", run, "--threads", 1),
        "probe": reslab_json("probe", run, "--threads", 1, "--samples", 32),
        "predict": reslab_lines("predict", run, squares(8, "L"), "--threads", 1),
        "claims": reslab_json("claims", "--records", studies[-1]) if studies else [],
    }


def _events() -> Entries:
    """Return the kinds and keys of events, and those of metrics.jsonl, of a run that is interrupted and resumed."""
    import reslab as package
    from reslab.errors import Interrupted

    out, events = Path("interrupted"), list[dict[str, Any]]()

    def tell(event: dict[str, Any]) -> None:
        events.append(event)
        if event["kind"] == "train" and event["iteration"] == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    def train() -> None:
        package.train(
            "cifar_resnet8", recipe="digits-smoke", out=out, iterations=12, threads=1, engine="eager", tell=tell,
            set={"warmup_from_depth": 8, "warmup_error": 95.0, "log_every": 1, "probe_every": 6},
        )  # fmt: skip

    try:
        train()
    except Interrupted:
        train()
    train()
    entries = {f"events/{key}": text for event in events for key, text in key_paths(event, event["kind"]).items()}
    for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        facts = json.loads(line)
        entries |= {f"keys/{key}": text for key, text in key_paths(facts, f"metrics.jsonl {facts['kind']}").items()}
    newest = checkpoints_of(out)[-1]
    for file in (out / "run.json", newest / "state.json", newest / "manifest.json"):
        entries |= _keys(file, file.name)
    entries["keys/files of a checkpoint"] = exact(sorted(path.name for path in newest.iterdir()))
    entries["keys/files of a run"] = exact(sorted(path.name for path in out.iterdir() if path.name[0] != "."))
    return entries


def _records() -> Entries:
    """Return the keys of a study's files."""
    out = Path("analytic-study")
    reslab("reproduce", "C10", "--depths", "8,14", "--seeds", 1, "--out", out, "--processes", 1)
    entries = _keys(out / "study.json", "study.json")
    for file in sorted((out / "measured").glob("*.json")):
        entries |= _keys(file, "measured")
    return entries


def _keys(file: Path, name: str) -> Entries:
    facts = json.loads(file.read_text(encoding="utf-8"))
    paths = {f"keys/{key}": text for key, text in key_paths(facts, name).items()}
    return paths | ({f"format/{name}": exact(facts["format"])} if "format" in facts else {})
