"""Recipes for own images, and what they have: parts of a batch, averages, weights of classes, the best on val."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import some
from PIL import Image

import reslab
from reslab.api.runs import rehearse
from reslab.data.images.decode import BadImage
from reslab.data.sets.digits import read
from reslab.data.splits import Data, Files, hold_out
from reslab.engines.machine import ComputeOptions, Settings
from reslab.errors import Interrupted, RunError, UserError
from reslab.models import checkpoints
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs import runlog
from reslab.runs.best import Best
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import SIZED, recipe
from reslab.training.average import Average
from reslab.training.checks import class_weights
from reslab.training.job import Job
from reslab.training.loop import train
from reslab.training.step import Step

EAGER = Settings("cpu", "fp32", "channels_last", "eager", 1)
NET = spec_of("cifar_resnet8", in_channels=1, image_size=8, widths=(4, 4, 8))
SHORT = Recipe(
    name="short", batch=16, iterations=24, drops=(), augment="crop", pad=1, eval_every=4, clean_every=12, log_every=3,
    save_every=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return hold_out(read(None, ("train", "val", "test")), 200)


def job(out, **fields) -> Job:
    options = ComputeOptions(device="cpu", precision="fp32", engine="eager", threads=1)
    return Job(NET, "digits", changed(SHORT, {"holdout": 200, **fields}), 3, out, options)


def quiet(event: dict) -> None:
    pass


def weights(run):
    return checkpoints.newest(run).weights


def evals(run, split="val"):
    return [(m["iteration"], m["top1_error"], m["loss"]) for m in runlog.read(run).evaluations(split)]


@pytest.mark.parametrize("fields", [{}, {"label_smoothing": 0.1}, {"mixup": 0.5}], ids=["plain", "smoothed", "mixed"])
def test_accumulated_gradients_are_those_of_the_large_batch_without_batch_norm(fields):
    spec = dataclasses.replace(NET, batch_norm=False)
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(24, 1, 8, 8, generator=generator), torch.randint(0, 10, (24,), generator=generator)
    if "mixup" in fields:
        labels = torch.lerp(F.one_hot(labels, 10).float(), F.one_hot(labels.roll(1), 10).float(), 0.3)
    whole, parted = build(spec, seed=1).double(), build(spec, seed=1).double()
    weighted = torch.linspace(0.5, 2, 10)
    for class_weight in (None, weighted):
        steps = [
            Step(net, changed(Recipe(), {"batch": 24, "bn_batch": part, **fields}), EAGER, class_weight)
            for net, part in ((whole, 0), (parted, 6))
        ]
        for step in steps:
            step.net.double()
            step(images.double(), labels if labels.dim() == 1 else labels.double(), 0.1)
        for (name, a), b in zip(whole.named_parameters(), parted.parameters(), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-6), name


def test_a_batch_in_parts_needs_the_memory_of_a_part():
    from reslab.engines import memory

    spec = spec_of("resnet18")
    whole, parts = (memory.update(spec, Recipe(batch=64, bn_batch=part), "fp32") for part in (0, 8))
    assert parts < whole / 3


@pytest.mark.parametrize("word", ["accumulate", "grad-accum", "ema", "learning_rate"])
def test_the_word_of_another_library_leads_to_the_field(word):
    with pytest.raises(UserError, match=r"; here it is (bn_batch|average|lr)"):
        changed(Recipe(), {word: 2})


def test_class_weights_are_inverse_frequencies_and_multiply_the_loss(data):
    found = class_weights(data)
    labels = data.train.labels
    assert float(found[labels].mean()) == pytest.approx(1, abs=1e-6)
    counts = np.bincount(labels)
    assert (found * torch.tensor(counts)).std() < 1e-3
    net = build(NET, seed=0)
    images, some = torch.randn(32, 1, 8, 8), torch.arange(32) % 10
    net.train()
    with torch.no_grad():
        wanted = (F.cross_entropy(net(images), some, reduction="none") * found[some]).mean()
    loss, _ = Step(build(NET, seed=0), SHORT, EAGER, found)(images, some, 0.1)
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


def test_the_average_is_the_exponential_one_and_is_what_is_saved(data, tmp_path):
    wanted = job(tmp_path / "run", average=0.9)
    train(wanted, data, quiet)
    train(job(tmp_path / "plain"), data, quiet)
    saved, plain = checkpoints.newest(tmp_path / "run"), checkpoints.newest(tmp_path / "plain")
    own = {k.removeprefix("own."): v for k, v in saved.state.items() if k.startswith("own.")}
    assert all(torch.equal(own[k], plain.weights[k]) for k in plain.weights)  # the average does not change training
    assert any(not torch.equal(saved.weights[k], plain.weights[k]) for k in plain.weights)
    assert evals(tmp_path / "run") != evals(tmp_path / "plain")


def test_the_average_against_a_sum():
    net = build(NET, seed=0)
    average = Average(net, 0.8)
    wanted = {k: v.double().clone() for k, v in net.state_dict().items()}
    for step in range(1, 30):
        with torch.no_grad():
            for p in net.parameters():
                p.add_(torch.randn_like(p))
        kept = min(0.8, (1 + step) / (10 + step))
        wanted = {k: kept * wanted[k] + (1 - kept) * v.double() for k, v in net.state_dict().items()}
        average.update(step)
    own = {k: v.clone() for k, v in net.state_dict().items()}
    with average.applied():
        for name, p in net.named_parameters():
            assert torch.allclose(p.double(), wanted[name], atol=1e-5)
    assert all(torch.equal(v, own[k]) for k, v in net.state_dict().items())


def test_the_average_begins_with_the_trained_weights_that_a_run_begins_from(tmp_path):
    first = reslab.train("cifar_resnet8", arrays(40), threads=1, device="cpu", widths=(4, 4, 8), epochs=1.0,
                         out=tmp_path / "first", tell=quiet)  # fmt: skip
    fields = {"average": 0.999, "lr": 1e-12, "rise": 0, "bn_momentum": 1e-12, "bn_statistics": "moving"}
    tuned = reslab.train(None, arrays(40), init_from=first.folder, threads=1, device="cpu", iterations=1,
                         set=fields, out=tmp_path / "tuned", tell=quiet)  # fmt: skip
    before, after = weights(first.folder), weights(tuned.folder)
    for name, value in before.items():
        if value.is_floating_point():
            assert torch.allclose(after[name], value, atol=1e-6), name


MORE = {"average": 0.9, "mixup": 0.2, "cutmix": 1.0, "balance": "sampling", "bn_statistics": "precise",
        "augment": "trivial", "schedule": "cosine", "rise": 3}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("at", some([("train", 15), ("eval", 8), ("checkpoint", 12), ("checkpoint", 24)], quick=1))
def test_killed_and_resumed_with_all_of_it_gives_equal_bits(data, tmp_path, at):
    class Killed(Exception):
        pass

    def kill(event: dict) -> None:
        if (event["kind"], event.get("iteration")) == at:
            raise Killed

    train(job(tmp_path / "whole", **MORE), data, quiet)
    with pytest.raises(Killed):
        train(job(tmp_path / "parted", **MORE), data, kill)
    train(job(tmp_path / "parted", **MORE), data, quiet)
    for folder in ("step-00000024", "step-00000018", "best"):
        whole, parted = (checkpoints.load(tmp_path / run / "checkpoints" / folder) for run in ("whole", "parted"))
        assert whole.weights.keys() == parted.weights.keys()
        assert all(torch.equal(v, parted.weights[k]) for k, v in whole.weights.items())
        assert all(torch.equal(v, parted.state[k]) for k, v in whole.state.items())
    assert evals(tmp_path / "whole") == evals(tmp_path / "parted")
    assert evals(tmp_path / "whole", "test") == evals(tmp_path / "parted", "test")


def test_the_best_on_val_is_kept_beside_the_last_and_both_are_named(data, tmp_path):
    told = []
    train(job(tmp_path / "run", lr=1.0), data, told.append)
    scores = evals(tmp_path / "run")
    iteration, error, _ = min(scores, key=lambda row: (row[1], row[2]))
    best = checkpoints.load(tmp_path / "run" / "checkpoints" / "best")
    assert best.iteration == iteration
    (scored,) = reslab.evaluate(tmp_path / "run" / "checkpoints" / "best", split="val", threads=1)
    assert scored.scores.top1_error == pytest.approx(error)
    last = told[-1]["text"]
    assert f"{error:.2f} % wrong" in last
    assert iteration == 24 or (str(best.folder) in last and f"iteration {iteration}," in last)
    assert not any(k.startswith(("momentum.", "own.")) for k in best.state)
    page = reslab.report([tmp_path / "run"], out=tmp_path / "page.html").read_text()
    wanted = f"Best on val: {error:.2f} % at iteration {iteration} (checkpoints/best)."
    assert (wanted if iteration < 24 else f"The last weights are also the best on val ({error:.2f} %)") in page


def test_without_val_nothing_is_chosen_by_test(tmp_path):
    digits = read(None, ("train", "test"))
    train(dataclasses.replace(job(tmp_path / "run"), recipe=SHORT), digits, quiet)
    assert not (tmp_path / "run" / "checkpoints" / "best").exists()
    assert "best on val" not in reslab.report([tmp_path / "run"], out=tmp_path / "page.html").read_text().lower()


def test_a_damaged_image_in_an_evaluation_costs_no_update(data, tmp_path, monkeypatch):
    """The save comes first: what was trained is there after the evaluation has failed."""
    from reslab.training import moments

    def fail(*arguments, **options):
        raise RunError("damaged")

    monkeypatch.setattr(moments, "evaluate", fail)
    with pytest.raises(RunError, match="damaged"):
        train(job(tmp_path / "run", eval_every=6), data, quiet)
    assert checkpoints.newest(tmp_path / "run").iteration == 6
    monkeypatch.undo()
    assert train(job(tmp_path / "run", eval_every=6), data, quiet).finished
    train(job(tmp_path / "whole", eval_every=6), data, quiet)
    assert evals(tmp_path / "run") == evals(tmp_path / "whole")


def test_patience_ends_the_run_with_all_scores(data, tmp_path):
    wanted = {"lr": 1e-9, "patience": 2, "iterations": 400, "eval_every": 5, "clean_every": 400, "save_every": 100}
    told = []
    record = train(job(tmp_path / "run", **wanted), data, told.append)
    best = Best.of(record.metrics)
    end = record.ended
    assert best.since == 2
    assert end < 400
    assert end - best.iteration == 10
    assert record.finished
    assert [m["iteration"] for m in record.evaluations("test")][-1] == end
    assert [m["iteration"] for m in record.evaluations("train")] == [end]
    assert len({m["iteration"] for m in record.evaluations("val")}) == len(record.evaluations("val"))
    assert checkpoints.newest(tmp_path / "run").iteration == end
    assert any("has not improved in 2 scores" in e.get("text", "") for e in told)
    before = json.dumps(runlog.read(tmp_path / "run").metrics)
    train(job(tmp_path / "run", **wanted), data, told.append)
    assert f"finished already at iteration {end}" in told[-1]["text"]
    assert json.dumps(runlog.read(tmp_path / "run").metrics) == before
    with pytest.raises(UserError, match="val had not improved"):
        train(dataclasses.replace(job(tmp_path / "run", **wanted), extend=500), data, quiet)


def test_stopped_after_patience_has_run_out_it_ends_at_the_same_place(data, tmp_path):
    wanted = {"lr": 1e-9, "patience": 1, "iterations": 400, "eval_every": 5, "clean_every": 400, "save_every": 5}
    whole = train(job(tmp_path / "whole", **wanted), data, quiet)

    class Killed(Exception):
        pass

    def kill(event: dict) -> None:
        if "has not improved" in event.get("text", ""):
            raise Killed

    with pytest.raises(Killed):
        train(job(tmp_path / "run", **wanted), data, kill)
    again = train(job(tmp_path / "run", **wanted), data, quiet)
    assert again.ended == whole.ended
    assert evals(tmp_path / "run") == evals(tmp_path / "whole")
    assert evals(tmp_path / "run", "test") == evals(tmp_path / "whole", "test")


def test_young_averages_are_told_with_the_remedy_and_precise_ones_are_not(data, tmp_path):
    wide = {"iterations": 6, "lr": 1.0, "clean_every": 6, "bn_momentum": 0.01}
    told: list[dict] = []
    train(job(tmp_path / "run", **wide), data, told.append)
    texts = [e["text"] for e in told if e["kind"] == "warning"]
    assert any("--set bn_statistics=precise" in text for text in texts), texts
    assert any(m["kind"] == "warning" for m in runlog.read(tmp_path / "run").metrics)
    told.clear()
    train(job(tmp_path / "precise", **wide, bn_statistics="precise"), data, told.append)
    assert not [e for e in told if e["kind"] == "warning"]


def arrays(count: int, seed: int = 0):
    """Bright and dark images of 8 pixels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = generator.integers(0, 100, (count, 8, 8, 1)) + 120 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


