"""Runs that begin from a trained model: what is taken over bit for bit, what is refused, what is recorded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import reslab
from reslab.api.runs import rehearse
from reslab.cli.main import main
from reslab.data.batches.loader import Statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.given import given
from reslab.data.sets.digits import digits
from reslab.engines.machine import Settings
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.nets.model import build
from reslab.runs import runlog
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.store.sealed import read_sealed, write_sealed
from reslab.training.init import Pretrained, digest_of, pretrained
from reslab.training.step import Step

NET = {"widths": (4, 4, 8)}
SHORT = changed(recipe("digits"), {"batch": 16, "iterations": 6, "drops": (4,), "log_every": 1, "save_every": 2})
EAGER = Settings("cpu", "fp32", "channels_last", "eager", 1)
MACHINE = {"device": "cpu", "engine": "eager", "threads": 1}


def trained(out: Path, model: str | None = "cifar_resnet8", tell=lambda event: None, **options) -> runlog.Record:
    """A short run on digits, unless `options` have other data."""
    net = NET if model and "init_from" not in options else {}
    return reslab.train(model, **{"recipe": SHORT, **MACHINE, "out": out, "tell": tell, **net, **options})


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return checkpoints.find(out).weights


def are_equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def of(out: Path, model=None, **switches) -> Pretrained:
    return pretrained(reslab.load(out), str(out), None, model, switches)


def images(size: int, names: tuple[str, ...], channels: int = 1) -> dict:
    """Images given in Python: random ones of `size` pixels in the named classes."""
    random = np.random.default_rng(size)
    part = (
        random.integers(0, 256, (40, size, size, channels), dtype=np.uint8),
        np.arange(40, dtype=np.int64) % len(names),
    )
    return {"train": part, "test": part, "classes": names}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("first") / "run"
    trained(out)
    return out


def twin(first: Path, seed: int, *, count: int = SHORT.iterations) -> dict[str, torch.Tensor]:
    """The weights after `count` updates from those of `first`, written out slowly."""
    model, split = reslab.load(first), digits().split("train")
    net = build(model.spec, seed=seed)
    net.load_state_dict(dict(model.weights))
    step = Step(net, SHORT, EAGER)
    loader = TrainLoader(
        split, model.transform.statistics, seed=seed, batch=16, augment=SHORT.augment, pad=SHORT.pad,
        last_batch=SHORT.last_batch,
    )  # fmt: skip
    net.train()
    for k in range(count):
        batch = loader.at(k)
        step(batch.images, batch.labels, 0.1 if k < 4 else 0.01)
    return net.state_dict()


def test_a_run_goes_on_from_every_bit_of_the_model(first, tmp_path):
    events: list[dict] = []
    record = trained(tmp_path / "run", None, events.append, init_from=first, seed=5)
    assert are_equal(weights_of(tmp_path / "run"), twin(first, 5))
    (text,) = (e["text"] for e in events if e["kind"] == "note")
    assert text == (
        f"begins from {first}: the head is kept, as the classes are the same; mean and scale of the inputs are kept"
    )
    init = record.run["init"]
    digest = digest_of(weights_of(first))
    assert init == {"weights": digest, "source": str(first), "head": "kept", "inputs": "kept", "frozen": []}
    assert record.notes == (f"began from the weights of {first} (SHA-256 {digest[:12]}), kept head",)
    assert checkpoints.find(tmp_path / "run").facts["init"] == init


def test_a_loaded_model_is_taken_as_its_path_is(first, tmp_path):
    model = reslab.load(first)
    record = trained(tmp_path / "run", "cifar_resnet8", init_from=model, seed=5, **NET)
    assert are_equal(weights_of(tmp_path / "run"), twin(first, 5))
    assert record.run["init"]["source"] == str(model.origin.path)
    assert record.run["command"].startswith("reslab.train('cifar_resnet8', 'digits', recipe='digits', seed=5, set={")
    assert record.run["command"].endswith("init_from=model, widths=(4, 4, 8))")


def test_a_model_folder_is_taken_as_its_run_is(first, tmp_path):
    folder = reslab.load(first).save_pretrained(tmp_path / "model")
    record = trained(tmp_path / "run", None, init_from=folder, seed=5)
    assert are_equal(weights_of(tmp_path / "run"), twin(first, 5))
    assert record.run["init"]["weights"] == digest_of(weights_of(first))
    assert f"--init-from {folder}" in record.run["command"]


def test_other_classes_have_a_new_head(first, tmp_path):
    events: list[dict] = []
    data = images(8, ("a", "b", "c"))
    record = trained(tmp_path / "run", None, events.append, data=data, init_from=first, seed=5)
    assert record.run["init"]["head"] == "new"
    assert "the head is new, as there are 3 classes instead of 10" in events[0]["text"]
    assert "init_from=" in record.run["command"]

    start = of(first)
    net = build(replace(start.spec, classes=3), seed=5)
    drawn, before = {k: v.clone() for k, v in net.state_dict().items()}, weights_of(first)
    start.fitted(net.spec, given(data)).fill(net)
    for name, value in net.state_dict().items():
        assert torch.equal(value, (drawn if name.startswith("head.fc") else before)[name])
    assert any(name.endswith("running_var") for name in before)


def test_the_same_names_in_another_order_are_other_classes(first):
    start = of(first)
    names = tuple("0123456789")
    assert start.fitted(start.spec, given(images(8, names))).record.head == "kept"
    assert start.fitted(start.spec, given(images(8, names[::-1]))).record.head == "new"


def test_mean_and_scale_are_those_of_the_model(first, tmp_path):
    own = reslab.load(first).transform.statistics
    assert own.mean.shape == (8, 8, 1)
    out = tmp_path / "same"
    trained(out, None, data=images(8, ("a", "b")), init_from=first)
    same = checkpoints.find(out).statistics
    assert np.array_equal(same.mean, own.mean)
    assert np.array_equal(same.scale, own.scale)

    events: list[dict] = []
    out = tmp_path / "larger"
    record = trained(out, None, events.append, data=images(12, ("a", "b")), init_from=first)
    larger = checkpoints.find(out).statistics
    assert larger.mean.shape == (1, 1, 1)
    assert larger.mean[0, 0, 0] == pytest.approx(own.mean.mean(), rel=1e-6)
    assert np.array_equal(larger.scale, own.scale)
    assert record.run["init"]["inputs"] == "averaged"
    assert "the mean averaged over the map, as the images have another size" in events[0]["text"]
    assert reslab.load(out).spec.image_size == 12
    assert reslab.evaluate(out, images(12, ("a", "b")), threads=1)[0].scores.n == 40


def test_the_model_left_out_has_its_switches(first):
    spec = reslab.load(first).spec
    for model, switches in ((None, {}), (None, {"widths": (4, 4, 8)}), ("cifar_resnet8", NET), (spec, {})):
        assert of(first, model, **switches).spec == spec


@pytest.mark.parametrize(
    ("model", "switches", "line"),
    [
        ("cifar_resnet14", {}, "cifar_resnet14: --init-from {} is a cifar_resnet8; leave the model out"),
        ("cifar_plain8", NET, "cifar_plain8: --init-from {} is a cifar_resnet8; leave the model out"),
        ("cifar_resnet8", {}, "its widths is (16, 32, 64), and (4, 4, 8) in --init-from {}; leave the model and its"),
        (None, {"shortcut": "B"}, "its shortcut is 'B', and 'A' in --init-from {}"),
        (None, {"block": "bottleneck"}, "8 is not 9n+2"),
        ("cifar_resnet9", {}, "depth 9"),
    ],
)
def test_another_net_is_refused(first, model, switches, line):
    with pytest.raises(UserError) as told:
        of(first, model, **switches)
    assert line.format(first) in str(told.value)
    assert "\n" not in str(told.value)


def test_images_that_need_other_weights_are_refused(first, tmp_path):
    with pytest.raises(UserError, match="reads images of 1 channels, and given has 3; give data of 1 channels"):
        trained(tmp_path / "colour", None, data=images(8, ("a", "b"), 3), init_from=first)
    trained(tmp_path / "mlp", "mlp_resnet4", widths=(16,))
    with pytest.raises(UserError, match="its fc1 is made for images of 8 pixels, and given has 12"):
        trained(tmp_path / "larger", None, data=images(12, ("a", "b")), init_from=tmp_path / "mlp")
    for name in ("colour", "larger"):
        assert not (tmp_path / name / "run.json").exists()


def test_a_damaged_model_is_refused_before_anything_is_written(first, tmp_path):
    model = reslab.load(first)
    weights = {name: value.clone() for name, value in model.weights.items()}
    weights["stem.conv1.weight"][0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match=r"--init-from .*stem\.conv1\.weight"):
        trained(tmp_path / "run", None, init_from=replace(model, weights=weights))
    del weights["stem.conv1.weight"]
    with pytest.raises(UserError, match=r"--init-from .*stem\.conv1\.weight \(missing\)"):
        trained(tmp_path / "run", None, init_from=replace(model, weights=weights))
    assert not (tmp_path / "run").exists()


def test_the_hash_is_of_every_name_type_shape_and_byte():
    weights = {"a": torch.zeros(2, 3), "b": torch.tensor(1)}
    others = [
        {"a": torch.zeros(3, 2), "b": torch.tensor(1)},
        {"a": torch.zeros(2, 3), "c": torch.tensor(1)},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.tensor(1)},
        {"a": -torch.zeros(2, 3), "b": torch.tensor(1)},
        {"a": torch.zeros(2, 3), "b": torch.tensor(2)},
    ]
    assert len({digest_of(w) for w in (weights, *others)}) == 6
    assert digest_of(dict(reversed(weights.items()))) == digest_of(weights)
    filters = torch.rand(2, 3, 4, 4)
    assert digest_of({"a": filters}) == digest_of({"a": filters.to(memory_format=torch.channels_last)})


# -- identity


@pytest.fixture(scope="module")
def second(first, tmp_path_factory) -> Path:
    """A run that began from `first`."""
    out = tmp_path_factory.mktemp("second") / "run"
    trained(out, None, init_from=first, freeze="stem")
    return out


def refused(out: Path, model: str | None = None, **options) -> str:
    before = (out / "run.json").read_bytes()
    with pytest.raises(UserError) as told:
        trained(out, model, **options)
    assert "\n" not in str(told.value)
    assert (out / "run.json").read_bytes() == before
    return str(told.value)


def test_the_same_call_has_its_run_already(first, second):
    events: list[dict] = []
    trained(second, None, events.append, init_from=first, freeze="stem")
    assert [e["kind"] for e in events] == ["end"]


def test_another_beginning_is_another_run(first, second):
    digests = [digest_of(weights_of(out))[:12] for out in (first, second)]
    line = refused(second, init_from=second, freeze="stem")
    assert f"holds another run (it began from other weights, {digests[0]} and not {digests[1]})" in line
    assert "it began from the weights of" in refused(second, "cifar_resnet8", **NET)
    assert "stem, conv2_x is frozen here and stem there" in refused(second, init_from=first, freeze="stem..conv2_x")
    assert "nothing is frozen here and stem there" in refused(second, init_from=first)
    assert "it began from random weights" in refused(first, init_from=first)


def test_a_model_that_is_gone(first, tmp_path):
    model, out = Path(shutil.copytree(first, tmp_path / "model")), tmp_path / "run"
    trained(out, None, init_from=model)
    shutil.rmtree(model)
    assert refused(out, init_from=model) == (
        f"--init-from {model}: no such checkpoint or run; the run in --out needs it at every start"
    )


def test_each_beginning_has_a_folder_of_its_own(first, second, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beginnings = [{"init_from": first}, {"init_from": second}, {"init_from": first, "freeze": "stem"}]
    names = [rehearse(None, recipe=SHORT, **MACHINE, **b).name for b in beginnings]
    names.append(rehearse("cifar_resnet8", recipe=SHORT, **MACHINE, **NET).name)
    assert len(set(names)) == 4
    assert all(name.startswith(names[-1] + "-from") for name in names[:-1])


def test_the_recorded_command_begins_the_same_run(first, second):
    """As reslab.train records it for a path."""
    command = runlog.read(second).run["command"]
    assert f"--init-from {first} --freeze stem" in command
    words = [*command.split()[1:], "--threads", "1", "--device", "cpu", "--engine", "eager", "--out", str(second)]
    assert main(words) == 0


@pytest.mark.parametrize(
    "table",
    [3, {}, {"weights": "x", "source": "y"}, {"weights": "x", "source": "y", "head": "old", "frozen": []},
     {"weights": "x", "source": "y", "head": "new", "frozen": 3}],
)  # fmt: skip
def test_a_damaged_table_is_one_line(second, tmp_path, table):
    run = read_sealed(second / "run.json")
    write_sealed(tmp_path / "run.json", {**run, "init": table})
    with pytest.raises(UserError, match=r"damaged \(its table init"):
        runlog.read(tmp_path)


# -- the command line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--init-from", "nowhere"], "--init-from nowhere: no such checkpoint or run"),
        (["--init-from", "empty"], "--init-from empty"),
        (["cifar_resnet14", "--init-from", "first"], "cifar_resnet14: --init-from first is a cifar_resnet8"),
        (["--init-from", "first", "--freeze", "conv9_x"], "'conv9_x' is no part of cifar_resnet8; did you mean"),
        (["--init-from", "first", "--freeze", ""], "'' is no part of cifar_resnet8"),
        (["--init-from", "first", "--freeze", "conv3_x..stem"], "conv3_x comes after stem; write stem..conv3_x"),
        (["--init-from", "first", "--freeze", "stem..head"], "the head cannot be frozen; give parts before it"),
        (["cifar_resnet8", "--freeze", "stem"], "random weights would never learn; give the trained ones with"),
        ([], "which model?"),
    ],
)
def test_a_wrong_command_is_one_line(first, tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first").symlink_to(first)
    (tmp_path / "empty").mkdir()
    for more in ([], ["--dry-run"]):
        assert main(["train", *words, *more]) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert line in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("source", [3, True, b"run", [3], {"a": 1}, object()])
def test_a_wrong_source_is_one_line(source):
    with pytest.raises(UserError, match=r"--init-from: .+ is neither a path nor a trained model"):
        reslab.train(init_from=source)


def test_a_file_of_options_takes_them(first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(
        f"init_from = {json.dumps(str(first))}\nfreeze = 'stem'\nrecipe = 'digits-smoke'\niterations = 2\n"
        "out = 'run'\nthreads = 1\n"
    )
    assert main(["train", "--config", "run.toml"]) == 0
    assert runlog.read(tmp_path / "run").run["init"]["frozen"] == ["stem"]


def test_a_dry_run_tells_what_is_taken_over(first, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--init-from", str(first), "--freeze", "stem", "--dry-run", "--threads", "1"]) == 0
    assert f"weights     begins from {first}: the head is kept" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_statistics_have_the_types_that_a_checkpoint_has(first):
    start = of(first)
    statistics = start.fitted(replace(start.spec, image_size=12), given(images(12, tuple("0123456789")))).statistics
    assert isinstance(statistics, Statistics)
    assert statistics.mean.dtype == statistics.scale.dtype == np.float32
