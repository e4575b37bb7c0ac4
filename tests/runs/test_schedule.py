"""Golden traces of the learning rate, the recipe's parsing and scaling."""

import inspect
import math
from dataclasses import replace

import pytest

from reslab.errors import UserError
from reslab.measure.ensemble import average
from reslab.nets.cost import cost
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.nets.spec import Spec
from reslab.runs.openchoices import OPEN_BEYOND, OPEN_CHOICES
from reslab.runs.recipe import Recipe, changed, parsed, scaled
from reslab.runs.recipes import RECIPES, recipe
from reslab.runs.schedule import is_moment, rate, warms_up
from reslab.show.terminal.text import recipe_text
from reslab.training.checks import check_optimizer, full_size_updates, on_small_images


def test_the_papers_rate():
    """§4.2: 0.1, divided by 10 at 32k and 48k iterations, 64k in all."""
    r = recipe("paper-cifar")
    assert (r.iterations, r.batch, r.weight_decay, r.momentum) == (64_000, 128, 1e-4, 0.9)
    trace = {i: rate(r, i) for i in (0, 31_999, 32_000, 47_999, 48_000, 63_999)}
    assert trace == pytest.approx({0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001})
    assert rate(r, 0, warming=True) == 0.01


def test_who_warms_up():
    """§4.2: 110 layers; 56 and fewer do not."""
    r = recipe("paper-cifar")
    assert [warms_up(r, d) for d in (20, 56, 109, 110, 1202)] == [False, False, False, True, True]
    assert not warms_up(changed(r, {"warmup_from_depth": 0}), 1202)


def test_scale_keeps_the_proportions():
    quarter = scaled(recipe("paper-cifar"), 0.25)
    assert (quarter.iterations, quarter.drops) == (16_000, (8_000, 12_000))
    for factor in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="--scale"):
            scaled(recipe("paper-cifar"), factor)


def test_scale_moves_every_moment():
    fast = changed(recipe("paper-cifar"), {"rise": 400, "small_until": 1000, "small_size": 24})
    half = scaled(fast, 0.5)
    assert (half.rise, half.small_until, half.small_size) == (200, 500, 24)
    assert scaled(recipe("paper-cifar"), 0.001).rise == 0  # none stays none


def test_rates_that_rise_and_fall_to_nothing():
    """Golden traces: three iterations up, then along a line, half a cosine, or in steps."""
    r = changed(recipe("paper-cifar"), {"iterations": 11, "rise": 3, "lr": 0.8, "schedule": "linear"})
    assert [rate(r, i) for i in range(11)] == pytest.approx([0.2, 0.4, 0.6, *(0.1 * k for k in range(8, 0, -1))])
    r = changed(r, {"schedule": "cosine"})
    expected = [0.4 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    assert [rate(r, i) for i in range(3, 11)] == pytest.approx(expected)
    r = changed(r, {"schedule": "steps", "drops": (5,)})
    assert [rate(r, i) for i in (0, 2, 3, 4, 5, 10)] == pytest.approx([0.2, 0.6, 0.8, 0.8, 0.08, 0.08])
    short = changed(r, {"schedule": "linear", "iterations": 2})  # shorter than its rise
    assert [rate(short, i) for i in range(2)] == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize("start", [0, 70, 100, 130])
def test_full_size_updates_against_a_sum(start):
    """Each update by the MACs of the net on its own images."""
    spec = spec_of("cifar_resnet20")
    for choices in ({}, {"small_size": 24, "small_until": 100}, {"small_size": 16, "small_until": 9_999}):
        r = changed(Recipe(), {"iterations": 150, **choices})
        sizes = [r.small_size if k < r.small_until else 32 for k in range(start, 150)]
        macs = {s: cost(replace(spec, image_size=s)).macs for s in set(sizes)}
        expected = sum(macs[s] for s in sizes) / cost(spec).macs
        assert full_size_updates(spec, r, start) == pytest.approx(expected, rel=1e-12)
        assert expected < 150 - start or not choices or start >= r.small_until


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [("cifar_resnet20", 32, "below the images' 32"), ("mlp_resnet20", 4, "one size"), ("resnet18", 1, "image_size")],
)
def test_small_images_that_cannot_be(model, size, words):
    with pytest.raises(UserError, match=words):
        on_small_images(spec_of(model), changed(Recipe(), {"small_size": size, "small_until": 5}))
    assert on_small_images(spec_of(model), changed(Recipe(), {"small_size": size})) == spec_of(model)


