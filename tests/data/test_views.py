"""Views against the whole image resized by Pillow and cropped."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reslab.data.batches.views import centre_crop, training_box, training_view


def trained(image: Image.Image, size: int, side: float, top: float, left: float, flip: bool) -> np.ndarray:
    part = np.array(image.crop(training_box(size, side, top, left, *image.size)))
    return training_view(part, size, flip)


def resized(rgb: np.ndarray, shorter: int) -> np.ndarray:
    """The whole image resized, which the views never do."""
    height, width = rgb.shape[:2]
    size = (int(shorter * width / height), shorter) if height <= width else (shorter, int(shorter * height / width))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([8, 32]))
def test_the_centre_crop_equals_resize_then_crop(height, width, size):
    rgb = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    whole = resized(rgb, round(size * 256 / 224))
    y, x = (whole.shape[0] - size + 1) // 2, (whole.shape[1] - size + 1) // 2
    view = centre_crop(size)(Image.fromarray(rgb))
    assert view.shape == (size, size, 3)
    assert np.abs(view.astype(int) - whole[y : y + size, x : x + size]).max() <= 3


DRAWS = (st.floats(1, 2.2), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), st.booleans())


@given(*DRAWS)
def test_training_view_shows_the_crop_of_the_resized_image(side, top, left, flip):
    """On ramps a pixel's level says where it lies: half a pixel of the file is half a level."""
    y, x = np.mgrid[:150, :240]
    rgb = np.stack([x, y, 239 - x], axis=2).astype(np.uint8)
    whole = resized(rgb, round(32 * side))
    row, column = int(top * (whole.shape[0] - 31)), int(left * (whole.shape[1] - 31))
    expected = whole[row : row + 32, column : column + 32]
    view = trained(Image.fromarray(rgb), 32, side, top, left, flip)
    # at its border a crop that was cut out first has no neighbours to average with
    inside = np.abs(view.astype(int) - (expected[:, ::-1] if flip else expected))[2:-2, 2:-2]
    assert inside.max() <= 2


@given(*DRAWS)
def test_training_view_resizes_as_pillow(side, top, left, flip):
    """Noise, the hardest case: the same whole pixels, cut out and resized by Pillow; a level of rounding apart."""
    rgb = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    image, shorter = Image.fromarray(rgb), round(32 * side)
    high, wide = shorter, int(70 * shorter / 50 + 1e-9)
    row, column = int(top * (high - 31)), int(left * (wide - 31))
    edges = (column * 70 / wide, row, (column + 32) * 70 / wide, row + 32)
    box = (edges[0], edges[1] * 50 / high, edges[2], edges[3] * 50 / high)
    twin = np.asarray(image.crop(tuple(round(e) for e in box)).resize((32, 32), Image.Resampling.BILINEAR))
    view = trained(image, 32, side, top, left, flip)
    assert view.flags.c_contiguous
    assert np.abs(view.astype(int) - (twin[:, ::-1] if flip else twin)).max() <= 1


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([8, 31]), st.booleans())
def test_training_view_is_torchs_interpolation(height, width, size, flip):
    part = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    planes = torch.from_numpy(part.transpose(2, 0, 1).copy())[None]
    twin = F.interpolate(planes, (size, size), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(training_view(part, size, flip), twin[:, ::-1] if flip else twin)


@pytest.mark.parametrize("shape", [(1, 5000, 3), (5000, 1, 3), (1, 1, 3), (2, 3, 3)])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.99])
def test_extreme_shapes_cost_little(shape, place):
    image = Image.fromarray(np.full(shape, 7, np.uint8))
    sevens = np.full((32, 32, 3), 7)
    assert np.array_equal(centre_crop(32)(image), sevens)
    assert np.array_equal(trained(image, 32, 2.0, place, place, True), sevens)
