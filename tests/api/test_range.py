"""`--range` from training to every use of the model: the levels of 16-bit files are decided once and stay."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from predicting import names, shares

import reslab
from reslab.cli.main import main
from reslab.data.images.levels import FULL, Levels
from reslab.errors import Interrupted, UserError
from reslab.runs.recipe import Recipe
from reslab.store.files import sha256

LOW, HIGH = 1000, 1100  # 16-bit levels of the files below; over the full range all of them are 4 of 255
SHORT = {"batch": 8, "iterations": 24, "drops": (), "log_every": 8, "save_every": 8, "eval_every": 24,
         "clean_every": 24, "lr": 0.05, "augment": "none"}  # fmt: skip


def pixels(cls: str, draws: np.random.Generator) -> np.ndarray:
    """Stripes across or along, 20 x 20, between LOW and HIGH."""
    wave = np.sin(np.arange(20) * 1.5 + draws.uniform(0, 6)) * 45 + 1050
    values = np.tile(wave, (20, 1)) if cls == "along" else np.tile(wave[:, None], (1, 20))
    values = (values + draws.normal(0, 4, (20, 20))).clip(LOW, HIGH).astype(np.uint16)
    values[0, :2] = LOW, HIGH
    return values


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> Path:
    root, draws = tmp_path_factory.mktemp("data") / "stripes", np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for cls in ("across", "along"):
            (root / split / cls).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(pixels(cls, draws)).save(root / split / cls / f"{number}.png")
    return root


def train(data: Path, out: Path, model: str | None = "cifar_resnet8", **options):
    told: list[dict] = []
    settings = {**SHORT, **options.pop("set", {})}
    net = {} if model is None else {"widths": (4, 4, 8), "image_size": 20}
    record = reslab.train(
        model, data, out=out, set=settings, threads=1, workers=0, device="cpu", **net,
        **{"tell": told.append, **options},
    )  # fmt: skip
    return record, told


@pytest.fixture(scope="module")
def auto(stripes, tmp_path_factory) -> Path:
    return train(stripes, tmp_path_factory.mktemp("runs") / "auto")[0].folder


@pytest.fixture(scope="module")
def full(stripes, tmp_path_factory) -> Path:
    return train(stripes, tmp_path_factory.mktemp("runs") / "full", range="full")[0].folder


def error(run: Path, data: Path | None = None) -> float:
    (found,) = reslab.evaluate(run, data, split="val", threads=1, workers=0)
    return found.to_dict()["top1_error"]


def recorded(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())["data"]


def weights(run: Path, step: int = 24) -> str:
    return sha256(run / "checkpoints" / f"step-{step:08}" / "weights.safetensors")


def test_auto_learns_what_the_full_range_cannot_show(stripes, auto, full):
    """Over the full range every pixel is 4 of 255, so no net can do better than one class for all."""
    assert error(full) == 50.0
    assert error(auto) <= 10.0
    assert (recorded(auto)["range"], "range" in recorded(full)) == ([LOW, HIGH], False)
    assert recorded(auto)["fingerprint"] != recorded(full)["fingerprint"]
    command = json.loads((full / "run.json").read_text())["command"]
    assert "--range full" in command


def test_it_is_told_in_one_line(stripes, tmp_path):
    _, events = train(stripes, tmp_path / "run", set={"iterations": 1})
    (line,) = (event["text"] for event in events if "16-bit" in str(event.get("text")))
    assert line.startswith("16-bit images: 36 of 36, levels 1,000 to 1,100 become 0 to 255; train/across/0.png")
    _, events = train(stripes, tmp_path / "full", set={"iterations": 1}, range="full")
    kinds = {event["kind"]: event["text"] for event in events if "16-bit" in str(event.get("text"))}
    assert kinds["warning"].startswith("16-bit images that come out black: 36 of 36")
    assert kinds["note"].startswith("16-bit images: 36 of 36, divided by 257")
    told = reslab.api.runs.rehearse("cifar_resnet8", stripes, image_size=20, device="cpu", threads=1, set=SHORT)
    assert any("levels 1,000 to 1,100 become 0 to 255" in line for line in told.findings)


def test_every_form_of_a_picture_has_the_pixels_of_training(stripes, auto, tmp_path):
    """A path, bytes, an open file and a Pillow image against an 8-bit array that numpy mapped."""
    file = stripes / "val" / "along" / "0.png"
    with Image.open(file) as image:
        values = np.asarray(image)
        image.load()
        mapped = np.floor((values - float(LOW)) * 255 / (HIGH - LOW) + 0.5).astype(np.uint8)
        want = shares(auto, mapped)
        assert shares(auto, file) == shares(auto, file.read_bytes()) == shares(auto, image) == want
        with file.open("rb") as opened:
            assert shares(auto, opened) == want
        assert shares(auto, Image.fromarray(mapped)) == want
        tiff = io.BytesIO()
        image.save(tiff, "TIFF")
        assert shares(auto, tiff.getvalue()) == want
    assert names(auto, [file]) == [str(file)]
    probabilities = reslab.classifier(auto, threads=1, precision="fp32", batch=1)([file, mapped])
    assert probabilities[0].tolist() == probabilities[1].tolist()
    (one,) = reslab.explain(auto, [file], threads=1)
    assert np.array_equal(one.pixels[..., 0], reslab.load(auto).transform.view(Image.fromarray(mapped))[..., 0])


def test_evaluation_is_that_of_8_bit_copies(stripes, auto, tmp_path):
    """Scored on the run's own files, on the same files elsewhere, and on copies that numpy mapped: one result."""
    (own,) = reslab.evaluate(auto, split="val", threads=1, workers=0)
    for file in (stripes / "val").rglob("*.png"):
        for place, mapped in (("moved", False), ("eight", True)):
            copy = tmp_path / place / file.relative_to(stripes)
            copy.parent.mkdir(parents=True, exist_ok=True)
            values = np.asarray(Image.open(file))
            if mapped:
                values = np.floor((values - float(LOW)) * 255 / (HIGH - LOW) + 0.5).astype(np.uint8)
            Image.fromarray(values).save(copy)
    for place in ("moved", "eight"):
        (other,) = reslab.evaluate(auto, tmp_path / place, split="val", threads=1, workers=0)
        assert other.scores == own.scores
    assert "16-bit pixels: levels 1,000 to 1,100 become 0 to 255" in own.to_dict()["data_notes"]


