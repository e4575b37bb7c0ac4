"""The page that runs networks, in a real browser from disk: torch's answers, blocks off, pictures, keyboard."""

from __future__ import annotations

import base64
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import some
from convert.test_onnx import trained
from nets.test_counts import VARIANTS
from PIL import Image

import reslab
from reslab.api.pages import write_networks
from reslab.claims.evidence import Net
from reslab.convert.runtimes.pictures import made_pictures
from reslab.data.batches.loader import Statistics
from reslab.data.batches.views import View, centre_crop, view_of
from reslab.data.source import source_of
from reslab.data.sources import load
from reslab.engines.steps import Steps
from reslab.errors import RunError, UserError
from reslab.measure.removal import removable, without
from reslab.models.transform import InputTransform
from reslab.show.pages.netpage import blocks_of, in_halves

RESULTS = Path(__file__).parents[2] / "results"
CIFAR10 = Path(os.environ.get("RESLAB_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10")
CLASSIFY = """([text, which, off]) =>
    window.reslab.classify(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), which, off)"""
NAMELESS = """[...document.querySelectorAll('button, canvas[role=img]')].filter((one) =>
    one.offsetParent && !one.textContent && !one.getAttribute('aria-label')).length"""
PAD = """[...document.getElementById('pad').getContext('2d').getImageData(128, 0, 1, 256).data]
    .filter((value, place) => place % 4 === 0)"""
READY = "document.body.dataset.ready === 'yes'"
KINDS = [case for case in VARIANTS if not case[0].startswith("vgg")]  # VGG's classifier is larger than a page


def opened(browser, file, width=1280, **context):
    """The page once it has answered, with what it printed and asked for."""
    page = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **context).new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    return page, said, asked


def until(page, expression):
    """Wait for an expression to be true; the page's policy forbids what Playwright's own waiting needs."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def answers(page, pictures, which=0, off=()):
    found = []
    for picture in pictures:
        content = io.BytesIO()
        picture.save(content, "PNG")
        found.append(page.evaluate(CLASSIFY, [base64.b64encode(content.getvalue()).decode(), which, list(off)]))
    return np.array(found)


def wanted(model, pictures, net=None):
    """torch's probabilities with the same rounded weights."""
    inputs = model.transform.inputs([model.transform.pixels(picture) for picture in pictures])
    with torch.no_grad():
        logits = Steps(in_halves(model.graph)).logits(inputs) if net is None else net(inputs)
    return logits.double().softmax(1).numpy()


def halved(model):
    """The network itself, without BN to fold, with weights that half precision holds: nothing is rounded."""
    weights = {name: value.half().float() for name, value in model.network.state_dict().items()}
    return replace(model, weights=weights)


@pytest.mark.parametrize(("name", "switches"), some(KINDS, quick=3, names=2))
def test_every_kind_of_net(browser, tmp_path, name, switches):
    """On squares of the net's size: a resize differs by a level in a few pixels, which such nets may enlarge a lot."""
    model = trained(name, **switches)
    size = model.transform.size
    model = replace(model, transform=replace(model.transform, view=View(size, size)))
    if sum(p.numel() for p in model.network.parameters()) > 1_000_000:
        with pytest.raises(UserError, match=r"would take \d+\.\d MB, the largest network takes 3.0 MB; use --to onnx"):
            reslab.export(model, to="page", out=tmp_path / "net.html")
        return
    file = reslab.export(model, to="page", out=tmp_path / "net.html", min_agreement=0)
    page, said, asked = opened(browser, file)
    until(page, READY)
    pictures = [picture.resize((size, size)) for picture in made_pictures(size, model.transform.channels, 3)]
    assert np.abs(answers(page, pictures) - wanted(model, pictures)).max() < 1e-4
    assert said == []
    assert [url for url in asked if not url.startswith(("blob:null/", "data:image/png"))] == [file.as_uri()]
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "view", [centre_crop(32), View(32, 32), view_of(32, "squash"), view_of(32, "letterbox", (9, 200, 81))]
)
def test_pictures_of_any_size_are_seen_as_pillow_resizes_them(browser, tmp_path, view, interpolation):
    model = trained("cifar_resnet8")
    transform = InputTransform(3, replace(view, interpolation=interpolation), model.transform.statistics)
    model = replace(model, transform=transform)
    page, said, _ = opened(browser, reslab.export(model, to="page", out=tmp_path / "net.html", min_agreement=0))
    until(page, READY)
    sizes = [(32, 32), (31, 47), (300, 401), (700, 100), (40, 900), (9, 12)]
    pictures = [one.resize(size) for one, size in zip(made_pictures(224, 3, len(sizes)), sizes, strict=True)]
    assert np.abs(answers(page, pictures) - wanted(model, pictures)).max() < 1e-4  # a level of a few pixels
    assert said == []
    page.context.close()


