"""`reslab audit` on the command line: targets, status, table, bad input in one line."""

from __future__ import annotations

import json

import pytest
import torch
from cases import some
from torchvision.models import resnet18, resnet50

from benchmarks.origins import cifar6n2, randomised

OWN_CODE = """
import torch
from torch import nn

class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))

def make():
    from torchvision.models import resnet18
    return resnet18()

net = make()
number = 3

def fails():
    raise ValueError("two\\nlines")

def leaves():
    raise SystemExit(0)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    torch.save(resnet50().state_dict(), folder / "resnet50.pth")
    torch.save(randomised(cifar6n2(20)).state_dict(), folder / "resnet20.th")
    return folder


@pytest.mark.slow
def test_a_name_departs_in_nothing(warm):
    told = warm("audit", "cifar_resnet20").good().out.splitlines()
    assert told[0].startswith("cifar_resnet20 against cifar_resnet20 (the nearest")
    assert told[1] == "nothing departs"
    items = {line.split()[0] for line in told[4:] if line[:1] != " "}
    assert {"stem", "stride", "shortcut", "order", "parameters"} <= items


@pytest.mark.slow
def test_the_status_and_what_is_expected(warm, files):
    ended = warm("audit", files / "resnet50.pth")
    assert (ended.code, ended.err) == (1, "")
    assert "1 of" in ended.out.splitlines()[1]
    assert ended.out.splitlines()[1].endswith("items depart: stride")
    assert "follows from stride" in ended.out
    ended = warm("audit", files / "resnet50.pth", "--expect", "stride").good()
    assert "all of them expected" in ended.out
    told = warm("audit", files / "resnet50.pth", "--json", "--reference", "resnet101")
    assert told.code == 1
    assert json.loads(told.out)["reference"] == "resnet101"
    assert "depth" in json.loads(told.out)["departures"]
    rows = {row["item"]: row for row in json.loads(warm("audit", files / "resnet50.pth", "--json").out)["rows"]}
    assert (rows["stride"]["departs"], rows["macs"]["departs"], rows["macs"]["because"]) == (True, False, ["stride"])


@pytest.mark.slow
def test_switches_of_a_name(warm):
    ended = warm("audit", "resnet34", "--shortcut", "C", "--json", "--reference", "resnet34")
    assert (ended.code, json.loads(ended.out)["departures"]) == (1, ["shortcut"])
    warm("audit", "resnet34", "--shortcut", "C", "--reference", "resnet34,shortcut=C").good()


def test_a_run_has_its_recipe_compared(warm, trained):
    ended = warm("audit", trained, "--json")
    told = json.loads(ended.out)
    items = {row["item"] for row in told["rows"]}
    assert {"schedule", "decay", "augmentation", "evaluation"} <= items
    assert ended.code == int(bool(told["departures"]))


def test_the_users_own_code(warm, tmp_path):
    (tmp_path / "here" / "mine.py").write_text(OWN_CODE)
    ended = warm("audit", "python:mine:make", "--json")
    assert (ended.code, ended.err) == (0, "runs the code of mine:make\n")
    assert json.loads(ended.out)["departures"] == []
    assert json.loads(warm("audit", "python:mine:net", "--json").out)["rows"] == json.loads(ended.out)["rows"]
    assert "depth" in json.loads(warm("audit", "python:mine:Small", "--json").out)["departures"]


@pytest.mark.parametrize(
    ("target", "message"),
    some([
        ("python:mine:number", "is a int, no torch.nn.Module"),
        ("python:mine:fails", "python:mine:fails: raised ValueError: two lines"),
        ("python:mine:leaves", "raised SystemExit: 0"),
        ("python:mine:nothing", "raised AttributeError"),
        ("python:none.there:net", "raised ModuleNotFoundError"),
        ("python:mine", "write python:package.module:object"),
        ("python::", "write python:package.module:object"),
        ("resnet5", "no run or file of that name here, and unknown model 'resnet5'"),
        ("mlp_resnet4", "no convolution"),
        ("none.pth", "none.pth"),
        ("./none", "none"),
    ], quick=5, names=2),
)  # fmt: skip
def test_bad_targets(warm, tmp_path, target, message):
    (tmp_path / "here" / "mine.py").write_text(OWN_CODE)
    ended = warm("audit", target)
    assert ended.code == 2
    line = ended.err.splitlines()[-1]
    assert line.startswith("reslab: ")
    assert message in line
    assert ended.out == ""


def test_bad_options(warm):
    warm("audit", "cifar_resnet20", "--expect", "strides").refused("--expect strides: no such item; there are ")
    warm("audit", "cifar_resnet20", "--reference", "resnet51").refused("resnet51")
    warm("audit", "cifar_resnet20", "--reference", "mlp_resnet4").refused("no convolutions")


def test_in_python(files):
    import reslab

    module = resnet18()
    result = reslab.audit(module, reference="resnet18")
    assert result.departures == ()
    assert reslab.audit(reslab.load(files / "resnet20.th")).departures == ()
    with pytest.raises(reslab.errors.UserError, match="not of type"):
        reslab.audit(3)