@pytest.mark.parametrize("count", [1, 7, 120, 3_000, 60_000, 2_000_000])
@pytest.mark.parametrize("name", SIZED)
def test_a_recipe_is_sized_by_the_images(name, count):
    made = recipe(name, count)
    assert (made.name, made.images) == (name, count)
    assert 1 <= made.rise < made.iterations
    assert made.eval_every <= made.iterations
    assert made.clean_every <= made.iterations
    assert made == Recipe.from_dict(json.loads(json.dumps(made.to_dict())))
    assert made.iterations * made.batch >= 20 * count * 0.99
    assert recipe(name, 2 * count).iterations >= made.iterations or recipe(name, 2 * count).batch > made.batch


def test_own_images_get_photos_and_finetune_with_trained_weights(tmp_path):
    how = {"threads": 1, "engine": "eager", "device": "cpu", "widths": (4, 4, 8)}
    found = rehearse("cifar_resnet8", arrays(120), out=tmp_path / "a", **how)
    assert (found.iterations, round(found.epochs)) == (recipe("photos", 120).iterations, 100)
    shorter = rehearse("cifar_resnet8", arrays(120), out=tmp_path / "a", epochs=10, **how)
    assert shorter.iterations == 38
    half = rehearse("cifar_resnet8", arrays(120), out=tmp_path / "a", scale=0.5, **how)
    assert half.iterations == 188


