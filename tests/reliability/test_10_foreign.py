"""Rows 10 and 11: checkpoints of another kind, and files made to do harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from counts import FIELDS
from damage import Tally, copied, crash, refusal
from test_runs import publish
from trained import BRIEF, NEWEST, ROOM, end_of, pets, same_end, sets, unfinished


def test_fault_10_checkpoints_that_do_not_fit(reslab, run, count):
    """Another model, classes, data, format: refused by name, nothing is trained or scored."""
    tally, here = Tally(), reslab.here
    images = pets(here / "pets", train=4, val=2, side=12)
    reslab("train", "cifar_resnet14", *BRIEF[2:], "--out", "deep").good()
    reslab("train", "cifar_resnet8", *BRIEF[2:], "--shortcut", "B", "--out", "projected").good()
    reslab(
        "train",
        "cifar_resnet8",
        *BRIEF[2:],
        "--image-size",
        "32",
        *sets("batch=4"),
        "--data",
        images,
        "--out",
        "pets-run",
    ).good()
    newest = {name: here / name / NEWEST for name in ("run", "deep", "projected", "pets-run")}
    for other in ("deep", "projected", "pets-run"):
        weights = (newest[other] / "weights.safetensors").read_bytes()
        mine = copied(run, here / "mixed")
        publish(mine / NEWEST, "weights.safetensors", weights)
        tally.add(f"weights of {other}, evaluated", refusal(reslab("evaluate", mine), "mixed"))
        tally.add(f"weights of {other}, predicted", refusal(reslab("predict", mine, "x.png"), "mixed"))
        unfinished(mine)
        tally.add(f"weights of {other}, resumed", refusal(reslab(*BRIEF, "--out", mine), "mixed"))
        mine = copied(run, here / "mixed")
        publish(mine / NEWEST, "state.safetensors", (newest[other] / "state.safetensors").read_bytes())
        unfinished(mine)
        ended = reslab(*BRIEF, "--out", mine)  # refused, or gone on from the checkpoint before it
        is_same = not ended.code and same_end(mine, end_of(run))
        tally.add(f"momentum of {other}, resumed", "" if is_same else refusal(ended, "mixed"))
    for words in (("evaluate", "run", "--data", images), ("evaluate", "pets-run", "--data", "digits"),
                  ("evaluate", "run", "pets-run", "--ensemble", "softmax"), (*BRIEF, "--out", "deep"),
                  (*BRIEF, "--data", images, "--out", "run")):  # fmt: skip
        tally.add(" ".join(map(str, words[:3])), refusal(reslab(*words)))
    for form in (99, -1, 0, "1", None, [1], 1e300):
        mine = copied(run, here / "mixed")
        manifest = json.loads((mine / NEWEST / "manifest.json").read_text())
        (mine / NEWEST / "manifest.json").write_text(json.dumps(manifest | {"format": form}))
        tally.add(f"format {form!r}, evaluated", refusal(reslab("evaluate", mine / NEWEST), "mixed"))
        unfinished(mine)
        ended = reslab(*BRIEF, "--out", mine)
        tally.add(f"format {form!r}, resumed", crash(ended))
    for form in (3, 99, -1, "1", None, [1]):
        mine = copied(run, here / "mixed")
        record = json.loads((mine / "run.json").read_text())
        (mine / "run.json").write_text(json.dumps(record | {"format": form}))
        tally.add(f"run.json of format {form!r}", refusal(reslab(*BRIEF, "--out", mine), "mixed"))
    tally.told(count, 10, "checkpoint of another model, classes, data, format: evaluate, predict, resume")


VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**30, -(10**30), 1e308, "", "x", "9" * 5000, [], [[]], {}, {"a": {"b": [1]}},
    [1] * 1000, "../../../etc/passwd", "\0", "\ud800", float("nan"),
)  # fmt: skip


def paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def changed(value: Any, path: tuple, new: Any) -> Any:
    """A copy of `value` with `new` at `path`; without that place if `new` is `changed`."""
    if not path:
        return {} if new is changed else new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is changed:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("verb", ["evaluate", "predict", "resume", "probe"])
def test_fault_10_hostile_facts(reslab, run, count, verb):
    """Every field of `state.json` missing or of another kind, with a manifest that fits: no crash and no hang."""
    facts, draws, tally = json.loads((run / NEWEST / "state.json").read_text()), Random(verb), Tally()
    words = {
        "evaluate": ("evaluate", run, "--json"), "predict": ("predict", run, "x.png"), "resume": (*BRIEF, "--out", run),
        "probe": ("probe", run, "--only", "responses", "--samples", "4"),
    }[verb]  # fmt: skip
    unfinished(run)
    metrics, record = (run / "metrics.jsonl").read_bytes(), (run / "run.json").read_bytes()
    cases = [(path, new) for path in paths(facts) for new in (*VALUES, changed)]
    for path, new in draws.sample(cases, min(len(cases), FIELDS if verb in ("evaluate", "resume") else FIELDS // 3)):
        for step in sorted((run / "checkpoints").glob("step-*")):
            publish(step, "state.json", json.dumps(changed(facts, path, new)).encode())
        (run / "metrics.jsonl").write_bytes(metrics)
        (run / "run.json").write_bytes(record)
        ended = reslab(*words, memory=ROOM)
        case = f"{'.'.join(map(str, path))} {'missing' if new is changed else f'= {str(new)[:20]!r}'}"
        tally.add(case, crash(ended))
    tally.told(count, 10, f"hostile state.json with a manifest that fits, {verb}")