def test_a_model_folder_and_a_file_of_weights_keep_the_levels(stripes, auto, full, tmp_path):
    folder = reslab.load(auto).save_pretrained(tmp_path / "model")
    assert json.loads((folder / "config.json").read_text())["input"]["range"] == [LOW, HIGH]
    assert "levels 1,000 to 1,100 become 0 to 255" in (folder / "README.md").read_text()
    own = reslab.export(auto, to="safetensors", out=tmp_path / "own.safetensors")
    file = stripes / "val" / "along" / "1.png"
    for place in (folder, own):
        assert reslab.load(place).transform.levels == Levels(LOW, HIGH)
        assert shares(place, file) == shares(auto, file)
    assert reslab.load(full).transform.levels == FULL
    other = reslab.load(full).save_pretrained(tmp_path / "other")
    assert "range" not in json.loads((other / "config.json").read_text())["input"]
    config = json.loads((folder / "config.json").read_text())
    for damage in ([5], [9, 2], "all", [0, 1.5], [0, 70000]):
        config["input"]["range"] = damage
        (folder / "config.json").write_text(json.dumps(config))
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["sha256"]["config.json"] = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(UserError, match=r"config\.json is damaged"):
            reslab.load(folder)


def test_an_export_tells_the_levels(stripes, auto, full, tmp_path):
    onnx = pytest.importorskip("onnx")
    for run, count in ((auto, 1), (full, 0)):
        told: list[str] = []
        out = reslab.export(run, to="onnx", out=tmp_path / f"{run.name}.onnx", tell=told.append)
        facts = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
        assert json.loads(facts["input"]).get("range") == ([LOW, HIGH] if count else None)
        assert sum("levels 1,000 to 1,100 become 0 to 255" in line for line in told) == count
        told.clear()
        reslab.export(
            run, to="page", out=tmp_path / f"{run.name}.html", data=stripes, min_agreement=0, tell=told.append
        )
        assert sum("a browser divides them by 257" in line for line in told) == count


def interrupted(data: Path, out: Path, **options) -> None:
    """Train to the first checkpoint, and stop."""

    def stop(event: dict) -> None:
        if event["kind"] == "checkpoint":
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train(data, out, tell=stop, **options)