@pytest.fixture(scope="module")
def pair(browser, tmp_path_factory):
    """A page of a residual net and its plain twin, and the nets."""
    models = [halved(trained(name, batch_norm=False)) for name in ("cifar_resnet8", "cifar_plain8")]
    file = reslab.export(
        *models, to="page", out=tmp_path_factory.mktemp("pair") / "net.html", min_agreement=0, lang="ko"
    )
    return models, file


def test_blocks_switched_off(browser, pair):
    """Equal to the network without the block; a residual block that changes the shape leaves its shortcut."""
    models, file = pair
    page, said, _ = opened(browser, file)
    until(page, READY)
    pictures = made_pictures(32, 3, 2)
    for which, model in enumerate(models):
        can = [block["name"] for block in blocks_of(model.graph)]
        assert removable(model.network) == [name for name in can if name in removable(model.network)]
        for name in removable(model.network):
            with without(model.network, name) as net:
                assert np.abs(answers(page, pictures, which, [name]) - wanted(model, pictures, net)).max() < 1e-5
        whole = answers(page, pictures, which)
        assert np.abs(whole - answers(page, pictures, which, can[:1])).max() > 1e-3
    assert [len(blocks_of(model.graph)) for model in models] == [3, 1]
    net = models[0].network
    block = net.get_submodule("conv3_1")
    branch = block.branch
    block.branch = type("Zero", (torch.nn.Module,), {"forward": lambda self, x, note: torch.zeros(())})()
    try:
        assert np.abs(answers(page, pictures, 0, ["conv3_1"]) - wanted(models[0], pictures, net)).max() < 1e-5
    finally:
        block.branch = branch
    assert said == []
    page.context.close()


def test_a_person_uses_it(browser, pair):
    """By keyboard alone: a picture, a block, all on, the other language; then a phone."""
    _, file = pair
    page, said, asked = opened(browser, file)
    until(page, READY)
    assert page.evaluate("document.documentElement.lang") == "ko"
    page.focus("#strip button:nth-child(2)")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('#strip button')[1].getAttribute('aria-pressed') === 'true'")
    page.focus(".switches button")
    page.keyboard.press("Space")
    until(page, "document.querySelector('.change').textContent.includes('conv2_1')")
    assert page.get_attribute(".switches button", "aria-pressed") == "false"
    page.focus(".all")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.change').textContent === ''")
    page.focus("#language")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert "half precision" in page.inner_text(".net")
    assert page.evaluate(NAMELESS) == 0
    shown = float(page.inner_text(".bars .share").split()[0]) / 100
    page.context.close()
    page, *_ = opened(browser, file, 390)
    until(page, READY)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()
    assert 0 < shown <= 1
    assert said == []
    assert [url for url in asked if not url.startswith(("blob:null/", "data:image/png"))] == [file.as_uri()]


def test_bad_pictures_and_no_javascript(browser, pair, tmp_path):
    _, file = pair
    page, said, _ = opened(browser, file)
    until(page, READY)
    before = page.inner_text(".bars")
    for name, content in (("notes.txt", b"no picture"), ("empty.png", b""), ("half.png", b"\x89PNG\r\n\x1a\n\x00\x00")):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        until(page, f"document.getElementById('message').textContent.includes('{name}')")
    assert page.inner_text(".bars") == before
    made_pictures(50, 3, 1)[0].save(tmp_path / "right.png")
    page.set_input_files("#file", tmp_path / "right.png")
    until(page, "document.getElementById('message').textContent === ''")
    assert said == []
    page.context.close()
    page, *_ = opened(browser, file, java_script_enabled=False)
    assert page.is_visible("noscript p")
    assert not page.is_visible("#app")
    page.context.close()


def test_a_digit_is_drawn(browser, tmp_path):
    model = trained("cifar_resnet8", in_channels=1)
    transform = InputTransform(
        1, View(32, 32), Statistics(np.zeros((1, 1, 1), np.float32), np.full(1, 255, np.float32))
    )
    file = reslab.export(replace(model, transform=transform), to="page", out=tmp_path / "net.html", min_agreement=0)
    page, said, _ = opened(browser, file)
    until(page, READY)
    before, box = page.inner_text(".bars"), page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20, steps=5)
    page.mouse.up()
    until(page, f"document.querySelector('.bars').innerText !== {json.dumps(before)}")
    pixels = page.evaluate(PAD)
    assert pixels[0] == 0
    assert pixels[128] == 255
    page.click("#clear")
    assert max(page.evaluate(PAD)) == 0
    assert said == []
    page.context.close()


