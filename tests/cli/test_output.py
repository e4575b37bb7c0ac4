"""What the verbs that only tell things print, for people and as JSON, and what becomes of it in a pipe."""

import json
import os
import subprocess
import sys

import pytest
from commands import environment, verbs

from reslab.cli.verbs import app
from reslab.nets.names import listed


def test_list(cold):
    lines = cold("list").good().out.splitlines()
    assert [name for name in listed() if not any(line.split()[0] == name for line in lines)] == []


def test_list_a_pattern(cold):
    rows = [line.split() for line in cold("list", "cifar_*").good().out.splitlines()]
    names = [row[0] for row in rows if row[0].startswith("cifar_")]
    assert names == [name for name in listed() if name.startswith("cifar_")]
    assert not any(row[0].startswith(("resnet", "plain", "vgg", "mlp")) for row in rows)
    (row,) = [row for row in rows if row[0] == "cifar_resnet20"]
    assert "269,722" in row


def test_list_as_json(cold):
    rows = json.loads(cold("list", "*net*", "--json").good().out)
    assert [row["name"] for row in rows] == [name for name in listed() if "net" in name]
    found = {row["name"]: row for row in rows}
    assert found["resnet18"]["parameters"] == 11_689_512  # Table 1's net as torchvision counts it
    assert found["resnet18"]["macs"] == 1_814_073_344
    assert found["resnet152"]["depth"] == 152
    assert {type(v) for row in rows for v in row.values()} <= {str, int, bool}


def test_describe(cold):
    text = cold("describe", "resnet50").good().out
    assert "[conv2_x]" in text
    assert "25,557,032" in text
    assert "3×3" in text or "3x3" in text


@pytest.mark.parametrize(
    ("words", "depth", "parameters"),
    [
        (["resnet50"], 50, 25_557_032),
        (["cifar_resnet20"], 20, 269_722),
        (["cifar_resnet20", "--shortcut", "B", "--classes", "100"], 20, None),
        (["vgg19"], 19, 143_667_240),
    ],
    ids=str,
)
def test_describe_as_json(cold, words, depth, parameters):
    told = json.loads(cold("describe", *words, "--json").good().out)
    assert told.keys() >= {"name", "depth", "parameters", "macs", "rows"}
    assert (told["name"], told["depth"]) == (words[0], depth)
    assert all(type(told[key]) is int for key in ("depth", "parameters", "macs"))
    assert parameters in (None, told["parameters"])
    rows = told["rows"]
    assert all(row.keys() >= {"name", "kind", "part", "kernel", "stride", "c_in", "c_out"} for row in rows)
    weighed = [row for row in rows if row["kind"] in ("conv", "linear") and row["path"] != "shortcut"]
    assert len(weighed) == depth  # depth is the number of layers with weights
    assert rows[0]["c_in"] == 3
    assert rows[-1]["c_out"] == (100 if "100" in words else {"resnet50": 1000, "vgg19": 1000}.get(words[0], 10))
    if "100" in words:
        assert told["switches"] == {"shortcut": "B", "classes": 100}


def test_recipe_show(cold):
    text = cold("recipe", "show", "paper-cifar", "--scale", "0.25").good().out
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("  ")}
    assert rows["iterations"][0].replace(",", "") == "16000"
    assert rows["momentum"] == ["0.9"]
    assert "bn_statistics" in rows
    told = json.loads(cold("recipe", "show", "paper-cifar", "--scale", "0.25", "--set", "lr=0.05", "--json").good().out)
    assert (told["iterations"], told["drops"], told["lr"]) == (16_000, [8_000, 12_000], 0.05)


def test_recipe_show_without_a_name_is_the_papers(cold):
    """As the hints say that name a wrong field: "`reslab recipe show` lists them"."""
    assert cold("recipe", "show").good().out == cold("recipe", "show", "paper-cifar").good().out
    assert json.loads(cold("recipe", "show", "--scale", "0.5", "--json").good().out)["iterations"] == 32_000


def test_every_option_of_every_verb_says_what_it_is():
    found = list(verbs(app))
    assert ("recipe", "show") in [path for path, _ in found]
    silent = [
        (*path, argument.names[0])
        for path, verb in found
        for argument in verb.assemble_argument_collection(parse_docstring=True)
        if argument.parse and argument.show and not (argument.parameter.help or "").strip()
    ]
    assert silent == []


def test_the_help_tells_of_the_traceback(cold):
    assert "--debug" in cold("--help").good().out


def test_describe_says_which_names_there_are(cold):
    text = cold("describe", "--help").good().out
    assert "9n+2" in text
    assert "mlp_resnetN" in text


def test_recipe_list(cold):
    out = cold("recipe", "list").good().out
    assert [line.split()[0] for line in out.splitlines()][:3] == ["paper-cifar", "fast-cifar", "digits"]


@pytest.mark.parametrize("words", [["--help"], [], ["train", "--help"], ["--version"], ["recipe"]], ids=str)
def test_help(cold, words):
    told = cold(*words).good()
    assert told.out.strip()
    assert told.err == ""


def command(*words: str, **how) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "reslab", *words], env=environment(), timeout=60, **how)


def test_a_reader_that_left(tmp_path):
    """`reslab list | head -1`: nobody is told that the pipe broke."""
    read, write = os.pipe()
    os.close(read)
    done = command("list", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk():
    with open("/dev/full", "wb") as full:
        done = command("list", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["reslab: standard output: No space left on device"]


def test_no_standard_output():
    """`reslab list >&-`"""
    done = command("list", stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, b"")
