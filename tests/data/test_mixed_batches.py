"""Mixed batches against their definition, balanced orders against counts, TrivialAugment against torchvision."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import InterpolationMode, v2

from reslab.data.balance import Balanced
from reslab.data.batches.loader import statistics
from reslab.data.batches.mixing import mixed
from reslab.data.batches.training import TrainLoader
from reslab.data.batches.trivial import trivially_augmented
from reslab.data.sets.digits import read
from reslab.data.splits import Files, Memory

IMAGES = torch.randn(8, 3, 10, 12, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])


def shares_of(mixup, cutmix, count=2_000):
    """Return the share of the image before in batches of `count` iterations."""
    found = []
    for iteration in range(count):
        _, shares = mixed(IMAGES[:2, :, :4, :4], LABELS[:2], 4, mixup, cutmix, 0, iteration)
        found.append(float(shares[0, 1]))
    return np.array(found)


@pytest.mark.parametrize("parameter", [0.2, 1.0, 4.0])
def test_mixup_is_the_weighted_mean_with_the_image_before(parameter):
    for iteration in range(20):
        images, shares = mixed(IMAGES, LABELS, 4, parameter, 0.0, 0, iteration)
        share = float(shares[0, 3])
        for k in range(8):
            assert torch.allclose(images[k], (1 - share) * IMAGES[k] + share * IMAGES[k - 1], atol=1e-6)
            wanted = torch.zeros(4)
            wanted[LABELS[k]] += 1 - share
            wanted[LABELS[k - 1]] += share
            assert torch.allclose(shares[k], wanted, atol=1e-6)
    assert stats.kstest(shares_of(parameter, 0.0), "beta", args=(parameter, parameter)).pvalue > 0.001


def test_cutmix_takes_a_rectangle_of_the_image_before_and_its_share_of_the_label():
    areas = []
    for iteration in range(200):
        images, shares = mixed(IMAGES, LABELS, 4, 0.0, 1.0, 0, iteration)
        other = (images[1] == IMAGES[0]).all(0)
        assert torch.equal(images[1][:, ~other], IMAGES[1][:, ~other])
        rows, columns = other.any(1), other.any(0)
        assert int(other.sum()) == int(rows.sum()) * int(columns.sum())  # a rectangle
        assert float(shares[1, 0]) == pytest.approx(float(other.float().mean()), abs=1e-6)
        areas.append(float(other.float().mean()))
    assert 0.35 < np.mean(areas) < 0.65


def test_both_take_turns_and_the_iteration_decides():
    kinds = Counter()
    for iteration in range(200):
        images, shares = mixed(IMAGES, LABELS, 4, 1.0, 1.0, 5, iteration)
        again, shares_again = mixed(IMAGES, LABELS, 4, 1.0, 1.0, 5, iteration)
        assert torch.equal(images, again)
        assert torch.equal(shares, shares_again)
        kinds[bool(((images == IMAGES) | (images == IMAGES.roll(1, 0))).all())] += 1
    assert 60 < kinds[True] < 140


def test_a_batch_keeps_its_layout_and_labels_sum_to_one():
    split = read(None, ("train",)).train
    loader = TrainLoader(
        split, statistics(split), seed=0, batch=16, augment="crop", pad=1, last_batch="fill", mix=(0.2, 1.0),
        classes=10,
    )  # fmt: skip
    batch = loader.at(3)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(batch.labels.sum(1), torch.ones(16))
    streamed = next(iter(loader.stream(3, 4)))
    assert torch.equal(streamed.images, batch.images)
    assert torch.equal(streamed.labels, batch.labels)


def test_a_balanced_order_has_each_class_equally_often_and_uses_all_samples():
    labels = np.array([0] * 50 + [2] * 7 + [3] * 3)  # class 1 has none
    order = Balanced(labels, seed=4)
    epochs, rows = order(0, 300)
    assert Counter(labels[rows].tolist()) == {0: 100, 2: 100, 3: 100}
    for block in labels[rows].reshape(100, 3):
        assert sorted(block.tolist()) == [0, 2, 3]
    assert set(rows[labels[rows] == 0][:50].tolist()) == set(range(50))
    assert sorted(rows[labels[rows] == 3][:3].tolist()) == [57, 58, 59]
    assert epochs[labels[rows] == 3].tolist() == [k // 3 for k in range(100)]
    for start, count in ((0, 1), (17, 40), (299, 1)):
        part = order(start, count)
        assert (part[0].tolist(), part[1].tolist()) == (
            epochs[start : start + count].tolist(), rows[start : start + count].tolist(),
        )  # fmt: skip
    assert Balanced(labels, seed=5)(0, 300)[1].tolist() != rows.tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_one_operation_as_torchvision_makes_it_and_the_generator_is_as_before(channels):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24, channels), np.uint8)
    state = torch.get_rng_state()
    made = [trivially_augmented(pixels, 90, bits) for bits in range(40)]
    assert torch.equal(torch.get_rng_state(), state)
    augment = v2.TrivialAugmentWide(fill=90, interpolation=InterpolationMode.BILINEAR)
    for bits, image in enumerate(made):
        torch.manual_seed(bits)
        wanted = augment(torch.from_numpy(pixels).permute(2, 0, 1)).permute(1, 2, 0).numpy()
        assert np.array_equal(image, wanted)
    torch.set_rng_state(state)
    assert len({image.tobytes() for image in made}) > 20


def test_trivial_batches_are_the_same_for_any_number_of_workers(tmp_path):
    from PIL import Image

    generator = np.random.default_rng(0)
    paths = []
    for number in range(12):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(generator.integers(0, 256, (40, 30, 3), np.uint8)).save(paths[-1])
    files = Files(tuple(paths), np.arange(12) % 3, 16)
    memory = Memory(generator.integers(0, 256, (12, 16, 16, 3), np.uint8), np.arange(12) % 3)
    for split in (files, memory):
        options = {"seed": 1, "batch": 4, "augment": "trivial", "pad": 2, "last_batch": "fill"}
        loaders = [TrainLoader(split, statistics(split), **options, workers=workers) for workers in (0, 2)]
        alone, shared = ([*loader.stream(0, 6)] for loader in loaders)
        plain = [*TrainLoader(split, statistics(split), **{**options, "augment": "crop-flip"}).stream(0, 6)]
        for a, b in zip(alone, shared, strict=True):
            assert torch.equal(a.images, b.images)
        assert torch.equal(loaders[0].at(3).images, alone[3].images)
        assert any(not torch.equal(a.images, b.images) for a, b in zip(alone, plain, strict=True))
