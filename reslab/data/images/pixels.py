"""Convert decoded images to upright RGB, in strips if they are large.

Pillow stores a pixel of RGB, RGBA, LA or CMYK in four bytes, and each conversion or rotation makes another image: for
100 megapixels 400 MB, several times. A large image is therefore converted strip by strip. If source and result both
have four bytes per pixel, the strips are kept in a temporary file until the source is freed. All conversions are of
single pixels, so the result has the same bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO

import numpy as np
from PIL import Image, ImageChops

from reslab.data.images.jpeg import PixelBox
from reslab.data.images.levels import DEEPEST, FULL, Levels

LARGE = 1 << 24  # pixels from which on an image is converted in strips
_STRIP = 1 << 20  # pixels
_SMALL_MODES = ("1", "L", "P")  # one byte a pixel in Pillow
TRANSPOSING = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
)
_REVERSING = (  # the first row of the file becomes the last row or column
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
)

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Turn = Image.Transpose | None
Strip = tuple[Image.Image, tuple[int, int]]  # upright RGB, and the position of its upper left corner


def turn_of(image: Image.Image) -> Turn:
    """Return the rotation that makes the image upright, or None; it is reliable after load(), for a JPEG before it."""
    # Not before load() for PNG, whose EXIF may follow the pixels, and TIFF, which Pillow rotates itself on loading.
    if image.format in ("BMP", "GIF", "PPM"):
        return None
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata, good pixels
        return None


def picture(image: Image.Image, turn: Turn, levels: Levels = FULL) -> Image.Image:
    """Return the loaded `image` in RGB, rotated by `turn`. A large one is closed unless it is the result itself.

    levels   of 16-bit pixels that become black and white
    Raises ValueError if its pixels have no defined brightness.
    """
    if image.width * image.height < LARGE:
        rgb = _to_rgb(image, image.format, levels)
        return rgb if turn is None else rgb.transpose(turn)
    if image.mode == "RGB" and turn is None and not image.has_transparency_data:
        return image
    width, height = _turned_size(image, turn)
    result = None
    for strip, corner in _strips(image, turn, (0, 0, width, height), levels):
        if result is None:  # created only after the source is freed
            result = Image.new("RGB", (width, height))
        result.paste(strip, corner)
    assert result is not None  # an image has at least one row
    return result


def array(image: Image.Image, turn: Turn, box_of: Callable[[int, int], PixelBox], levels: Levels = FULL) -> np.ndarray:
    """Return `picture` cropped to `box_of(width, height)`: uint8 [h, w, 3]."""
    box = box_of(*_turned_size(image, turn))
    left, top, right, bottom = box
    if image.width * image.height < LARGE:
        rgb = picture(image, turn, levels)
        return np.array(rgb if box == (0, 0, *rgb.size) else rgb.crop(box))
    result = None
    for strip, (x, y) in _strips(image, turn, box, levels):
        if result is None:
            result = np.zeros((bottom - top, right - left, 3), np.uint8)  # black outside the image, like Pillow's crop
        part = max(left, x), max(top, y), min(right, x + strip.width), min(bottom, y + strip.height)
        rows, columns = slice(part[1] - top, part[3] - top), slice(part[0] - left, part[2] - left)
        result[rows, columns] = np.asarray(strip.crop((part[0] - x, part[1] - y, part[2] - x, part[3] - y)))
    return np.zeros((bottom - top, right - left, 3), np.uint8) if result is None else result


def _turned_size(image: Image.Image, turn: Turn) -> tuple[int, int]:
    return (image.height, image.width) if turn in TRANSPOSING else image.size


def _strips(image: Image.Image, turn: Turn, box: PixelBox, levels: Levels) -> Iterator[Strip]:
    """Yield the strips that overlap `box`. If source and result are both large, `image` is closed before the first."""
    (width, height), file_format = image.size, image.format
    rows = max(1, _STRIP // width)
    spans = []
    for first in range(0, height, rows):
        last = min(first + rows, height)
        x, y = _corner(turn, first, last, height)
        long, short = (last - first, width) if turn in TRANSPOSING else (width, last - first)
        if x < box[2] and x + long > box[0] and y < box[3] and y + short > box[1]:
            spans.append((first, last, (x, y)))

    def converted(first: int, last: int) -> Image.Image:
        return _to_rgb(image.crop((0, first, width, last)), file_format, levels)

    result_is_large = (box[2] - box[0]) * (box[3] - box[1]) >= LARGE
    if image.mode not in _SMALL_MODES and result_is_large:
        file = _stored(converted(first, last) for first, last, _ in spans)
        if file is not None:
            with file:
                image.close()
                for first, last, corner in spans:
                    strip = Image.frombytes("RGB", (width, last - first), file.read(3 * width * (last - first)))
                    yield strip if turn is None else strip.transpose(turn), corner
            return
    for first, last, corner in spans:
        strip = converted(first, last)
        yield strip if turn is None else strip.transpose(turn), corner


def _stored(strips: Iterator[Image.Image]) -> IO[bytes] | None:
    """Return a temporary file with the pixels of `strips`, positioned at its start; None if the disk is full."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile())
            for strip in strips:
                file.write(strip.tobytes())
            file.seek(0)
        except OSError:
            return None
        stack.pop_all()
        return file


