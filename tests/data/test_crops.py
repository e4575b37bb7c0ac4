"""Batches of crops: three ways, one result bit for bit, equal to the paper's sentence done image by image."""

import numpy as np
import pytest
import torch

from reslab.data.batches.crops import DeviceCrops, NativeCrops, NumpyCrops, crops
from reslab.store.native import compiler

WAYS = {
    "one pass": NativeCrops,
    "by rows": NumpyCrops,
    "on a device": lambda *arguments: DeviceCrops(*arguments, "cpu"),
}
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler on this machine")
each_way = pytest.mark.parametrize("way", [pytest.param("one pass", marks=needs_compiler), "by rows", "on a device"])
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")


def image_by_image(images, mean, scale, pad, rows, dy, dx, mirrored):
    """Subtract the mean, divide, pad with zeros, cut, mirror."""
    out = []
    _, height, width, _ = images.shape
    for row, y, x, flip in zip(rows, dy, dx, mirrored, strict=True):
        centred = (images[row].astype(np.float32) - mean) / scale
        cut = np.pad(centred, ((pad, pad), (pad, pad), (0, 0)))[y : y + height, x : x + width]
        out.append((cut[:, ::-1] if flip else cut).transpose(2, 0, 1))
    return np.stack(out)


def drawn(shape, pad, count=200, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, shape, np.uint8)
    rows = rng.integers(0, len(images), count)
    dy, dx = rng.integers(0, 2 * pad + 1, (2, count))
    return rng, images, (rows, dy, dx, rng.integers(0, 2, count).astype(bool))


@each_way
@pytest.mark.parametrize("shape", [(20, 9, 7, 3), (20, 32, 32, 3), (20, 8, 8, 1), (20, 5, 6, 4)])
@pytest.mark.parametrize("pad", [0, 1, 4, 11], ids="pad={}".format)
def test_every_way_equals_image_by_image(way, shape, pad):
    rng, images, draws = drawn(shape, pad)
    for mean_shape, scales in ((shape[1:], 1), ((1, 1, shape[3]), shape[3])):
        mean = (255 * rng.random(mean_shape)).astype(np.float32)
        scale = (1 + 99 * rng.random(scales)).astype(np.float32)
        made = WAYS[way](images, np.broadcast_to(mean, shape[1:]), scale, pad)(*draws)
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(made.numpy(), image_by_image(images, mean, scale, pad, *draws))


@each_way
def test_every_corner_of_the_border_is_reached(way):
    """All places of a border of 2, both ways round, on an image whose pixels all differ."""
    images = np.arange(1, 5 * 4 * 3 + 1, dtype=np.uint8).reshape(1, 5, 4, 3)
    mean, scale = np.zeros((5, 4, 3), np.float32), np.ones(1, np.float32)
    dy, dx, flip = (a.ravel() for a in np.meshgrid(np.arange(5), np.arange(5), [False, True], indexing="ij"))
    draws = (np.zeros(50, np.int64), dy, dx, flip.astype(bool))
    made = WAYS[way](images, mean, scale, 2)(*draws).numpy()
    assert np.array_equal(made, image_by_image(images, mean, scale, 2, *draws))
    assert len(np.unique(made.reshape(50, -1), axis=0)) == 50


@each_way
@pytest.mark.parametrize("row", [20, -21])
def test_a_row_that_is_not_there_is_refused(way, row):
    _, images, (rows, *places) = drawn((20, 8, 8, 3), 2)
    cut = WAYS[way](images, np.zeros((8, 8, 3), np.float32), np.ones(1, np.float32), 2)
    with pytest.raises(IndexError):
        cut(np.where(np.arange(200) == 77, row, rows), *places)


@needs_compiler
def test_without_a_compiler_rows_are_gathered(monkeypatch):
    _, images, draws = drawn((20, 8, 8, 3), 2)
    mean, scale = np.zeros((8, 8, 3), np.float32), np.ones(1, np.float32)
    fast = crops(images, mean, scale, 2)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    slow = crops(images, mean, scale, 2)
    assert (type(fast), type(slow)) == (NativeCrops, NumpyCrops)
    assert torch.equal(fast(*draws), slow(*draws))


@needs_gpu
def test_a_gpu_makes_the_same_bits():
    rng, images, draws = drawn((20, 32, 32, 3), 4)
    mean, scale = (255 * rng.random((32, 32, 3))).astype(np.float32), np.full(1, 63.2, np.float32)
    made = crops(images, mean, scale, 4, "cuda")(*draws)
    assert made.device.type == "cuda"
    assert torch.equal(made.cpu(), crops(images, mean, scale, 4)(*draws))


@needs_compiler
def test_one_pass_refuses_draws_of_different_lengths():
    _, images, (rows, dy, dx, mirrored) = drawn((20, 8, 8, 3), 2)
    cut = NativeCrops(images, np.zeros((8, 8, 3), np.float32), np.ones(1, np.float32), 2)
    with pytest.raises(IndexError, match="200 rows, 200 and 199 places"):
        cut(rows, dy, dx[1:], mirrored)
