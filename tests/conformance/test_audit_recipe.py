"""A recipe against the paper's: each field that the paper states departs on its own, and no other."""

from dataclasses import fields, replace

import pytest

from reslab.conformance.recipe import audit_recipe
from reslab.nets.names import spec_of
from reslab.runs.openchoices import OPEN_CHOICES
from reslab.runs.recipe import Recipe
from reslab.runs.recipes import fast_cifar, paper_cifar

CHANGES = {
    "batch": ({"batch": 64}, "batch"),
    "iterations": ({"iterations": 32_001}, "schedule"),
    "lr": ({"lr": 0.05}, "schedule"),
    "drops": ({"drops": (32_000,)}, "schedule"),
    "drop_factor": ({"drop_factor": 0.2}, "schedule"),
    "momentum": ({"momentum": 0.8}, "optimizer"),
    "weight_decay": ({"weight_decay": 5e-4}, "decay"),
    "warmup_from_depth": ({"warmup_from_depth": 20}, "warmup"),
    "augment": ({"augment": "crop"}, "augmentation"),
    "pad": ({"pad": 2}, "augmentation"),
    "centre": ({"centre": "channel"}, "input"),
    "momentum_form": ({"momentum_form": "nesterov"}, "optimizer"),
    "schedule": ({"schedule": "cosine"}, "schedule"),
    "rise": ({"rise": 100}, "schedule"),
    "optimizer": ({"optimizer": "muon"}, "optimizer"),
    "label_smoothing": ({"label_smoothing": 0.1}, "loss"),
    "flip": ({"flip": "alternating"}, "augmentation"),
    "small_size": ({"small_size": 20, "small_until": 10}, "augmentation"),
    "mixup": ({"mixup": 0.2}, "augmentation"),
    "cutmix": ({"cutmix": 1.0}, "augmentation"),
    "average": ({"average": 0.999}, "evaluation"),
    "balance": ({"balance": "loss"}, "loss"),
    "patience": ({"patience": 3}, "schedule"),
}
ONLY_DEEP = {"warmup_lr": 0.02, "warmup_error": 70.0}
OPEN = {
    "holdout": 5_000, "bn_batch": 64, "bn_momentum": 0.2, "bn_statistics": "precise", "decay_on": "weights",
    "momentum_form": "caffe", "last_batch": "drop", "scale": "none", "warmup_window": 7, "clean_every": 5,
}  # fmt: skip
MOMENTS = {
    "name",
    "images",
    "eval_every",
    "probe_every",
    "log_every",
    "save_every",
    "warmup_alarm",
    "muon_lr",
    "small_until",
    "resize",
}
NET = spec_of("cifar_resnet20")


def departures(recipe, spec=NET):
    return [row.item for row in audit_recipe(recipe, spec) if row.departs]


def test_every_field_is_tested():
    """`muon_lr` and `small_until` have no effect alone, `resize` none on CIFAR; moments of looking none at all."""
    assert {f.name for f in fields(Recipe)} == {*CHANGES, *ONLY_DEEP, *OPEN, *MOMENTS}
    assert OPEN.keys() == OPEN_CHOICES.keys()


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_resnet110", "cifar_plain1202"])
def test_the_papers_recipe(name):
    assert departures(paper_cifar(), spec_of(name)) == []


@pytest.mark.parametrize(("values", "item"), CHANGES.values(), ids=CHANGES)
def test_one_field(values, item):
    rows = {row.item: row for row in audit_recipe(replace(paper_cifar(), **values), NET)}
    assert [item for item, row in rows.items() if row.departs] == [item]
    assert rows[item].found != {row.item: row for row in audit_recipe(paper_cifar(), NET)}[item].found


def test_what_the_paper_leaves_open():
    assert departures(replace(paper_cifar(), **OPEN)) == []


@pytest.mark.parametrize(("key", "value"), ONLY_DEEP.items())
def test_the_first_phase_of_deep_nets(key, value):
    recipe = replace(paper_cifar(), **{key: value})
    assert departures(recipe) == []
    assert departures(recipe, spec_of("cifar_resnet110")) == ["warmup"]
    without = replace(paper_cifar(), warmup_from_depth=0)
    assert departures(without, spec_of("cifar_resnet110")) == ["warmup"]


def test_a_fast_recipe():
    assert departures(fast_cifar()) == ["optimizer", "schedule", "augmentation", "loss"]


def test_imagenet():
    """Colours are not augmented and one view is scored, whatever the recipe."""
    recipe = replace(paper_cifar(), batch=256, iterations=600_000, drops=(150_000, 300_000))
    assert departures(recipe, spec_of("resnet50")) == ["augmentation", "evaluation"]
    assert departures(paper_cifar(), spec_of("resnet50")) == ["batch", "augmentation", "evaluation"]
    rows = audit_recipe(recipe, spec_of("resnet50"))
    assert all("§3" in row.paper for row in rows)
    assert "no colour augmentation" in rows[4].found
    (squashed,) = (
        row.found
        for row in audit_recipe(replace(recipe, resize="squash"), spec_of("resnet50"))
        if "by squash" in row.found
    )
    assert squashed == "random scale, random crop and flip, of pictures made square by squash, no colour augmentation"