def _corner(turn: Turn, first: int, last: int, height: int) -> tuple[int, int]:
    """Return the position in the upright image of the rows `first` to `last` of the file."""
    start = height - last if turn in _REVERSING else first
    return (start, 0) if turn in TRANSPOSING else (0, start)


def _to_rgb(image: Image.Image, file_format: str | None, levels: Levels) -> Image.Image:
    """Return the pixels in RGB. Raises ValueError if they have no defined brightness."""
    mode = image.mode
    if is_deep(mode):
        return _grey16(_deep(image), _transparent(image), levels)
    if mode == "F":
        raise ValueError("floating-point pixels have no defined brightness")
    if mode == "CMYK" and file_format == "JPEG" and "adobe" not in image.info:
        # Pillow inverts every CMYK JPEG, but without Adobe's marker 0 already means no ink.
        image = ImageChops.invert(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def is_deep(mode: str) -> bool:
    """Return whether pixels of this mode are grey of 16 bits: "I;16", "I;16B" …, and "I" of a PGM or TIFF."""
    return mode == "I" or mode.startswith("I;16")


def span(image: Image.Image) -> tuple[int, int] | None:
    """Return the lowest and highest level of a loaded 16-bit image, None of others. Raises ValueError as `picture`.

    Transparent pixels, which become white, count only if there are no others.
    """
    if not is_deep(image.mode):
        return None
    rows, transparent = max(1, _STRIP // image.width), _transparent(image)
    ends: list[int] = []
    for first in range(0, image.height, rows):
        values = _deep(image.crop((0, first, image.width, min(first + rows, image.height))))
        if transparent is not None:
            values = values[values != transparent]
        ends += [int(values.min()), int(values.max())] if values.size else []
    return (min(ends), max(ends)) if ends else (DEEPEST, DEEPEST)


def _deep(image: Image.Image) -> np.ndarray:
    """Return the levels of a 16-bit image. Raises ValueError if they are beyond 16 bits, as a TIFF's may be."""
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > DEEPEST):
        raise ValueError("32-bit pixels beyond 16 bits have no defined brightness")
    return values


def _transparent(image: Image.Image) -> int | None:
    """Return the level that a 16-bit PNG declares as transparent."""
    level = image.info.get("transparency") if image.mode != "I" else None
    return level if isinstance(level, int) else None


def _grey16(values: np.ndarray, transparent: int | None, levels: Levels) -> Image.Image:
    """Return 16-bit levels as 0..255, as three equal channels; the tRNS value becomes white."""
    grey = levels(values)
    if transparent is not None:
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")
