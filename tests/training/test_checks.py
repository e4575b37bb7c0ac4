"""What an update cannot compute is refused before it: against the updates themselves."""

import os
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import torch

import reslab
from reslab.api.runs import rehearse
from reslab.data.order import batch_span
from reslab.data.sources import load
from reslab.engines.machine import Settings, thread_count
from reslab.engines.shares import part_ends
from reslab.errors import UserError
from reslab.models.inputs import expected, fit, workers_for
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs.recipe import Recipe, changed
from reslab.training.checks import check_batch_norm, on_small_images
from reslab.training.step import Step

NETS = {
    "1x1 at 17 pixels": spec_of("resnet18", image_size=17, widths=(4, 4, 4, 4), classes=3),
    "1x1 at 3 pixels": spec_of("cifar_resnet8", image_size=3, widths=(4, 4, 4), classes=3),
    "larger maps": spec_of("cifar_resnet8", image_size=5, widths=(4, 4, 4), classes=3),
    "pre-activation": spec_of("cifar_resnet8", image_size=3, widths=(4, 4, 4), classes=3, order="pre"),
    "MLP": replace(spec_of("mlp_resnet4", image_size=3, widths=(4,), classes=3), batch_norm=True),
    "without BN": spec_of("cifar_resnet8", image_size=3, widths=(4, 4, 4), classes=3, batch_norm=False),
}


def counts(recipe, samples):
    return {batch_span(i, recipe.batch, samples, recipe.last_batch)[1] for i in range(recipe.iterations)}


built = cache(build)  # weights decide nothing here


def fails(spec, recipe, samples):
    """Whether torch refuses an update of the run, on batches of all the sizes that it has."""
    try:
        for count in counts(recipe, samples):
            net = built(spec)
            step = Step(net, recipe, Settings("cpu", "fp32", "channels_last", "eager", 1))
            net.train()
            images = torch.randn(count, 3, spec.image_size, spec.image_size)
            step(images, torch.zeros(count, dtype=torch.int64), 1e-3)
    except ValueError as error:
        return "more than 1 value per channel" in str(error)
    return False


@pytest.mark.parametrize("name", NETS)
def test_batch_norm_of_one_sample_against_torch(name):
    """Every kind of last batch, ghost parts, splits that leave one over: refused exactly if an update would raise."""
    refused = 0
    for batch, bn_batch, last, samples in product((1, 4), (0, 1, 2), ("fill", "drop", "keep"), (4, 5, 7)):
        if bn_batch and batch % bn_batch:
            continue
        recipe = changed(Recipe(), {"batch": batch, "bn_batch": bn_batch, "last_batch": last, "iterations": 9})
        broken = fails(NETS[name], recipe, samples)
        refused += broken
        if broken:
            with pytest.raises(UserError, match="normalises 1x1 maps") as told:
                check_batch_norm(NETS[name], recipe, samples)
            assert "\n" not in str(told.value)
        else:
            check_batch_norm(NETS[name], recipe, samples)
    assert bool(refused) is (name not in ("larger maps", "without BN"))


def test_the_first_such_layer_is_named():
    with pytest.raises(UserError) as told:
        check_batch_norm(spec_of("resnet18"), changed(Recipe(), {"batch": 1, "small_until": 9, "small_size": 32}), 50)
    assert str(told.value) == (
        "recipe: batch = 1: conv5_1.bn1 of resnet18 normalises 1x1 maps on images of 32 pixels, and one sample has no "
        "variance; set batch to 2 or more"
    )
    check_batch_norm(spec_of("resnet18"), changed(Recipe(), {"batch": 1}), 50)


def test_small_images_alone_can_have_such_maps():
    """At 8 pixels the last maps are 2x2, at 4 they are 1x1: what torch says of either size."""
    recipe = changed(Recipe(), {"batch": 1, "small_size": 4, "small_until": 5, "iterations": 9})
    spec = spec_of("cifar_resnet8", image_size=8, widths=(4, 4, 4), classes=3)
    assert fails(on_small_images(spec, recipe), recipe, 10)
    assert not fails(spec, recipe, 10)
    with pytest.raises(UserError, match="on images of 4 pixels"):
        check_batch_norm(spec, recipe, 10)
    check_batch_norm(spec, changed(recipe, {"small_until": 0}), 10)


@pytest.mark.parametrize("call", [reslab.train, rehearse])
@pytest.mark.parametrize("fields", [{"batch": 1}, {"bn_batch": 1}])
def test_refused_before_a_run_and_its_rehearsal(tmp_path, call, fields):
    told = {"tell": lambda event: None} if call is reslab.train else {}
    choices = {"set": {**fields, "small_size": 3, "small_until": 2}, "widths": (4, 4, 4), "out": tmp_path / "run"}
    with pytest.raises(UserError, match=r"normalises 1x1 maps.*set (bn_)?batch to 2 or more"):
        call("cifar_resnet8", "digits", **choices, **told)
    assert not list((tmp_path / "run").glob("*"))


def test_parts_of_a_batch():
    """Every part but the last has `bn_batch` samples; none has one, unless all have."""
    for samples, bn_batch in product(range(1, 30), range(30)):
        ends = part_ends(samples, bn_batch)
        sizes = [b - a for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        assert sum(sizes) == samples
        assert set(sizes[:-1]) <= {bn_batch}
        assert 1 not in sizes or samples == 1 or bn_batch == 1


@pytest.mark.parametrize("source", ["digits", "cifar10"])
def test_what_a_set_is_before_it_is_read(source):
    """Against the data themselves."""
    if source == "cifar10":
        place = Path(os.environ.get("RESLAB_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10")
        if not place.exists():
            pytest.skip(f"no CIFAR-10: neither RESLAB_CIFAR10 nor {place}")
        data = load(f"cifar10:{place}", splits=())
    else:
        data = load(source)
    for model in ("cifar_resnet8", "mlp_resnet4"):
        assert expected(spec_of(model), source) == fit(spec_of(model), data, {})
    assert expected(spec_of("resnet18"), "some/folder") is None


def test_more_processes_than_any_machine_starts_are_refused():
    with pytest.raises(UserError, match="--workers is too large; the largest value is 4,096"):
        workers_for(load("digits"), 10**30)
    with pytest.raises(UserError, match="--threads is too large; the largest value is 4,096"):
        thread_count(4_097)
    assert thread_count(3) == 3
