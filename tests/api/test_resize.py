"""How a picture becomes the square, end to end: long pictures whose class is at one end, in every verb and export."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from cases import some
from PIL import Image

import reslab
from reslab.api.explanations import explain
from reslab.api.jobs import job_of
from reslab.data.batches.loader import fill_of
from reslab.data.images.decode import read
from reslab.data.sources import load
from reslab.errors import UserError
from reslab.models.trained import load as model_of
from reslab.options.training import TrainOptions

WIDE, HIGH, SIDE = 400, 40, 32
FAST = {"augment": "crop", "lr": 0.05, "eval_every": 1_000, "clean_every": 1_000, "save_every": 1_000}


def strip(generator: np.random.Generator, is_red: bool) -> Image.Image:
    """A grey strip with noise and coloured blots; red or blue in its left tenth is its class."""
    pixels = generator.normal(128, 30, (HIGH, WIDE, 3))
    for column in generator.integers(80, WIDE - 40, 4):  # of either colour, so the mean says nothing
        pixels[:, column : column + 30, generator.choice([0, 2])] += 80
    pixels[:, 0:60, 0 if is_red else 2] += 100
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root, generator = tmp_path_factory.mktemp("strips"), np.random.default_rng(0)
    for split, count in (("train", 60), ("val", 30)):
        for name in ("blue", "red"):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                strip(generator, name == "red").save(root / split / name / f"{k}.png")
    return root


@pytest.fixture(scope="module", params=some(["crop", "squash", "letterbox"], quick=1))
def trained(request, folder, tmp_path_factory):
    """The value of `resize` and a run with it."""
    out, lines = tmp_path_factory.mktemp(request.param) / "run", []
    reslab.train(
        "cifar_resnet8", data=folder, out=out, image_size=SIDE, iterations=60, seed=0, device="cpu", threads=1,
        precision="fp32", workers=0, set={**FAST, "resize": request.param}, tell=lines.append,
    )  # fmt: skip
    return request.param, out, [line.get("text", "") for line in lines]


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "val").rglob("*.png"))


def error_of(run, folder: Path) -> float:
    (scored,) = reslab.evaluate(run, folder, split="val", threads=1, workers=0)
    return scored.to_dict()["top1_error"]


@pytest.mark.slow
def test_what_is_at_an_end_is_learnt_unless_it_is_cut_off(trained, folder):
    resize, out, lines = trained
    error = error_of(out, folder)
    assert error > 30 if resize == "crop" else error < 10
    told = [line for line in lines if "less than half of the area" in line]
    assert bool(told) == (resize == "crop")
    assert all("--set resize=letterbox" in line for line in told)


def test_every_verb_and_export_answers_equally(trained, folder, tmp_path):
    resize, out, _ = trained
    names = pictures(folder)
    predicted = [one.classes[0][0] for one in reslab.predict(out, names, device="cpu")]
    explained = list(explain(out, names, device="cpu"))
    assert [one.class_name for one in explained] == predicted
    model = model_of(out)
    error = 100 * np.mean([name.parent.name != found for name, found in zip(names, predicted, strict=True)])
    assert error == pytest.approx(error_of(out, folder))
    assert np.array_equal(explained[3].pixels, model.transform.view(read(names[3])))

    copies = {
        "folder": model.save_pretrained(tmp_path / "model"),
        "file": reslab.export(out, to="safetensors", out=tmp_path / "a.safetensors"),
    }
    for source in copies.values():
        again = reslab.load(source)
        assert again.transform.view == model.transform.view
        assert [one.classes[0][0] for one in reslab.predict(again, names, device="cpu")] == predicted
    file = reslab.export(out, to="onnx", with_preprocessing=True, data=folder, out=tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    logits = [session.run(["logits"], {"pixels": np.asarray(Image.open(name))[None]})[0][0] for name in names]
    same = [model.classes[row.argmax()] == found for row, found in zip(logits, predicted, strict=True)]
    assert all(same) or (resize == "crop" and np.mean(same) > 0.9)  # that net guesses: a level of a pixel may decide
    described = json.loads(session.get_modelmeta().custom_metadata_map["input"])
    assert described.get("resize", "crop") == resize
    card = (tmp_path / "model" / "README.md").read_text()
    words = {"crop": "centre crop of 32", "squash": "squashed to 32 x 32", "letterbox": "longer side resized to 32"}
    assert words[resize] in card


def test_a_folder_without_the_field_is_a_crop(trained, tmp_path):
    resize, out, _ = trained
    if resize != "crop":
        pytest.skip("one value is enough")
    model = model_of(out)
    recorded = model.to_dict()["input"]
    assert recorded == {"channels": 3, "size": SIDE, "shorter": 37, "interpolation": "bilinear"}


def test_the_border_is_the_mean_colour(folder):
    """0 once centred, to half a level of the scale."""
    job, data = job_of(
        "cifar_resnet8", TrainOptions(data=folder, set={"resize": "letterbox"}), {"image_size": SIDE}, None
    )
    from reslab.data.batches.loader import evaluation_batches, statistics

    found = statistics(data.split("train"), "channel", "channel-std")
    squares = [np.asarray(read(path).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for path in data.train.paths]
    assert np.allclose(found.mean.ravel(), np.mean(squares, axis=(0, 1, 2)), atol=1e-3)
    assert fill_of(found) == tuple(int(v) for v in np.round(np.mean(squares, axis=(0, 1, 2))))
    batch = next(iter(evaluation_batches(data.split("val"), found, 4)))
    border = batch.images[:, :, [0, -1]]
    assert border.abs().max() * found.scale.min() <= 0.5 + 1e-3
    assert job.recipe.resize == "letterbox"


def test_names_and_refusals(folder, tmp_path):
    same, _ = job_of("cifar_resnet8", TrainOptions(data=folder, set={"resize": "crop"}), {}, None)
    plain, _ = job_of("cifar_resnet8", TrainOptions(data=folder), {}, None)
    other, _ = job_of("cifar_resnet8", TrainOptions(data=folder, set={"resize": "squash"}), {}, None)
    assert same.out == plain.out != other.out
    assert "--set resize=squash" in other.command
    with pytest.raises(UserError, match="resize"):
        job_of("cifar_resnet8", TrainOptions(data=folder, set={"resize": "stretch"}), {}, None)


def test_check_warns_and_names_the_remedy(folder):
    kinds = {finding.kind for finding in load(str(folder), size=SIDE).findings}
    assert "cropped" in kinds
    assert "cropped" not in {finding.kind for finding in load(str(folder), size=SIDE).resized("squash").findings}


def test_a_run_from_a_model_with_another_value_tells_it(trained, folder, tmp_path):
    resize, out, _ = trained
    texts = []
    for value in ("crop", "letterbox"):
        lines = []
        reslab.train(
            data=folder, init_from=out, out=tmp_path / value, image_size=SIDE, iterations=1, device="cpu", threads=1,
            workers=0, set={**FAST, "resize": value}, tell=lines.append,
        )  # fmt: skip
        texts.append(" ".join(line.get("text", "") for line in lines))
    for value, text in zip(("crop", "letterbox"), texts, strict=True):
        assert (f"resize is {value}, and was {resize} in its training" in text) == (value != resize)