def test_163_84_epochs():
    """64,000 iterations of 128 over 50,000 images, the last batch filled from the next epoch."""
    r = recipe("paper-cifar")
    assert r.last_batch == "fill"
    assert r.iterations * r.batch / 50_000 == 163.84


def test_moments():
    assert [i for i in range(11) if is_moment(i, 4, 10)] == [4, 8, 10]


def test_recipes_are_complete_and_round_trip():
    for name, make in RECIPES.items():
        assert make().name == name
        assert Recipe.from_dict(make().to_dict()) == make()
        assert make.__doc__
    assert {"paper-cifar-smoke", "digits-smoke"} <= set(RECIPES)
    assert set(OPEN_CHOICES) <= set(Recipe().to_dict())


def test_the_open_choices_outside_the_recipe_are_what_the_code_does():
    chosen = {name: choice for name, (choice, _) in OPEN_BEYOND.items()}
    spec = Spec("cifar", 8, (("basic",),) * 3, (16, 32, 64))
    average_of = inspect.signature(average).parameters["how"].default
    assert chosen == {"head weights": "N(0, 1/fan_in)", "fan": spec.fan, "pad_at": spec.pad_at, "ensemble": average_of}
    head = build("mlp_resnet4", widths=(1024,), classes=1000).get_submodule("head.fc").weight
    assert head.std().item() == pytest.approx(1024**-0.5, rel=0.01)
    text = recipe_text(Recipe())
    for name, (choice, reason) in OPEN_BEYOND.items():
        assert f"\n  {name:17}  {choice}: {reason}" in text


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("lr", "0.05", 0.05),
        ("batch", "1_024", 1024),
        ("drops", "10,20", (10, 20)),
        ("drops", "", ()),
        ("augment", "none", "none"),
    ],
)
def test_set(key, text, value):
    assert parsed(key, text) == value
    assert getattr(changed(Recipe(), {key: parsed(key, text)}), key) == value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr": 0}, "lr = 0.0 must be a positive"),
        ({"lr": float("nan")}, "lr"),
        ({"learning_rate": 0.1}, "unknown key 'learning_rate'"),
        ({"bacth": 3}, "did you mean batch"),
        ({"batch": 0}, "at least 1"),
        ({"batch": 2.5}, "not a whole number"),
        ({"drops": (20, 10)}, "rising"),
        ({"bn_batch": 3}, "divide"),
        ({"augment": "flip"}, "none of crop-flip, crop, none"),
        ({"momentum": 1.0}, "momentum"),
        ({"iterations": True}, "not a whole number"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"rise": -1}, "rise = -1 must not be negative"),
        ({"momentum_form": "nesterov", "momentum": 0.0}, "momentum above 0"),
        ({"optimizer": "adam"}, "none of sgd, muon"),
        ({"muon_lr": 0.0}, "muon_lr"),
    ],
)
def test_refused(values, words):
    with pytest.raises(UserError, match=words):
        changed(Recipe(), values)


def test_muon_wants_convolutions():
    muon = changed(Recipe(), {"optimizer": "muon"})
    check_optimizer(spec_of("cifar_resnet20"), muon)
    check_optimizer(spec_of("mlp_resnet8"), Recipe())
    with pytest.raises(UserError, match="turns convolutions, and mlp_resnet8 has none"):
        check_optimizer(spec_of("mlp_resnet8"), muon)


def test_the_fast_recipe_is_a_twelfth_of_the_papers_passes():
    spec = spec_of("cifar_resnet20")
    ours, papers = (r.batch * full_size_updates(spec, r) for r in (recipe("fast-cifar"), recipe("paper-cifar")))
    assert papers == 64_000 * 128
    assert papers / 13 < ours <= papers / 12
