"""Views against the whole image resized by Pillow and cropped."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from reslab.data.batches.views import Framing, View, centre_crop, training_box, training_view, view_of
from reslab.data.images.squares import contained


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
    """Noise, the hardest case: the same whole pixels, resized by Pillow; rounding twice may be two levels."""
    rgb = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    image, shorter = Image.fromarray(rgb), round(32 * side)
    high, wide = shorter, int(70 * shorter / 50 + 1e-9)
    row, column = int(top * (high - 31)), int(left * (wide - 31))
    edges = (column * 70 / wide, row, (column + 32) * 70 / wide, row + 32)
    box = (edges[0], edges[1] * 50 / high, edges[2], edges[3] * 50 / high)
    twin = np.asarray(image.crop(tuple(round(e) for e in box)).resize((32, 32), Image.Resampling.BILINEAR))
    view = trained(image, 32, side, top, left, flip)
    assert view.flags.c_contiguous
    apart = np.abs(view.astype(int) - (twin[:, ::-1] if flip else twin))
    assert apart.max() <= 2
    assert (apart > 1).mean() < 0.002


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


# pictures that are seen whole

FILL = (9, 200, 81)
SHAPES = [(400, 40), (40, 400), (3, 5), (1, 700), (32, 32), (640, 480), (33, 31)]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("size", [1, 8, 31, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_squash_and_letterbox_are_pillows(shape, size):
    image = noise(*shape)
    squashed = image.resize((size, size), Image.Resampling.BILINEAR)
    assert np.array_equal(view_of(size, "squash")(image), np.asarray(squashed))
    exact = [Fraction(edge * size, max(shape)) for edge in shape]
    inner = [max(1, int(edge + Fraction(1, 2))) for edge in exact]
    square = Image.new("RGB", (size, size), FILL)
    square.paste(image.resize(inner, Image.Resampling.BILINEAR), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    view = view_of(size, "letterbox", FILL)(image)
    assert np.array_equal(view, np.asarray(square))
    grey = view_of(size, "letterbox", (7,))(image.convert("L"))
    assert grey.shape == (size, size, 1)
    assert view_of(size, "letterbox", (7,))(image).shape == (size, size, 3)


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([16, 31, 224]))
def test_letterbox_is_pillows_pad(width, height, size):
    """But at halves of a pixel, which Pillow rounds to even numbers, and for a side that it rounds to none."""
    image = Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))
    inner = contained(size, width, height)
    if any(
        2 * edge * size % max(width, height) == 0 and 2 * edge * size // max(width, height) % 2 for edge in image.size
    ):
        return
    if 2 * min(width, height) * size < max(width, height) or any((size - edge) % 2 for edge in inner):
        return
    padded = ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, FILL)
    assert np.array_equal(view_of(size, "letterbox", FILL)(image), np.asarray(padded))


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_the_squares_own_side_a_training_view_is_the_scored_one(shape, resize):
    """A side of 1 leaves nothing to choose; torch's resizing is a level of rounding apart from Pillow's."""
    image, scored = noise(*shape), view_of(32, resize, FILL)
    framing = Framing(32, resize, 1.0, 0.7, 0.2)
    part = np.array(image.crop(framing.box(*image.size)))
    assert part.shape[:2] == image.size[::-1]
    for flip in (False, True):
        view = framing.view(part, flip, FILL)
        assert view.flags.c_contiguous
        expected = scored(image).astype(int)
        assert np.abs(view - (expected[:, ::-1] if flip else expected)).max() <= 1


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
@given(st.sampled_from(SHAPES), st.sampled_from([32, 96, 224]), *(st.floats(0, 1, exclude_max=True),) * 3)
def test_a_training_view_leaves_at_most_an_eighth_of_each_side_out(resize, shape, size, share, top, left):
    framing = Framing(size, resize, 1 + share * (256 / 224 - 1), top, left)
    box = framing.box(*shape)
    for edge, seen in zip(shape, (box[2] - box[0], box[3] - box[1]), strict=True):
        assert 0 < seen <= edge
        assert seen >= edge * 7 / 8 - 1 - edge / size  # a pixel of the letterbox and one of the picture are rounded
    assert framing.view(np.zeros((box[3] - box[1], box[2] - box[0], 3), np.uint8), False, FILL).shape[:2] == (
        size,
        size,
    )


@given(*(st.floats(0, 1, exclude_max=True),) * 3, st.booleans())
def test_a_training_view_of_a_letterbox_is_cut_out_of_the_larger_square(share, top, left, flip):
    """On a ramp a level says where its pixel lies; the border is where that of the whole square is."""
    y, x = np.mgrid[:100, :250]
    image = Image.fromarray(np.stack([x, 2 * y, 250 - x], axis=2).astype(np.uint8))
    framing = Framing(32, "letterbox", 1 + share * (256 / 224 - 1), top, left)
    view = framing.view(np.array(image.crop(framing.box(250, 100))), flip, (255, 0, 255)).astype(int)
    outer = min(round(32 * framing.side), 36)
    whole = view_of(outer, "letterbox", (255, 0, 255))(image)
    row, column = int(top * (outer - 31)), int(left * (outer - 31))
    expected = whole[row : row + 32, column : column + 32].astype(int)
    expected = expected[:, ::-1] if flip else expected
    is_border = (expected == (255, 0, 255)).all(2)
    assert np.array_equal((view == (255, 0, 255)).all(2), is_border)
    assert np.abs(view - expected)[:, 2:-2].max() <= 6  # a pixel of the view is 7 levels; whole pixels shift it


def test_a_crop_is_framed_as_ever():
    image = noise(90, 50)
    framing = Framing(32, "crop", 1.6, 0.3, 0.8)
    view = framing.view(np.array(image.crop(framing.box(*image.size))), True, FILL)
    assert np.array_equal(view, trained(image, 32, 1.6, 0.3, 0.8, True))


@pytest.mark.parametrize("view", [centre_crop(32), view_of(32, "squash"), view_of(32, "letterbox", FILL), View(32, 32)])
def test_views_are_read_back(view):
    assert View.of(view.recorded()) == view


@pytest.mark.parametrize(
    "changed", [{"resize": "stretch"}, {"fill": [1, 2]}, {"fill": [1, 2, 256]}, {"interpolation": "lanczos"}]
)
def test_damaged_views_are_refused(changed):
    with pytest.raises(ValueError, match=r"resize|fill"):
        View.of({**view_of(32, "letterbox", FILL).recorded(), **changed})
