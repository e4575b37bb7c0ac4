"""Batches: equal to a slow twin bit for bit, the same from any start and with any number of workers."""

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import some
from PIL import Image

from reslab.data.batches.augment import CROPPED, WHOLE, crop_flip, scale_crop_flip
from reslab.data.batches.loader import Statistics, evaluation_batches, statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.batches.views import Framing, centre_crop, training_box, training_view
from reslab.data.images.decode import BadImage, read
from reslab.data.order import positions_of
from reslab.data.sets.digits import digits
from reslab.data.sets.folder import folder
from reslab.data.splits import Files, Memory
from reslab.errors import RunError, UserError


@pytest.fixture(scope="module")
def memory() -> Memory:
    rng = np.random.default_rng(0)
    return Memory(rng.integers(0, 256, (53, 9, 7, 3), np.uint8), rng.integers(0, 10, 53))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(14):
        file = root / "train" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + i, 40 - i, 3), np.uint8)).save(file)
    data = folder(root, 16, 0.3)
    assert isinstance(data.train, Files)
    return data.train


def loader(split, stats=None, **options) -> TrainLoader:
    base = {"seed": 3, "batch": 8, "augment": "crop-flip", "pad": 2, "last_batch": "fill"}
    return TrainLoader(split, stats or statistics(split), **{**base, **options})


def slow_twin(split: Memory, stats: Statistics, iteration, *, seed, batch, augment, pad, last_batch):
    """As the paper says it, image by image: subtract the mean, pad with zeros, crop, flip."""
    out, labels = [], []
    n, height, width, _ = split.images.shape
    for epoch, index in zip(*positions_of(seed, iteration, batch, n, last_batch), strict=True):
        centred = split.images[index].astype(np.float32) - stats.mean
        if augment != "none":
            (y,), (x,), (flip,) = crop_flip(seed, epoch, np.array([index]), pad)
            padded = np.pad(centred, ((pad, pad), (pad, pad), (0, 0)))
            centred = padded[y : y + height, x : x + width]
            if augment == "crop-flip" and flip:
                centred = centred[:, ::-1]
        out.append((centred / stats.scale).transpose(2, 0, 1))
        labels.append(split.labels[index])
    return np.stack(out), np.array(labels)


def same(a, b) -> bool:
    return torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and np.array_equal(a.indices, b.indices)


