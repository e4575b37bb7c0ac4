"""Pairs that look alike against all pairs; copies of photographs of other sizes and qualities; names of clips."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from reslab.data.check.duplicates import CROWD, NEAR, clips, copies, near
from reslab.data.check.facts import look_of

PHOTOS = [Image.fromarray(image) for image in load_sample_images().images]


def look(bits: np.ndarray) -> str:
    return np.packbits(bits).tobytes().hex()


def test_near_equals_all_pairs():
    """Random looks, and copies of some with 0 to 20 bits flipped."""
    draws = np.random.default_rng(0)
    known = draws.integers(0, 2, (300, 256)).astype(bool)
    asked = known[draws.integers(0, 300, 200)].copy()
    for row, flips in enumerate(draws.integers(0, 21, 200)):
        asked[row, draws.choice(256, flips, replace=False)] ^= True
    differ = (asked[:, None] ^ known[None]).sum(2)
    found = dict(near([*map(look, known)], [*map(look, asked)]))
    assert set(found) == set(np.flatnonzero((differ <= NEAR).any(1)).tolist())
    assert all(differ[row, there] <= NEAR for row, there in found.items())
    assert 50 < len(found) < 200


def test_a_crowd_and_looks_that_show_nothing_are_not_followed():
    nothing = look(np.arange(256) < 5)
    assert [*near([nothing, ""], [nothing, ""])] == []
    same = look(np.arange(256) % 3 == 0)
    assert [*near([same] * CROWD, [same])] == [(0, 0)]
    assert [*near([same] * (CROWD + 1), [same])] == []


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(("size", "quality"), [((480, 320), 90), ((128, 90), 75), ((640, 427), 30)])
def test_copies_of_a_photograph_look_alike_and_others_do_not(photo, size, quality):
    file = io.BytesIO()
    photo.resize(size).save(file, "JPEG", quality=quality)
    others = [p.crop((x, 0, x + 400, 400)) for p in PHOTOS for x in (0, 120, 240)]
    known = [look_of(image.convert("L")) for image in (*others, photo)]
    assert [*near(known, [look_of(Image.open(file).convert("L"))])] == [(0, len(others))]


def test_a_tiny_image_has_no_look():
    assert look_of(PHOTOS[0].resize((16, 16)).convert("L")) == ""
    assert look_of(PHOTOS[0].resize((17, 17)).convert("L")) != ""


def test_copies():
    assert copies(["a", "b", "", "a", "", "c", "a", "b"]) == [[0, 3, 6], [1, 7]]


@pytest.mark.parametrize(
    ("train", "others", "rows"),
    [
        (["s1_f001", "s1_f002", "s2_f001", "s2_f002", "s3_f7"], ["s1_f003", "s2_f009", "s4_f001"], [0, 1]),
        ([f"img_{i:04}" for i in range(20)], ["img_0020", "img_0021"], []),  # one series of numbers is no clip
        (["cat", "dog"], ["cat"], []),
        ([f"clip{c}-{i}" for c in range(4) for i in range(5)], [f"clip{c}-9" for c in range(4)], [0, 1, 2, 3]),
    ],
)
def test_clips(train, others, rows):
    assert clips([f"{name}.jpg" for name in train], [f"{name}.jpg" for name in others]) == rows
