"""Every option of every verb with values that nobody means: one line or an answer, never a traceback, never a hang."""

import itertools
import os
import random

import pytest
import torch
from cases import some
from commands import SMOKE, verbs

from benchmarks.origins import cifar6n2
from reslab.cli.verbs import app
from reslab.errors import LONGEST

LONG = "x" * 5000
HOSTILE = {
    "huge": "99999999999999999999",
    "hugely negative": "-99999999999999999999",
    "beyond int64": "9223372036854775808",
    "int64": "9223372036854775807",
    "zero": "0",
    "negative": "-1",
    "a fraction": "1.5",
    "nan": "nan",
    "inf": "inf",
    "minus inf": "-inf",
    "beyond a double": "1e400",
    "empty": "",
    "a space": " ",
    "other digits": "١٢",
    "long": LONG,
    "many digits": "9" * 5000,
    "many numbers": "1," * 3000 + "1",
    "a line break": "a\nb",
    "an escape": "\x1b[31mred",
    "no UTF-8": "caf\udce9",
    "a comma": ",",
    "an equals sign": "=",
    "a pair of long words": f"{LONG}={LONG}",
    "a batch of many digits": "batch=" + "9" * 5000,
    "a huge count": "iterations=99999999999999999999",
    "a huge list": "drops=1,99999999999999999999",
    "a huge rate": "lr=1e400",
    "a pipe": "{pipe}",
    "a device": "/dev/full",
    "a folder": "{folder}",
    "a file of no kind": "{file}",
}
# A command of each verb that would do little; options are added to it.
BASE = {
    ("list",): (),
    ("describe",): ("resnet18",),
    ("draw",): ("resnet18", "--out", "{new}.svg"),
    ("check",): ("digits",),
    ("train",): (*SMOKE[1:], "--iterations", "1", "--dry-run"),
    ("evaluate",): ("{run}",),
    ("probe",): ("cifar_resnet8", "--samples", "4", "--only", "responses"),
    ("audit",): ("cifar_resnet8",),
    ("predict",): ("{run}", "{image}"),
    ("import",): ("{weights}", "--out", "{new}"),
    ("export",): ("{run}", "--out", "{new}.safetensors"),
    ("recipe", "list"): (),
    ("recipe", "show"): ("digits",),
    ("reproduce",): ("degradation", "--data", "./nowhere", "--out", "{new}"),
    ("claims",): (),
    ("notes",): ("000.6",),
    ("report",): ("{run}", "--out", "{new}.html"),
    ("doctor",): ("--out", "{new}"),
    ("figure",): ("table1", "--out", "{new}.svg"),
}


def options():
    """(words of the verb, option or "" for a word of its own), all of them."""
    for path, verb in verbs(app):
        yield path, ""
        for argument in verb.assemble_argument_collection(parse_docstring=False):
            if argument.parse and argument.names and argument.names[0].startswith("--"):
                yield path, argument.names[0]


ALL = list(options())


def test_every_verb_is_fuzzed():
    assert {path for path, _ in ALL} == BASE.keys()
    assert ("train",) in BASE
    assert (("train",), "--seed") in ALL
    assert len(ALL) > 100


class Places:
    """What stands for {run}, {pipe} … in a command."""

    def __init__(self, tmp_path, trained, images):
        self.folder, self.number = tmp_path, 0
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "empty").mkdir()
        (tmp_path / "noise").write_bytes(bytes(range(256)) * 8)
        torch.save(cifar6n2(8).state_dict(), tmp_path / "weights.pt")
        self.names = {
            "run": trained, "image": images / "val" / "cat" / "0.png", "pipe": tmp_path / "pipe",
            "folder": tmp_path / "empty", "file": tmp_path / "noise", "weights": tmp_path / "weights.pt",
        }  # fmt: skip

    def filled(self, words):
        self.number += 1
        names = {**self.names, "new": self.folder / f"new{self.number}"}
        for word in words:
            yield word.format(**names) if isinstance(word, str) and word.startswith("{") else word


@pytest.fixture
def places(tmp_path, trained, images):
    return Places(tmp_path, trained, images)


def checked(told):
    """An answer, or one line that is short enough to read and blames no fault of reslab."""
    assert told.code in (0, 1, 2), (told.words, told.code, told.err[-600:])
    assert "Traceback" not in told.err, (told.words, told.err[-600:])
    assert "fault of reslab" not in told.err, (told.words, told.err)
    if told.code and not (told.code == 1 and told.out):  # an audit that found departures
        lines = told.err.splitlines()
        mine = [line for line in lines if line.startswith("reslab: ")]
        assert len(mine) == 1, (told.words, told.err)
        assert lines[-1] == mine[0], told.err
        assert len(mine[0]) <= LONGEST + len("reslab: ")
        assert all(c.isprintable() for c in mine[0])


def fuzzed(path, *pairs):
    """`path` with options and their values; an option of the base command gives way to its fuzzed twin."""
    names = {option for option, _ in pairs}
    base, given = list(BASE[path]), []
    for option, value in pairs:
        given += [option, value] if option else [value]
    for option in names & set(base):
        at = base.index(option)
        del base[at : at + 2]
    return [*path, *base, *given]


def chosen(count: int, heavy: bool):
    """`count` pairs of option and value, drawn once and for all; heavy: also those verbs that train."""
    pairs = [
        (path, option, name)
        for (path, option), name in itertools.product(ALL, HOSTILE)
        if heavy or path not in (("reproduce",), ("train",))
    ]
    return random.Random(0).sample(pairs, count)


@pytest.mark.parametrize("part", some(range(6), quick=2))
def test_a_hostile_value(warm, places, part):
    """10 of some 5,000 pairs of option and value."""
    for path, option, name in chosen(60, heavy=False)[part::6]:
        checked(warm(*places.filled(fuzzed(path, (option, HOSTILE[name])))))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_hostile_values_together(warm, places, seed):
    """Random pairs and triples of options and values, of every verb: 400 commands."""
    draw = random.Random(seed)
    for _ in range(20):
        path = draw.choice(list(BASE))
        names = [option for verb, option in ALL if verb == path]
        pairs = [
            (option, HOSTILE[draw.choice(list(HOSTILE))])
            for option in draw.sample(names, min(len(names), draw.randint(1, 3)))
        ]
        checked(warm(*places.filled(fuzzed(path, *pairs))))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["train", "reproduce"])
def test_a_hostile_value_of_a_verb_that_trains(warm, places, verb):
    for path, option, name in chosen(1500, heavy=True):
        if path == (verb,):
            checked(warm(*places.filled(fuzzed(path, (option, HOSTILE[name])))))