def test_the_choice_is_told_before_the_start_and_the_command_finds_the_run_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = {"threads": 1, "device": "cpu", "widths": (4, 4, 8), "epochs": 2.0}
    told = []
    first = reslab.train("cifar_resnet8", arrays(120), **how, tell=told.append)
    assert first.run["recipe"]["name"] == "photos"
    kinds = [event["kind"] for event in told]
    line = told[kinds.index("note")]["text"]
    assert kinds.index("note") < kinds.index("start")
    assert line.startswith("recipe photos for 120 images: 8 updates of 32 images, 2.13 epochs; about ")
    again = reslab.train("cifar_resnet8", arrays(120), **how, tell=told.append)
    assert again.folder == first.folder
    trained = reslab.load(first.folder)
    tuned = reslab.train(None, arrays(120, 1), init_from=trained, threads=1, device="cpu", epochs=2.0, tell=quiet)
    assert tuned.run["recipe"]["name"] == "finetune"


def test_a_run_begun_with_the_earlier_default_keeps_its_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = {"threads": 1, "device": "cpu", "widths": (4, 4, 8), "iterations": 20,
           "set": {"batch": 8, "drops": (), "save_every": 5}}  # fmt: skip

    def stop(event: dict) -> None:
        if event["kind"] == "checkpoint":
            raise Interrupted("stopped")

    for out in (None, tmp_path / "run"):
        with pytest.raises(Interrupted):
            reslab.train("cifar_resnet8", arrays(40), recipe="paper-cifar", out=out, **how, tell=stop)
        begun = next((tmp_path / "runs").iterdir()) if out is None else out
        record = reslab.train("cifar_resnet8", arrays(40), out=out, **how, tell=quiet)
        assert (record.run["recipe"]["name"], record.folder.resolve()) == ("paper-cifar", begun.resolve())
        assert record.finished
        shutil.rmtree(begun)
    record = reslab.train("cifar_resnet8", arrays(40), **how, tell=quiet)
    assert record.run["recipe"]["name"] == "photos"