def test_a_run_without_a_range_goes_on_over_the_full_range(stripes, full, tmp_path):
    """Its record is what earlier versions wrote: no range. Auto, which is the default now, does not decide again."""
    out = tmp_path / "run"
    interrupted(stripes, out, range="full")
    assert "range" not in recorded(out)
    record, events = train(stripes, out)
    assert record.finished
    assert not [event for event in events if "not bit for bit" in str(event.get("text"))]
    assert weights(out) == weights(full)
    assert recorded(out)["fingerprint"] == recorded(full)["fingerprint"]
    assert reslab.load(out).transform.levels == FULL
    assert error(out) == 50.0


def test_a_run_with_a_range_goes_on_with_it(stripes, auto, tmp_path):
    out = tmp_path / "run"
    interrupted(stripes, out)
    assert train(stripes, out)[0].finished
    assert weights(out) == weights(auto)
    assert train(stripes, out, range=f"{LOW},{HIGH}")[0].finished  # the same range by its numbers


@pytest.mark.parametrize(("text", "words"), [("full", "range is full here and 1000,1100 there"),
                                             ("0,4095", "range is 0,4095 here and 1000,1100 there")])  # fmt: skip
def test_another_range_is_another_run(stripes, auto, text, words):
    with pytest.raises(UserError, match=f"holds another run .{words}"):
        train(stripes, auto, range=text)


def test_a_new_run_from_a_model_has_the_range_of_its_own_data(stripes, auto, tmp_path):
    brighter = tmp_path / "brighter"
    for file in stripes.rglob("*.png"):
        copy = brighter / file.relative_to(stripes)
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(file)) * np.uint16(3) + np.uint16(7)).save(copy)
    record, _ = train(brighter, tmp_path / "run", None, init_from=auto, set={"iterations": 1})
    assert record.run["data"]["range"] == [3 * LOW + 7, 3 * HIGH + 7]
    (found,) = reslab.evaluate(auto, stripes, split="val", threads=1, workers=0)
    assert found.scores.n == 12


def test_an_ensemble_of_both(stripes, auto, full):
    """Members read the same files each with its own levels."""
    alone = [error(auto), error(full)]
    *members, whole = reslab.evaluate([auto, full], split="val", threads=1, workers=0, ensemble="softmax")
    assert [member.to_dict()["top1_error"] for member in members] == alone
    assert members[1].comparison is not None
    assert whole.scores.n == 12


def test_the_command_line(stripes, tmp_path, capsys):
    words = ["train", "cifar_resnet8", "--data", str(stripes), "--out", str(tmp_path / "run")]
    for text in ("half", "10", "9,3", "0,65536"):
        assert main([*words, "--range", text]) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"reslab: --range: {text!r} is none of auto, full and LOW,HIGH")
        assert line.count("\n") == 1
    assert main(["train", "cifar_resnet8", "--range", "0,4095", "--out", str(tmp_path / "run")]) == 2
    assert "--range 0,4095: digits has no files of 16 bits; leave it out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_that_began_over_the_full_range_goes_on_so(stripes, tmp_path):
    """`reproduce` has no --range: its runs share the range that the first of them has."""
    settings = {"iterations": 2, "drops": (), "batch": 8, "warmup_from_depth": 0, "log_every": 1, "probe_every": 0}
    options = {"data": str(stripes), "depths": (8, 14), "seeds": 1, "set": settings, "tell": lambda event: None}
    for name, begun, text in (("new", False, [LOW, HIGH]), ("old", True, None)):
        out = tmp_path / name
        if begun:
            found = next((tmp_path / "new").glob("cifar_resnet8-*"))
            record = json.loads((found / "run.json").read_text())
            reslab.train(
                "cifar_resnet8", stripes, recipe=Recipe.from_dict(record["recipe"]), out=out / found.name,
                range="full", threads=1, workers=0, device="cpu", tell=lambda event: None,
            )  # fmt: skip
        reslab.reproduce("degradation", **options, out=out, processes=1)
        runs = [recorded(file.parent) for file in out.glob("cifar_*/run.json")]
        assert len(runs) == 4
        assert [run.get("range") for run in runs] == [text] * 4
