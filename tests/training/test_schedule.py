"""Golden traces of the learning rate, the recipe's parsing and scaling."""

import pytest

from reslab.errors import UserError
from reslab.training.recipe import OPEN_CHOICES, Recipe, changed, parsed, scaled
from reslab.training.recipes import RECIPES, recipe
from reslab.training.schedule import is_moment, rate, warms_up


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
    ],
)
def test_refused(values, words):
    with pytest.raises(UserError, match=words):
        changed(Recipe(), values)
