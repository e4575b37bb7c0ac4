"""Row 11: files made to do harm: pickles under every name, safetensors with absurd headers."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

from commands import Canary
from counts import some
from damage import Tally, copied, crash, refusal
from test_runs import publish
from trained import BRIEF, ROOM, TINY, unfinished


def is_safe(ended, mark: Path) -> str:
    if mark.exists():
        mark.unlink()
        return "the pickle was run"
    return crash(ended)


def test_fault_11_pickles_as_every_path(reslab, run, count):
    """Under every name and for every path that a verb takes; the file that it would leave never appears."""
    import torch

    mark, tally, here = reslab.here / "mark", Tally(), reslab.here
    poison = Canary(mark)
    torch.save({"weights": poison}, here / "zip")
    contents = {
        "pickle": pickle.dumps(poison),
        "old pickle": pickle.dumps(poison, 0),
        "torch": (here / "zip").read_bytes(),
    }
    pickle.loads(contents["pickle"])
    assert mark.exists()  # the canary sings
    mark.unlink()
    for kind, content in contents.items():
        for suffix in some(("pt", "pth", "th", "pkl", "safetensors", "json", "toml", "parquet", "png", "tar.gz")):
            file = here / f"model.{suffix}"
            file.write_bytes(content)
            for words in (
                ("evaluate", file), ("probe", file), ("predict", file, "x.png"), ("predict", run, file),
                ("report", file), ("figure", "fig6", file), ("claims", "--records", file),
                (*TINY, "--data", file, "--dry-run"), (*TINY, "--data", f"cifar10:{file}", "--dry-run"),
                ("train", "--config", file), ("evaluate", run, "--data", f"cifar10:{file}"),
                ("import", file, "--out", "model"), ("export", file, "--out", "a.pth"),
            ):  # fmt: skip
                ended = reslab(*words)
                tally.add(f"{kind}: {' '.join(map(str, words))}", is_safe(ended, mark) or refusal(ended))
            if kind == "torch":  # of the others a few names are enough
                continue
            if suffix == "safetensors":
                break
    tally.told(count, 11, "pickle under ten names as every path of every verb")


def test_fault_11_pickles_in_place_of_every_file(reslab, run, count):
    mark, tally = reslab.here / "mark", Tally()
    raw = pickle.dumps(Canary(mark))
    names = ("weights.safetensors", "state.safetensors", "state.json", "manifest.json")
    for name in names:
        mine = copied(run, reslab.here / "mine")
        for step in (mine / "checkpoints").iterdir():
            if name == "manifest.json":
                (step / name).write_bytes(raw)
            else:
                publish(step, name, raw)
        unfinished(mine)
        for words in (("evaluate", mine), ("predict", mine, "x.png"), ("probe", mine), (*BRIEF, "--out", mine)):
            ended = reslab(*words)
            tally.add(f"{name}: {words[0]}", is_safe(ended, mark) or refusal(ended, "mine"))
    for name in ("run.json", "metrics.jsonl"):
        mine = copied(run, reslab.here / "mine")
        (mine / name).write_bytes(raw)
        for words in (("evaluate", mine), ("report", mine), (*BRIEF, "--out", mine)):
            tally.add(f"{name}: {words[0]}", is_safe(reslab(*words), mark))
    tally.told(count, 11, "pickle in place of every file of a run")


def headers() -> dict[str, bytes]:
    """Files that claim to be safetensors."""

    def made(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + body

    def one(shape: Any, offsets: Any, kind: Any = "F32") -> dict:
        return {"stem.conv.weight": {"dtype": kind, "shape": shape, "data_offsets": offsets}}

    return {
        "a length of 2^63": made(one([1], [0, 4]), bytes(4), 1 << 63),
        "a length of 2^64-1": made({}, b"", (1 << 64) - 1),
        "a length of 0": made({}, b"", 0), "a length of 100 GB": made(one([1], [0, 4]), bytes(4), 100 << 30),
        "a length beyond the file": made(one([1], [0, 4]), bytes(4), 4096), "seven bytes": b"\0" * 7, "nothing": b"",
        "overlapping": made(one([4], [0, 16]) | {"b": one([4], [8, 24])["stem.conv.weight"]}, bytes(24)),
        "out of range": made(one([4], [0, 16]), bytes(4)), "backwards": made(one([4], [16, 0]), bytes(16)),
        "negative": made(one([4], [-16, 0]), bytes(16)), "a hole": made(one([4], [64, 80]), bytes(80)),
        "a huge shape": made(one([1 << 40, 1 << 20], [0, 16]), bytes(16)),
        "a shape that overflows": made(one([1 << 32, 1 << 32], [0, 0]), b""),
        "10 GB that are not there": made(one([2_500_000_000], [0, 10_000_000_000]), bytes(16)),
        "an unknown type": made(one([1], [0, 4], "F31"), bytes(4)),
        "a shape of words": made(one(["x"], [0, 4]), bytes(4)),
        "a list": made([1, 2]), "no JSON": made(b"{{{{"), "brackets": made(b"[" * 100_000),
        "a shape of 0": made(one([0], [0, 0])), "no dimension": made(one([], [0, 4]), bytes(4)),
        "200,000 names": made({f"n{i}": one([0], [0, 0])["stem.conv.weight"] for i in range(200_000)}),
    }  # fmt: skip


def test_fault_11_hostile_safetensors(reslab, run, count):
    """Absurd lengths, offsets and shapes in weights and state, under a limit of memory: refused by name."""
    tally = Tally()
    for case, content in some(headers().items()):
        for name in ("weights.safetensors", "state.safetensors"):
            mine = copied(run, reslab.here / "mine")
            for step in (mine / "checkpoints").iterdir():
                publish(step, name, content)
            unfinished(mine)
            for words in (("evaluate", mine), (*BRIEF, "--out", mine)):
                ended = reslab(*words, memory=ROOM)
                tally.add(f"{case} in {name}, {words[0]}", refusal(ended, "mine"))
    tally.told(count, 11, "safetensors with absurd lengths, offsets and shapes: evaluate, resume")