@pytest.mark.skipif(not CIFAR10.exists(), reason="no CIFAR-10 here: set RESLAB_CIFAR10 to a folder that has it")
@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("count", [50, 1_000])
def test_answers_are_torchs(browser, tmp_path, count):
    source = f"cifar10:{CIFAR10}"
    (second,) = (RESULTS / "cifar10-quarter").glob("cifar_resnet56-*-s0-*")
    models = [reslab.load(RESULTS / "gpu-whole" / "cifar_resnet20-s0"), reslab.load(second)]
    told: list[str] = []
    file = reslab.export(*models, to="page", data=source, out=tmp_path / "net.html", tell=told.append)
    assert file.stat().st_size < 6_000_000
    test = load(source_of(source), splits=("test",)).test
    pictures = [Image.fromarray(test.images[row]) for row in range(0, 10_000, 10_000 // count)]
    page, said, _ = opened(browser, file)
    until(page, READY)
    for which, model in enumerate(models if count > 50 else models[:1]):
        found, theirs = answers(page, pictures, which), wanted(model, pictures)
        assert (found.argmax(1) == theirs.argmax(1)).all()
        assert np.abs(found - theirs).max() < 1e-4
        exact = wanted(model, [Image.fromarray(one) for one in test.images[::10]], model.network).argmax(1)
        halves = wanted(model, [Image.fromarray(one) for one in test.images[::10]]).argmax(1)
        assert f"keep {int((exact == halves).sum()):,} of 1,000 answers (cifar10 test)" in told[which]
    assert said == []
    page.context.close()


def test_refused(tmp_path):
    model = trained("cifar_resnet8")
    (tmp_path / "there.html").write_text("mine")
    for arguments, options, message in (
        ([model], {"to": "page", "out": tmp_path / "there.html"}, "exists already"),
        ([model], {"to": "page", "out": tmp_path / "a.onnx"}, "--to page is written as .html"),
        ([model], {"to": "page", "out": "/proc/a.html"}, "cannot be written"),
        ([model, model], {"to": "onnx"}, "a second model is for --to page, not for --to onnx"),
        ([model], {"to": "onnx", "lang": "ko"}, "--lang: is for --to page, not for --to onnx"),
    ):
        with pytest.raises(UserError) as caught:
            reslab.export(*arguments, **options)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    large = replace(model, weights={n: v * (1e8 if n.endswith("fc.weight") else 1) for n, v in model.weights.items()})
    with pytest.raises(UserError, match="weights beyond 65,504"):
        reslab.export(large, to="page", out=tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


def test_too_many_changed_answers_leave_nothing(tmp_path):
    """Weights as small as half precision's smallest numbers lose most of their digits."""
    model = trained("cifar_resnet8")
    tiny = replace(model, weights={n: v * (1e-7 if ".fc." in n else 1) for n, v in model.weights.items()})
    with pytest.raises(RunError, match=r"in half precision changes \d+ of \d+ answers, .*; nothing written"):
        reslab.export(tiny, to="page", out=tmp_path / "a.html")
    assert [*tmp_path.iterdir()] == []


def test_reports_link_to_it(tmp_path):
    """`reproduce` writes it for the deepest pair; a run's report links to it once it is there."""
    runs = {}
    for name in ("cifar_resnet8", "cifar_plain8"):
        options = {"recipe": "digits-smoke", "iterations": 1, "device": "cpu", "out": tmp_path / name}
        runs[Net(name), 0] = reslab.train(name, **options).folder
    told: list[dict] = []
    write_networks(tmp_path, runs, "ko", told.append)
    assert told == []
    html = (tmp_path / "network.html").read_text()
    assert '<html lang="ko">' in html
    assert "cifar_resnet8 and cifar_plain8" in html
    folder = runs[Net("cifar_resnet8"), 0]
    assert "network.html" not in reslab.report([folder]).read_text()
    reslab.export(folder, to="page", out=folder / "network.html", min_agreement=0)
    assert '<a href="network.html">' in reslab.report([folder]).read_text()
    assert '<a href="cifar_resnet8/network.html">' in reslab.report([folder], out=tmp_path / "a.html").read_text()
    assert "data:image" not in reslab.report([folder]).read_text()
    reslab.evaluate(folder, pictures=folder / "evaluation", worst=3)
    page = reslab.report([folder]).read_text()
    assert page.count('<img src="data:image/svg+xml;base64,') == 2
    assert page.count('<img src="data:image/png;base64,') == 1
    (tmp_path / "network.html").unlink()
    write_networks(tmp_path, {(Net("cifar_resnet8"), 0): folder}, "en", told.append)
    assert not (tmp_path / "network.html").exists()