def picture_files(folder, count: int = 24):
    """Files of two classes as data that leave damaged ones out; the third, and the last of val, are cut short."""
    paths = []
    for number in range(count):
        paths.append(str(folder / f"{number:02d}.png"))
        pixels = np.random.default_rng(number).integers(0, 100, (40, 40, 3)) + 120 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    train, val = (Files(tuple(part), np.arange(len(part)) % 2, 16, skip=True) for part in (paths[:16], paths[16:]))
    for path in (paths[2], paths[-1]):
        with open(path, "r+b") as file:
            file.truncate(900)
    return Data("pictures", ("dark", "light"), 3, 16, train, val, None, "0" * 64, kind="folder", bad_images="skip")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_turns_out_damaged_is_left_out_counted_and_resumed_exactly(tmp_path, workers):
    data = picture_files(tmp_path)
    spec = spec_of("cifar_resnet8", classes=2, image_size=16, widths=(4, 4, 8))

    def wanted(name: str) -> Job:
        return dataclasses.replace(
            job(tmp_path / name, holdout=0, batch=4, iterations=12, save_every=3, log_every=1),
            spec=spec,
            workers=workers,
        )

    told: list[dict] = []
    whole = train(wanted("whole"), data, told.append)
    texts = [event["text"] for event in told if event["kind"] == "warning"]
    assert sum("02.png: cannot be read any more" in text for text in texts) == 1
    assert any("val: 1 files cannot be read any more and were left out" in text for text in texts)
    assert {m["n"] for m in whole.evaluations("val")} == {7}
    assert {m["n"] for m in whole.evaluations("train")} == {15}

    def stop(event: dict) -> None:
        if event["kind"] == "train" and event["iteration"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(wanted("parted"), data, stop)
    train(wanted("parted"), data, quiet)
    assert all(torch.equal(v, weights(tmp_path / "parted")[k]) for k, v in weights(tmp_path / "whole").items())
    strict = dataclasses.replace(data, train=dataclasses.replace(data.train, skip=False))
    with pytest.raises(BadImage, match=r"02\.png"):
        train(wanted("strict"), strict, quiet)


def test_if_no_file_can_be_read_any_more_the_run_says_so(tmp_path):
    data = picture_files(tmp_path)
    for path in data.train.paths:
        with open(path, "r+b") as file:
            file.truncate(100)
    spec = spec_of("cifar_resnet8", classes=2, image_size=16, widths=(4, 4, 8))
    with pytest.raises((RunError, UserError), match="can be read"):
        train(dataclasses.replace(job(tmp_path / "run", holdout=0, batch=4), spec=spec), data, quiet)


@pytest.mark.parametrize("batch", ["auto", "24"])
def test_batch_by_name_is_resumed_by_the_same_command(tmp_path, monkeypatch, batch):
    from reslab.training import room

    monkeypatch.chdir(tmp_path)
    how = {"threads": 1, "device": "cpu", "engine": "eager", "widths": (4, 4, 8), "epochs": 1.0, "batch": batch}
    spec = spec_of("cifar_resnet8", classes=2, in_channels=1, image_size=8, widths=(4, 4, 8))
    from reslab.engines import memory

    free = memory.update(spec, changed(recipe("photos", 120), {"bn_batch": 8}), "fp32")
    monkeypatch.setattr(room, "free_bytes", lambda device: free / room.ROOM + 1)
    first = reslab.train("cifar_resnet8", arrays(120), **how, tell=quiet)
    made = first.run["recipe"]
    assert (made["batch"], made["bn_batch"]) == ((32, 8) if batch == "auto" else (24, 0))
    monkeypatch.setattr(room, "free_bytes", lambda device: 10**12)
    again = reslab.train("cifar_resnet8", arrays(120), **how, tell=quiet)
    assert again.folder == first.folder
    assert again.run["recipe"] == made
    with pytest.raises(UserError, match="--batch many: is neither a number of images nor auto"):
        reslab.train("cifar_resnet8", arrays(120), **{**how, "batch": "many"}, tell=quiet)


def test_patience_without_val_is_refused_before_the_start(tmp_path):
    with pytest.raises(UserError, match="digits has no val to stop by; --set holdout=N makes one"):
        reslab.train("cifar_resnet8", "digits", out=tmp_path / "run", set={"patience": 2}, tell=quiet)
    assert not (tmp_path / "run" / "run.json").exists()
