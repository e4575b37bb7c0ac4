"""A model folder: what is written is read back bit for bit, damage is noticed, nothing is overwritten."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import reslab
from reslab.data.batches.loader import Statistics
from reslab.data.batches.views import View
from reslab.errors import UserError
from reslab.models.folder import FILES
from reslab.models.trained import Origin, TrainedModel
from reslab.models.transform import InputTransform
from reslab.nets.names import spec_of


def model_of(name: str, channels: int = 3, **switches) -> TrainedModel:
    spec = spec_of(name, in_channels=channels, **switches)
    net = reslab.build(spec, seed=3)
    size = spec.image_size
    rng = np.random.default_rng(0)
    statistics = Statistics(
        rng.uniform(0, 255, (1, 1, channels)).astype(np.float32), rng.uniform(1, 99, channels).astype(np.float32)
    )
    transform = InputTransform(channels, View(size, size + 3, "bicubic"), statistics)
    return TrainedModel(spec, net.state_dict(), tuple(f"k{k}" for k in range(spec.classes)), transform, Origin("here"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["cifar_resnet8", "cifar_plain8", "cifar_resnet20", "mlp_resnet4", "resnet18"]),
    st.sampled_from(["A", "B", "C", None]),
    st.sampled_from(["post", "pre", None]),
    st.sampled_from(["zeros", "circular", None]),
    st.booleans(),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 2, 10, 17]),
)
def test_what_is_written_is_read_back(tmp_path, name, shortcut, order, padding, batch_norm, channels, classes):
    switches = {"shortcut": shortcut, "order": order, "padding": padding, "batch_norm": batch_norm, "classes": classes}
    if name == "resnet18":
        switches |= {"image_size": 32, "widths": (8, 8, 16, 16)}
    try:
        model = model_of(name, channels, **{k: v for k, v in switches.items() if v is not None})
    except UserError:
        return  # switches that exclude each other
    place = tmp_path / os.urandom(6).hex()
    model.save_pretrained(place)
    read = reslab.load(place)
    assert (read.spec, read.classes, read.transform.view) == (model.spec, model.classes, model.transform.view)
    assert all(torch.equal(read.weights[key], value) for key, value in model.weights.items())
    assert read.weights.keys() == model.weights.keys()
    for part in ("mean", "scale"):
        ours, theirs = (getattr(m.transform.statistics, part) for m in (read, model))
        assert (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist())
    images = torch.randn(2, channels, model.spec.image_size, model.spec.image_size)
    with torch.no_grad():
        assert torch.equal(read.network(images), model.network(images))


def test_a_run_becomes_a_folder_that_predicts_the_same(tmp_path):
    record = reslab.train(
        "cifar_resnet8", "digits", recipe="digits-smoke", set={"iterations": 2}, out=tmp_path / "run", threads=1,
        engine="eager", tell=lambda event: None,
    )  # fmt: skip
    run = reslab.load(record.folder)
    read = reslab.load(run.save_pretrained(tmp_path / "model"))
    assert (read.origin.iteration, read.origin.seed) == (2, 0)
    assert "place" not in read.origin.data
    assert read.transform.statistics.mean.shape == (8, 8, 1)  # the mean image of the paper's recipe
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    assert torch.equal(reslab.classifier(read)([image]), reslab.classifier(run)([image]))
    ours, theirs = (reslab.evaluate(m)[0].scores for m in (read, run))  # on the data that the folder names
    assert ours == theirs


def test_nothing_is_overwritten(tmp_path):
    model = model_of("cifar_resnet8")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    file = tmp_path / "file"
    file.write_text("mine")
    for place, message in ((full, "holds 'mine.txt' already"), (file, "is a file, not a folder")):
        with pytest.raises(UserError, match=message):
            model.save_pretrained(place)
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert {path.name for path in model.save_pretrained(tmp_path / "empty").iterdir()} == {*FILES}
    with pytest.raises(UserError, match="already"):
        model.save_pretrained(tmp_path / "empty")


def test_weights_that_do_not_fit_are_not_written(tmp_path):
    model = model_of("cifar_resnet8")
    wrong = replace(model, weights={**model.weights, "head.fc.bias": torch.full((10,), torch.nan)})
    with pytest.raises(UserError, match="not finite"):
        wrong.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed(tmp_path, name):
    place = model_of("cifar_resnet8").save_pretrained(tmp_path / "model")
    whole = (place / name).read_bytes()
    for content in (whole[:-1], b"", whole[: len(whole) // 2] + b"\0" + whole[len(whole) // 2 + 1 :]):
        (place / name).write_bytes(content)
        if name == "manifest.json" and b"sha256" in content and json_of(content) == json_of(whole):
            continue
        with pytest.raises(UserError) as caught:
            reslab.load(place)
        assert "\n" not in str(caught.value)
    (place / name).unlink()
    with pytest.raises(UserError):
        reslab.load(place)


def json_of(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_a_changed_config_is_refused_by_its_hash_and_by_its_sense(tmp_path):
    place = model_of("cifar_resnet8").save_pretrained(tmp_path / "model")
    config = json.loads((place / "config.json").read_text())
    manifest = json.loads((place / "manifest.json").read_text())
    for change in (
        {"classes": ["a"]},
        {"spec": {"family": "cifar"}},
        {"input": None},
        {"origin": 3},
        {"kind": "other"},
    ):
        text = json.dumps({**config, **change})
        (place / "config.json").write_text(text)
        with pytest.raises(UserError, match="SHA-256"):
            reslab.load(place)
        import hashlib

        hashes = {**manifest["sha256"], "config.json": hashlib.sha256(text.encode()).hexdigest()}
        (place / "manifest.json").write_text(json.dumps({**manifest, "sha256": hashes}))
        with pytest.raises(UserError, match=r"config\.json"):
            reslab.load(place)
        (place / "manifest.json").write_text(json.dumps(manifest))
