"""A part of a JPEG against Pillow's decode of the whole: equal bytes; and Pillow's own verdict where there is none."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from reslab.data.images import jpeg
from reslab.data.images.decode import BadImage, read, read_part
from reslab.store import native

needs_library = pytest.mark.skipif(
    native.compiler() is None or not sys.platform.startswith("linux"), reason="no C++ compiler, or not Linux"
)


def content(width: int, height: int, *, smooth: bool = True, mode: str = "RGB", **how) -> bytes:
    levels = np.random.default_rng(width).integers(0, 256, (height, width, len(mode)), np.uint8)
    image = Image.fromarray(levels.squeeze(), mode) if mode != "RGB" else Image.fromarray(levels)
    if smooth:
        image = image.resize((max(1, width // 9), max(1, height // 9))).resize((width, height))
    file = io.BytesIO()
    image.save(file, "JPEG", **how)
    return file.getvalue()


@st.composite
def files(draw):
    """A JPEG of any kind that is usual in a folder of photographs."""
    how = {"quality": draw(st.sampled_from([20, 75, 95])), "subsampling": draw(st.sampled_from([0, 1, 2]))}
    kind = draw(st.sampled_from(["baseline", "progressive", "restarts"]))
    if kind == "progressive":
        how["progressive"] = True
    elif kind == "restarts":
        how["restart_marker_blocks"] = 3
    return content(draw(st.integers(1, 200)), draw(st.integers(1, 200)), smooth=draw(st.booleans()), **how)


@pytest.fixture(autouse=True)
def room_to_write(monkeypatch):
    jpeg._library()  # compiled before the first example, whose time is limited
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 22)  # Pillow cannot write progressive noise through a small buffer


@needs_library
@given(files(), st.sampled_from([1, 2, 4, 8]), st.data())
def test_the_pixels_are_those_of_the_whole(file, fraction, drawn):
    with Image.open(io.BytesIO(file)) as image:
        image.draft(None, (max(1, image.width // fraction), max(1, image.height // fraction)))
        fraction = image.decoderconfig[0]
        whole = np.asarray(image)
    height, width = whole.shape[:2]
    left, top = drawn.draw(st.integers(0, width - 1)), drawn.draw(st.integers(0, height - 1))
    right, bottom = drawn.draw(st.integers(left + 1, width)), drawn.draw(st.integers(top + 1, height))
    part = jpeg.part(file, fraction, width, height, (left, top, right, bottom))
    assert np.array_equal(part, whole[top:bottom, left:right])


PLACE = (40, 30, 90, 70)


def turned(file: bytes) -> bytes:
    """The same pixels, to be shown turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.open(io.BytesIO(file)).save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("least", [None, 50])
@pytest.mark.parametrize(
    "file",
    [
        content(300, 200),
        content(300, 200, progressive=True),
        turned(content(300, 200)),
        content(300, 200, mode="L"),
        content(300, 200, mode="CMYK"),
        content(300, 200, keep_rgb=True),
    ],
    ids=["colour", "progressive", "turned", "grey", "CMYK", "RGB inside"],
)
def test_read_part_is_read_and_crop(file, least):
    asked = []

    def place(width, height):
        asked.append((width, height))
        return PLACE

    whole = read(file, min_side=least)
    assert np.array_equal(read_part(file, place, min_side=least), np.asarray(whole.crop(PLACE)))
    assert asked[-1] == whole.size


@needs_library
@pytest.mark.slow
def test_the_library_is_pillows_own_beside_others():
    """torchvision brings a libjpeg of another version into the process."""
    code = (
        "import torchvision.io, sys; from reslab.data.images import jpeg\n"
        "sys.stdout.buffer.write(jpeg.part(sys.stdin.buffer.read(), 1, 300, 200, (40, 30, 90, 70)).tobytes())"
    )
    file = content(300, 200)
    found = subprocess.run([sys.executable, "-c", code], input=file, capture_output=True)
    assert found.stdout == np.asarray(read(file).crop(PLACE)).tobytes(), found.stderr


@pytest.mark.parametrize("at", [0.1, 0.4, 0.9, 0.999])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_file_that_is_cut_off_is_refused_wherever_the_part_lies(at, progressive):
    file = content(300, 200, smooth=False, progressive=progressive)
    with pytest.raises(BadImage):
        read(file[: int(at * len(file))])
    for top in (0, 190):
        with pytest.raises(BadImage):
            read_part(file[: int(at * len(file))], lambda w, h, y=top: (0, y, 10, y + 5))


@needs_library
@given(st.data())
def test_damage_ends_in_pixels_or_in_a_bad_image(drawn):
    file = bytearray(content(90, 60, smooth=False, quality=30))
    for _ in range(drawn.draw(st.integers(1, 4))):
        file[drawn.draw(st.integers(2, len(file) - 3))] = drawn.draw(st.integers(0, 255))
    try:
        found = read_part(bytes(file), lambda w, h: (0, h // 2, w, h))
    except BadImage:
        return
    try:
        whole = read(bytes(file))
    except BadImage:
        return  # damage that Pillow meets behind the part
    assert np.array_equal(found, np.asarray(whole)[whole.height // 2 :])


def test_boxes_beyond_the_image_are_left_to_pillow():
    file = content(30, 20)
    for box in [(-1, 0, 5, 5), (0, 0, 31, 5), (5, 0, 5, 5), (0, 15, 5, 21)]:
        assert jpeg.part(file, 1, 30, 20, box) is None
    assert jpeg.part(file, 1, 31, 20, (0, 0, 31, 5)) is None  # not its size


def test_without_a_compiler_the_whole_is_decoded():
    code = (
        "import sys; from reslab.data.images import jpeg; from reslab.data.images.decode import read_part\n"
        "file = sys.stdin.buffer.read(); assert jpeg.part(file, 1, 300, 200, (40, 30, 90, 70)) is None\n"
        "sys.stdout.buffer.write(read_part(file, lambda w, h: (40, 30, 90, 70)).tobytes())"
    )
    file = content(300, 200)
    lone = {**os.environ, "PATH": "", "CXX": ""}
    found = subprocess.run([sys.executable, "-c", code], env=lone, input=file, capture_output=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout == np.asarray(read(file).crop(PLACE)).tobytes()


@needs_library
def test_another_library_is_refused():
    """No library, and one without the functions: no part, nothing broken."""
    library = native.library(jpeg.SOURCE, *jpeg.FLAGS)
    code = f"import ctypes; print([ctypes.CDLL({library._name!r}).use(x) for x in (b'/none.so', b'libc.so.6')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[0, 0]", found.stderr