@pytest.mark.parametrize("augment", ["crop-flip", "crop", "none"])
@pytest.mark.parametrize("centre", ["pixel", "channel"])
@pytest.mark.parametrize("scale", ["std", "channel-std"])
def test_memory_batches_equal_the_slow_twin(memory, augment, centre, scale):
    stats = statistics(memory, centre, scale)
    options = {"seed": 5, "batch": 16, "augment": augment, "pad": 3, "last_batch": "fill"}
    fast = TrainLoader(memory, stats, **options)
    for iteration in (0, 3, 40):
        images, labels = slow_twin(memory, stats, iteration, **options)
        batch = fast.at(iteration)
        assert np.array_equal(batch.images.numpy(), images)
        assert np.array_equal(batch.labels.numpy(), labels)
        assert np.array_equal(memory.labels[batch.indices], labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_layout_and_types(channels):
    split = Memory(np.zeros((9, 8, 8, channels), np.uint8), np.zeros(9, np.int64))
    for batch in (loader(split).at(0), next(evaluation_batches(split, statistics(split), 8))):
        assert batch.images.shape == (8, channels, 8, 8)
        assert batch.images.dtype == torch.float32
        assert batch.images.stride() == (64 * channels, 1, 8 * channels, channels)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.dtype == torch.int64
        assert batch.indices.dtype == np.int64


def test_the_border_is_exactly_zero():
    split = Memory(np.full((20, 6, 6, 3), 255, np.uint8), np.zeros(20, np.int64))
    stats = Statistics(np.full((6, 6, 3), 100.1, np.float32), np.array([63.7], np.float32))
    batch = loader(split, stats, batch=20, pad=2)
    dy, dx, flip = crop_flip(3, *positions_of(3, 0, 20, 20, "fill"), 2)
    images = batch.at(0).images.numpy()
    inside = (np.float32(255) - np.float32(100.1)) / np.float32(63.7)
    for k in range(20):
        rows = (np.arange(6) + dy[k] >= 2) & (np.arange(6) + dy[k] < 8)
        columns = (np.arange(6) + dx[k] >= 2) & (np.arange(6) + dx[k] < 8)
        expected = np.where(rows[:, None] & columns, inside, np.float32(0))
        assert np.array_equal(images[k], np.repeat(expected[None, :, :: -1 if flip[k] else 1], 3, axis=0))
    assert (images == 0).any()


@pytest.mark.parametrize("last_batch", ["fill", "drop", "keep"])
def test_batches_are_the_same_from_any_start(memory, last_batch):
    whole = list(loader(memory, last_batch=last_batch).stream(0, 20))
    for start in (1, 6, 7, 19):
        later = list(loader(memory, last_batch=last_batch).stream(start, 20))
        assert len(later) == 20 - start
        assert all(same(a, b) for a, b in zip(whole[start:], later, strict=True))
    # as an accelerator has them, drawn ahead many at once ("cpu:0" takes the accelerator's way)
    ahead = list(loader(memory, last_batch=last_batch, device="cpu:0").stream(1, 150))
    alone = loader(memory, last_batch=last_batch)
    assert all(same(alone.at(i), b) for i, b in enumerate(ahead, 1))
    assert len(ahead) == 149
    sizes = [len(b.labels) for b in whole[:7]]
    assert sizes == {"fill": [8] * 7, "drop": [8] * 7, "keep": [8] * 6 + [5]}[last_batch]


def test_an_epoch_has_each_sample_once(memory):
    for last_batch, batches in (("keep", 7), ("fill", 53)):
        rows = np.concatenate([b.indices for b in loader(memory, last_batch=last_batch).stream(0, batches)])
        assert np.bincount(rows).tolist() == [len(rows) // 53] * 53


def test_small_images_against_pillow(memory, files):
    """Before the iteration said, and from it on full size again; Pillow's antialiased bilinear resize is the twin."""
    for split, size in ((memory, 5), (files, 10)):
        full, small = loader(split), loader(split, small=(size, 2))
        for number, (a, b) in enumerate(zip(full.stream(0, 4), small.stream(0, 4), strict=True)):
            assert same(b, small.at(number))
            assert np.array_equal(a.indices, b.indices)
            if number >= 2:
                assert same(a, b)
                continue
            assert b.images.shape[2:] == (size, size)
            assert b.images.is_contiguous(memory_format=torch.channels_last)
            for image, found in zip(a.images.flatten(0, 1), b.images.flatten(0, 1), strict=True):
                twin = Image.fromarray(image.numpy()).resize((size, size), Image.Resampling.BILINEAR)
                assert np.allclose(np.asarray(twin), found.numpy(), atol=1e-5)


def test_alternating_flips(memory):
    """Two epochs in one order of samples: where one is mirrored the other is not."""
    stats = statistics(memory, "channel")
    one = {row: image for b in loader(memory, stats, pad=0, flip="alternating", last_batch="keep").stream(0, 7)
           for row, image in zip(b.indices, b.images, strict=True)}  # fmt: skip
    for b in loader(memory, stats, pad=0, flip="alternating", last_batch="keep").stream(7, 14):
        for row, image in zip(b.indices, b.images, strict=True):
            assert torch.equal(image, one[row].flip(2))


def test_torchs_own_generator_is_left_alone(memory, files):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader(memory).stream(0, 3))
    list(loader(files, workers=1).stream(0, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_choices_are_checked_before_the_first_step(memory):
    for options, told in (
        ({"augment": "mixup"}, "crop-flip, crop, none"),
        ({"flip": "never"}, "random, alternating"),
        ({"last_batch": "wrap"}, "fill, drop, keep"),
        ({"last_batch": "drop", "batch": 54}, "0 steps"),
        ({"pad": -1}, "at least 0"),
        ({"batch": 0}, "at least 1"),
    ):
        with pytest.raises(UserError, match=told):
            loader(memory, **options)
    with pytest.raises(UserError, match="pixel, channel"):
        statistics(memory, "image")
    with pytest.raises(UserError, match="std, channel-std"):
        statistics(memory, "pixel", "var")


# statistics


def test_statistics_against_numpy(memory):
    images = memory.images.astype(np.float64)
    mean = images.mean(0)
    pixel = statistics(memory)
    assert np.array_equal(pixel.mean, mean.astype(np.float32))
    assert pixel.scale == pytest.approx([(images - mean).std()], rel=1e-6)
    assert statistics(memory, scale="channel-std").scale == pytest.approx((images - mean).std((0, 1, 2)), rel=1e-6)
    channel = statistics(memory, "channel", "channel-std")
    assert channel.mean.shape == (1, 1, 3)
    assert channel.mean[0, 0] == pytest.approx(images.mean((0, 1, 2)), rel=1e-6)
    assert channel.scale == pytest.approx(images.std((0, 1, 2)), rel=1e-6)
    assert statistics(memory, scale="255").scale.tolist() == [255]
    assert statistics(memory, scale="none").scale.tolist() == [1]
    assert pixel.mean.dtype == pixel.scale.dtype == np.float32


def test_statistics_of_more_than_one_chunk():
    train = digits().train
    images = train.images.astype(np.float64)
    stats = statistics(train)
    assert np.array_equal(stats.mean, images.mean(0).astype(np.float32))
    assert stats.scale == pytest.approx([(images - images.mean(0)).std()], rel=1e-6)
    inputs = torch.cat([b.images for b in evaluation_batches(train, stats, 100)])
    assert inputs.std(correction=0).item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("scale", ["std", "channel-std"])
def test_constant_pixels_divide_by_one(scale):
    split = Memory(np.full((7, 4, 4, 3), 200, np.uint8), np.zeros(7, np.int64))
    stats = statistics(split, scale=scale)
    assert set(stats.scale.tolist()) == {1.0}
    assert not loader(split, stats).at(0).images.any()


def test_statistics_of_files(files):
    views = np.stack([centre_crop(16)(read(p)) for p in files.paths]).astype(np.float64)
    stats = statistics(files)
    assert np.array_equal(stats.mean, views.mean(0).astype(np.float32))
    assert stats.scale == pytest.approx([(views - views.mean(0)).std()], rel=1e-6)


# evaluation


def test_evaluation_has_every_sample_once_in_order(memory, files):
    for split, size in ((memory, 20), (files, 3)):
        stats = statistics(split)
        batches = list(evaluation_batches(split, stats, size))
        assert np.array_equal(np.concatenate([b.indices for b in batches]), np.arange(len(split)))
        assert np.array_equal(torch.cat([b.labels for b in batches]).numpy(), split.labels)
        assert {len(b.labels) for b in batches[:-1]} == {size}
    stats = statistics(memory)
    images = torch.cat([b.images for b in evaluation_batches(memory, stats, 20)]).numpy()
    assert np.array_equal(images, ((memory.images.astype(np.float32) - stats.mean) / stats.scale).transpose(0, 3, 1, 2))


def test_read_only_arrays_are_no_trouble(recwarn):
    images = np.frombuffer(bytes(9 * 16), np.uint8).reshape(9, 4, 4, 1)
    split = Memory(images, np.zeros(9, np.int64))
    stats = statistics(split)
    for array in (split.labels, stats.mean, stats.scale):
        array.setflags(write=False)
    loader(split, stats).at(0)
    list(evaluation_batches(split, stats, 4))
    assert not recwarn.list


# files and workers


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
def test_large_photographs_train_as_the_whole_ones_do(tmp_path, resize):
    """Decoded at a fraction, cropped and resized: hardly another image, and the same crop."""
    y, x = np.mgrid[:480, :700]
    for i in range(6):
        rgb = np.stack([128 + 60 * np.sin(x / (60 + i)) + 50 * np.cos(y / (40 + 9 * c)) for c in range(3)], axis=2)
        file = tmp_path / "train" / "ab"[i % 2] / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb.astype(np.uint8)).save(file, quality=95)
    data = folder(tmp_path, 64, 0.3)
    assert isinstance(data.train, Files)
    stats = Statistics(np.zeros((1, 1, 3), np.float32), np.ones(1, np.float32))
    batch = loader(replace(data.train, resize=resize), stats, batch=3).at(0)
    for row, image in zip(batch.indices, batch.images, strict=True):
        draws = scale_crop_flip(3, 0, np.array([row]), sides=CROPPED if resize == "crop" else WHOLE)
        side, top, left, flip = (d[0] for d in draws)
        full = read(data.train.paths[row])
        framing = Framing(64, resize, side, top, left)
        kept = np.array(full.crop(framing.box(*full.size)))
        whole = framing.view(kept, bool(flip), (0, 0, 0)).astype(np.float32)
        if resize == "crop":
            kept = np.array(full.crop(training_box(64, side, top, left, *full.size)))
            assert np.array_equal(whole, training_view(kept, 64, bool(flip)))
        difference = np.abs(image.permute(1, 2, 0).numpy() - whole)
        assert difference.max() > 0
        assert difference.mean() < 3


@pytest.mark.parametrize("resize", some(["crop", "squash", "letterbox"], quick=1))
@pytest.mark.parametrize("augment", ["crop-flip", "crop", "none"])
def test_workers_and_starts_do_not_change_batches_of_files(files, augment, resize):
    files = replace(files, resize=resize)
    stats = statistics(files)
    one = loader(files, stats, batch=3, augment=augment)
    expected = [one.at(i) for i in range(5)]
    assert expected[0].images.shape == (3, 3, 16, 16)
    assert expected[0].images.is_contiguous(memory_format=torch.channels_last)
    for workers in (0, 1, 2):
        for start in (0, 3):
            stream = loader(files, stats, batch=3, augment=augment, workers=workers).stream(start, 5)
            assert all(same(a, b) for a, b in zip(expected[start:], stream, strict=True))
    for workers in (0, 2):
        for a, b in zip(evaluation_batches(files, stats, 4), evaluation_batches(files, stats, 4, workers), strict=True):
            assert same(a, b)


def test_augmentation_of_files_changes_with_the_epoch(files):
    one = loader(files, batch=len(files), augment="crop-flip")
    first, second = one.at(0), one.at(1)
    a, b = (batch.images[np.argsort(batch.indices)] for batch in (first, second))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("workers", [0, 1])
def test_fault_13_a_damaged_body_is_one_line_when_it_is_read(tmp_path, workers):
    rng = np.random.default_rng(0)
    for i in range(4):
        file = tmp_path / "train" / "ab"[i % 2] / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(file)
    data = folder(tmp_path, 16, 0.5)
    stats = statistics(data.train)
    bad = Path(data.train.paths[1])
    bad.write_bytes(bad.read_bytes()[:-500])
    with pytest.raises(BadImage, match=bad.name) as error:
        list(loader(data.train, stats, batch=2, workers=workers).stream(0, 3))
    assert "\n" not in str(error.value)
    with pytest.raises(BadImage, match=bad.name):
        list(evaluation_batches(data.train, stats, 2, workers))


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for worker processes in /proc")
def test_workers_are_forked_if_python_prefers_a_server(files):
    """As Python 3.14 does; a server's workers are no children of the run, and import torch again."""
    preferred = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("forkserver", force=True)
    try:
        before = set(children())
        stream = loader(files, workers=2, batch=2).stream(0, 40)
        next(stream), next(stream)
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in set(children()) - before]
        assert commands == [Path("/proc/self/cmdline").read_bytes()] * 2  # a server has a command of its own
        stream.close()
    finally:
        multiprocessing.set_start_method(preferred, force=True)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for worker processes in /proc")
def test_fault_03_workers_ignore_signals_and_leave_when_the_stream_ends(files):
    before = set(children())
    stream = loader(files, workers=2, batch=2).stream(0, 40)
    next(stream), next(stream)  # one of each worker: both are past their start
    workers = set(children()) - before
    assert len(workers) == 2
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    assert len(list(stream)) == 38
    stream = loader(files, workers=2, batch=2).stream(0, 40)
    next(stream)
    stream.close()
    assert set(children()) <= before | workers
    assert not set(children()) & workers


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for worker processes in /proc")
def test_fault_23_a_dead_worker_is_one_line(files):
    before = set(children())
    stream = loader(files, workers=1, batch=2).stream(0, 500)
    next(stream)
    (worker,) = set(children()) - before
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(RunError, match=r"a data worker process died .*--workers") as error:
        list(stream)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("how", some(["raise ValueError('x')", ""], quick=1))
def test_leaving_the_program_with_a_stream_open_does_not_hang(tmp_path, files, how):
    code = (
        "import sys\nfrom reslab.data.sets.folder import folder\n"
        "from reslab.data.batches.loader import statistics\n"
        "from reslab.data.batches.training import TrainLoader\n"
        "split = folder(sys.argv[1], 16, 0.3).train\n"
        "stream = TrainLoader(split, statistics(split), seed=0, batch=2, augment='none', pad=0, last_batch='fill', "
        f"workers=2).stream(0, 1000)\nnext(stream)\n{how}\n"
    )
    root = Path(files.paths[0]).parents[2]
    done = subprocess.run([sys.executable, "-c", code, root], timeout=40, capture_output=True)
    assert done.returncode == (1 if how else 0)
