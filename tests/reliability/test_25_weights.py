"""Weights that come in and go out: damage, full disks, kills, and a library that computes otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
import torch
import torchvision
from counts import FAST_FLIPS, FULL_DISKS, KILLS, LENGTHS
from damage import Tally, copied, crash, cuts, flips, refusal
from models.test_model_folder import model_of
from safetensors.torch import save_file
from test_06_disks import disk, fill

import reslab
from benchmarks.origins import cifar6n2, randomised
from reslab.convert.runtimes.onnx_nodes import Nodes
from reslab.errors import RunError, UserError
from reslab.models.folder import FILES

STATE = randomised(cifar6n2(8)).state_dict()


def outcome(path: Path, wrong_if_read) -> str:
    """What is wrong with how damaged weights were taken, or "": refused in one line, or `wrong_if_read(model)`."""
    try:
        model = reslab.load(path)
    except UserError as error:
        return "" if "\n" not in str(error) and str(path) in str(error) else f"an unclear line: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return wrong_if_read(model)


def not_finite(model) -> str:
    return "" if all(bool(torch.isfinite(v).all()) for v in model.weights.values()) else "not finite"


def same(model, reference) -> bool:
    return model.to_dict() | {"origin": 0} == reference.to_dict() | {"origin": 0} and all(
        torch.equal(model.weights[key], value) for key, value in reference.weights.items()
    )


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_fault_08_files_of_others_cut_and_flipped(tmp_path, count, ending):
    """Cut: refused. Flipped: these files have no checksum, so refused, or read whole and finite."""
    place, draws = tmp_path / f"a.{ending}", Random(8)
    torch.save(STATE, place) if ending == "pt" else save_file(STATE, place)
    content = place.read_bytes()
    tally = Tally()
    for case, damaged in cuts(content, LENGTHS, draws):
        place.write_bytes(damaged)
        tally.add(case, outcome(place, lambda model: "read"))
    tally.told(count, 8, f"imported .{ending} cut to any length")
    tally = Tally()
    for case, damaged in flips(content, FAST_FLIPS, draws):
        place.write_bytes(damaged)
        tally.add(case, outcome(place, not_finite))
    tally.told(count, 9, f"imported .{ending} with a flipped bit: refused, or whole and finite")


def test_fault_09_a_model_folder_with_a_flipped_bit(tmp_path, count):
    """Its files have their SHA-256 in the manifest: every change is noticed, or changes nothing that is read."""
    model = model_of("cifar_resnet8")
    whole, draws = model.save_pretrained(tmp_path / "whole"), Random(9)
    reference = reslab.load(whole)
    for name in FILES:
        tally, mine = Tally(), copied(whole, tmp_path / "mine")
        content = (mine / name).read_bytes()
        for case, damaged in [*flips(content, FAST_FLIPS // 4, draws), *cuts(content, LENGTHS, draws)]:
            (mine / name).write_bytes(damaged)
            tally.add(case, outcome(mine, lambda model: "" if same(model, reference) else "read as another model"))
        tally.told(count, 9, f"a bit or the end of {name} of a model folder")


def test_fault_25_a_library_that_computes_otherwise(tmp_path, count, monkeypatch):
    """A change in the library's network, one at a time: the file is not published."""
    model, make, tally = model_of("resnet18", classes=4), torchvision.models.resnet18, Tally()
    convolutions = [name for name, m in make().named_modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [name for name, m in make().named_modules() if isinstance(m, torch.nn.BatchNorm2d)]

    def broken(kind: str, name: str):
        def made(**arguments):
            net = make(**arguments)
            module = net.get_submodule(name)
            if kind == "padding":
                module.padding_mode, module._reversed_padding_repeated_twice = "reflect", [1, 1, 1, 1]
            elif kind == "eps":
                module.eps = 1e-1
            return net

        return made

    cases = [("padding", name) for name in convolutions if "downsample" not in name and name != "conv1"]
    for number, (kind, name) in enumerate([*cases, *(("eps", name) for name in norms)]):
        monkeypatch.setattr(torchvision.models, "resnet18", broken(kind, name))
        out = tmp_path / f"{number}.pth"
        try:
            reslab.export(model, to="torchvision", out=out)
            wrong = "published"
        except RunError as error:
            wrong = "" if "other logits" in str(error) else str(error)
        tally.add(f"{kind} of {name}", wrong or ("left behind" if [*tmp_path.iterdir()] else ""))
    tally.told(count, 25, "one layer of torchvision's network changed: nothing is published")


def test_fault_25_a_runtime_that_computes_otherwise(tmp_path, count, monkeypatch):
    """The weights of one layer of the ONNX file changed by two percent, each in turn: the file is not published."""
    model, constant, tally = model_of("cifar_resnet8"), Nodes.constant, Tally()
    names = [f"{step.name}.weight" for step in model.graph.steps if step.weight is not None]
    for number, changed in enumerate(names):

        def broken(nodes, name, value, dtype=None, changed=changed):
            return constant(nodes, name, value * 1.02 if name == changed else value, dtype)

        monkeypatch.setattr(Nodes, "constant", broken)
        try:
            reslab.export(model, to="onnx", out=tmp_path / f"{number}.onnx")
            wrong = "published"
        except RunError as error:
            wrong = "" if "other answers" in str(error) else str(error)
        tally.add(f"changed {changed}", wrong or ("left behind" if [*tmp_path.iterdir()] else ""))
    tally.told(count, 25, "one layer of the ONNX file changed: nothing is published")


def test_fault_06_import_and_export_on_a_full_disk(reslab, tmp_path, count):
    torch.save(STATE, reslab.here / "a.pt")
    reslab("import", "a.pt", "--out", "model").good()
    for words, name in (
        (("import", "a.pt", "--out"), "model"), (("export", "model", "--out"), "b.safetensors"),
        (("export", "model", "--to", "onnx", "--out"), "c.onnx"),
        (("export", "model", "--to", "page", "--min-agreement", "0", "--out"), "d.html"),
    ):  # fmt: skip
        tally, draws = Tally(), Random(25)
        for number in range(FULL_DISKS):
            with disk(tmp_path / f"disk-{name}-{number}", 1 << 20) as place:
                free = draws.randrange(200_000)
                filler = fill(place, free)
                ended = reslab(*words, place / name)
                wrong = refusal(ended, name) or ("left behind" if [*place.iterdir()] != [filler] else "")
                filler.unlink()
                if not wrong:
                    wrong = crash(reslab(*words, place / name))
                tally.add(f"{free} bytes free", wrong)
        tally.told(count, 6, f"{words[0]} to {name} on a disk without room, and again with it")


def test_fault_01_import_killed(reslab, count):
    """The folder is whole or absent; what a killed writer left does not hinder the next."""
    torch.save(STATE, reslab.here / "a.pt")
    draws, tally = Random(1), Tally()
    out = reslab.here / "model"
    for _ in range(KILLS):
        running = reslab.start("import", "a.pt", "--out", "model")
        wait = draws.uniform(0.0, 1.2)
        running.until(lambda: False, wait) if wait else None
        running.signal(9)
        running.wait()
        wrong = ""
        if out.exists():
            wrong = crash(reslab("import", "model"))
            shutil.rmtree(out)
        wrong = wrong or crash(reslab("import", "a.pt", "--out", "model"))
        left = [path.name for path in reslab.here.iterdir() if path.name.startswith(".writing")]
        tally.add(f"after {wait:.2f} s", wrong or (f"{left} left" if left else ""))
        shutil.rmtree(out, ignore_errors=True)
    tally.told(count, 1, "import killed at a random time")
