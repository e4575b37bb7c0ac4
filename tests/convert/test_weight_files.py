"""Files of weights: what is read out of them, what is refused and why; nothing in them runs."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import reslab
from benchmarks.origins import cifar6n2, cifar_wide, randomised
from reslab.convert.files import read
from reslab.errors import UserError

NET = randomised(cifar6n2(8))
STATE = NET.state_dict()


def same(model, state=STATE) -> bool:
    """Whether a model has exactly the values of a state dict, as float32, whatever the names."""
    flat = [
        sorted((tuple(v.shape), v.double().sum().item()) for v in table.values()) for table in (model.weights, state)
    ]
    return flat[0] == flat[1]


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


@pytest.mark.parametrize("ending", [".pt", ".pth", ".th", ".tar", ".safetensors"])
def test_every_ending(tmp_path, ending):
    file = tmp_path / f"weights{ending}"
    save_file(STATE, file) if ending == ".safetensors" else torch.save(STATE, file)
    model = reslab.load(file)
    assert (model.name, model.origin.imported.layout) == ("cifar_resnet8", "akamaster")
    assert same(model)


OTHER = {key: value + 1 for key, value in STATE.items() if value.is_floating_point()}
OTHER |= {key: value for key, value in STATE.items() if key not in OTHER}
SGD = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"state_dict": STATE, "best_prec1": 91.2, "epoch": 3}, "state_dict"),
        ({"state_dict": prefixed("module.")}, "state_dict"),
        ({"net": prefixed("module._orig_mod."), "acc": 95.0, "epoch": 1}, "net"),
        ({"model": OTHER, "model_ema": STATE | {"n_averaged": torch.tensor(4)}, "optimizer": SGD}, "model_ema"),
        ({"state_dict": OTHER, "state_dict_ema": STATE, "optimizer": SGD}, "state_dict_ema"),
        ({"model_ema": prefixed("module.") | {"n_averaged": torch.tensor(4)}}, "model_ema"),
        ({"my_own_name": STATE, "optimizer": SGD}, "my_own_name"),
    ],
)
def test_checkpoints_are_taken_apart(tmp_path, content, expected):
    torch.save(content, tmp_path / "checkpoint.pth.tar")
    model = reslab.load(tmp_path / "checkpoint.pth.tar")
    assert same(model)
    (note,) = model.origin.imported.notes
    assert note.startswith(f"{expected} is read")
    assert all(key in note for key in content)


def test_the_entry_can_be_named(tmp_path):
    torch.save({"state_dict": STATE, "state_dict_ema": OTHER}, tmp_path / "a.pt")
    assert same(reslab.load(tmp_path / "a.pt"), OTHER)
    assert same(reslab.import_weights(tmp_path / "a.pt", entry="state_dict"))
    with pytest.raises(UserError, match=r"--entry momentum: .*a.pt has state_dict, state_dict_ema of weights"):
        reslab.import_weights(tmp_path / "a.pt", entry="momentum")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    halves = {key: value.to(dtype) if value.is_floating_point() else value for key, value in STATE.items()}
    torch.save(halves, tmp_path / "a.pt")
    model = reslab.load(tmp_path / "a.pt")
    assert {value.dtype for value in model.weights.values()} == {torch.float32, torch.int64}
    assert same(model, {key: value.float() if value.is_floating_point() else value for key, value in halves.items()})
    assert [note for note in model.origin.imported.notes if "rounded" in note] == (
        ["float64 rounded to float32"] if dtype == torch.float64 else []
    )


def test_an_older_file_has_no_counters(tmp_path):
    torch.save({k: v for k, v in STATE.items() if not k.endswith("num_batches_tracked")}, tmp_path / "a.pt")
    model = reslab.load(tmp_path / "a.pt")
    assert {int(v) for k, v in model.weights.items() if k.endswith("num_batches_tracked")} == {0}


class Harm:
    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


def test_nothing_in_a_file_runs(tmp_path):
    place = tmp_path / "it_ran"
    harm = {"state_dict": STATE, "x": Harm(str(place))}
    torch.save(harm, tmp_path / "a.pt")
    torch.save(harm, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "c.pt").write_bytes(pickle.dumps(harm))
    for name in ("a", "b"):
        with pytest.raises(UserError, match=r"needs posix.mkdir, which is no tensor .* nothing was run"):
            reslab.load(tmp_path / f"{name}.pt")
    with pytest.raises(UserError, match=r"c\.pt: "):
        reslab.load(tmp_path / "c.pt")
    assert not place.exists()
    torch.load(tmp_path / "a.pt", weights_only=False)  # so that the test would have seen it
    assert place.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, "needs argparse.Namespace"),
        (NET, "needs benchmarks.origins.Staged"),
        ({"a": np.float64(1.0)}, "needs numpy"),
        ([1, 2], "holds a list, not a table of weights"),
        ({"epoch": 3, "lr": 0.1}, r"holds no weights \(epoch, lr\)"),
        ({"a": STATE, "b": STATE}, r"holds several tables \(a, b\); choose with --entry"),
        ({"transformer.wte.weight": torch.ones(3, 2), "lm_head.weight": torch.ones(3, 2)}, "not those of a residual"),
        ({**STATE, "conv1.weight": STATE["conv1.weight"].to(torch.int8)}, "conv1.weight has values of type int8"),
        ({**STATE, "bn1.bias": torch.full((16,), torch.nan)}, "16 of 16 values of bn1.bias are not finite"),
        ({**STATE, "bn1.running_var": torch.full((16,), -1.0)}, "of bn1.running_var are negative"),
        ({k: v for k, v in STATE.items() if k != "bn1.bias"}, r"akamaster's .*: 1 missing \(bn1.bias\)"),
        ({**STATE, "extra.weight": torch.ones(1)}, r"1 extra \(extra.weight\)"),
        (
            {k: v[:1] if "layer1" in k and v.dim() == 1 else v for k, v in STATE.items()},
            r"8 of another shape \(layer1.0.bn1.weight 1 for 16, (.*, ){4}…\)",
        ),
    ],
)
def test_what_is_refused_and_why(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UserError, match=message) as caught:
        reslab.load(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


def test_damaged_files(tmp_path):
    torch.save(STATE, tmp_path / "whole.pt")
    save_file(STATE, tmp_path / "whole.safetensors")
    raw = {name: (tmp_path / name).read_bytes() for name in ("whole.pt", "whole.safetensors")}
    rng = np.random.default_rng(0)
    contents = [b"", b"hello\n", b"\x89PNG\r\n\x1a\n" + bytes(99), bytes(1000)]
    for ending, whole in ((".pt", raw["whole.pt"]), (".safetensors", raw["whole.safetensors"])):
        cut = [whole[: int(len(whole) * share)] for share in (0.01, 0.3, 0.7, 0.99)]
        for number, content in enumerate(
            [*contents, *cut, rng.bytes(5_000), raw["whole.pt" if ending != ".pt" else "whole.safetensors"]]
        ):
            file = tmp_path / f"{number}{ending}"
            file.write_bytes(content)
            with pytest.raises(UserError) as caught:
                read(file)
            assert str(file) in str(caught.value)
            assert "\n" not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "z.pt", "w") as archive:
        archive.writestr("a.txt", "no tensors")
    for path in (tmp_path / "z.pt", tmp_path / "missing.pt", tmp_path / "folder.pt"):
        if path.name == "folder.pt":
            path.mkdir()
        with pytest.raises(UserError):
            read(path)
    with pytest.raises(UserError, match=r"files of weights end in \.pt"):
        read(tmp_path / "weights.onnx")


def test_a_flipped_byte_is_read_as_a_weight_or_refused(tmp_path):
    """Plain files of weights have no checksum: what is read is finite and complete, and is never a traceback."""
    torch.save(STATE, tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for place in rng.integers(0, len(whole), 60):
        raw = bytearray(whole)
        raw[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "b.pt").write_bytes(raw)
        try:
            model = reslab.load(tmp_path / "b.pt")
        except UserError:
            refused += 1
        else:
            assert all(bool(torch.isfinite(v).all()) for v in model.weights.values())
    assert refused < 60


def test_networks_that_differ_are_refused_with_the_candidates(tmp_path, monkeypatch):
    from dataclasses import replace

    from reslab.convert.layouts import recognise
    from reslab.convert.layouts.cifar import KUANGLIU

    torch.save(cifar_wide(50).state_dict(), tmp_path / "a.pt")
    assert reslab.load(tmp_path / "a.pt").spec.stride_in == "3x3"
    paper = replace(KUANGLIU, name="timm", fixed={"stride_in": "1x1"})  # the same names, another place of the stride
    monkeypatch.setattr(recognise, "LAYOUTS", (*recognise.LAYOUTS, paper))
    with pytest.raises(UserError, match=r"fit several networks: kuangliu \(resnet50 stride_in=3x3.*timm \(resnet50"):
        reslab.load(tmp_path / "a.pt")
    assert reslab.import_weights(tmp_path / "a.pt", layout="timm").spec.stride_in == "1x1"
