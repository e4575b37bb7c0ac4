"""Decode an image file to RGB safely: any file gives an upright RGB image or a `BadImage`.

Pillow decodes, after a check of the format against a list and of the pixel count in the header against a limit.
(torchvision.io has no limit, and kills the process on a PNG with one flipped byte.) This module decides what Pillow
leaves open or gets wrong: 16-bit grey is scaled, not clipped to white; transparency is blended with white; the EXIF
orientation is applied; CMYK is inverted only with Adobe's marker; of an animation the first frame is used.

A truncated file is refused, except for the last digits of a PPM in text and for data after the first frame of a GIF. A
changed byte is found in every PNG (`png`). The other formats have no checksums, so there it may change pixels.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from reslab.data.images import pixels, png, quiet
from reslab.data.images.jpeg import PixelBox, part
from reslab.data.images.levels import FULL, Levels, stretched
from reslab.errors import RunError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 100_000_000

Source = str | os.PathLike[str] | bytes


class Header(NamedTuple):
    """Format and mode as Pillow names them, size of the upright image in pixels, whether EXIF turns or mirrors it.

    span   lowest and highest level of 16-bit pixels, None of others
    """

    format: str
    mode: str
    width: int
    height: int
    turned: bool
    span: tuple[int, int] | None


class BadImage(RunError):
    """A file that is no readable image: `name` of the file and `reason`; the message has both in one line."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type[BadImage], tuple[str, str]]:
        return BadImage, (self.name, self.reason)  # by default pickle would pass the message as the only argument


def read(
    source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS, min_side: int | None = None,
    levels: Levels = FULL,
) -> Image.Image:  # fmt: skip
    """Return a file (or its bytes) decoded to an upright RGB image.

    name         name of the file in messages
    max_pixels   limit of width x height; Pillow's own limit is 179 Mpx
    min_side     shorter side in pixels that is enough: a JPEG of at least twice the size is decoded at 1/2, 1/4 or 1/8,
                 in a fraction of the time (each pixel is the mean of a square, from fewer coefficients)
    levels       of 16-bit pixels that become black and white
    Raises BadImage, and nothing else, if it is no complete image of an allowed format.
    """
    with _open(source, name, max_pixels) as image:
        _shrink(image, min_side)
        return pixels.picture(image, _load(image), levels)


def examine(source: Source, *, min_side: int | None = None) -> tuple[Header, Image.Image]:
    """Return what the file is, and the image of `read`, 16 bits `stretched` from their own span. Raises BadImage."""
    with _open(source, None, MAX_PIXELS) as image:
        (width, height), mode, name = image.size, image.mode, image.format or ""
        _shrink(image, min_side)
        turn, span = _load(image), pixels.span(image)
        width, height = (height, width) if turn in pixels.TRANSPOSING else (width, height)
        levels = stretched(*span) if span else FULL
        return Header(name, mode, width, height, turn is not None, span), pixels.picture(image, turn, levels)


def upright(image: Image.Image, *, name: str = "the image", levels: Levels = FULL) -> Image.Image:
    """Return a Pillow image as `read` returns its file: upright RGB. Raises BadImage."""
    try:
        image.load()
        return pixels.picture(image.copy(), pixels.turn_of(image), levels)
    except Exception as error:
        raise BadImage(name, _reason(error)) from None


def read_part(
    source: Source, box_of: Callable[[int, int], PixelBox], *, name: str | None = None, min_side: int | None = None,
    levels: Levels = FULL,
) -> np.ndarray:  # fmt: skip
    """Return the image of `read` cropped to `box_of(width, height)`: uint8 [h, w, 3].

    Of a JPEG only that part is decoded if possible; damage after the part is then not noticed. Otherwise raises
    BadImage as `read` does.
    """
    with _open(source, name, MAX_PIXELS) as image:
        fraction = _shrink(image, min_side)
        if image.format == "JPEG" and image.mode == "RGB" and pixels.turn_of(image) is None:
            decoded = part(_bytes(image), fraction, *image.size, box_of(*image.size))
            if decoded is not None:
                return decoded
        return pixels.array(image, _load(image), box_of, levels)


def read_rgb(source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the image of `read` as uint8 [H, W, 3]."""
    with _open(source, name, max_pixels) as image:
        return pixels.array(image, _load(image), lambda width, height: (0, 0, width, height))


def probe(source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return (width, height) in pixels from the header; an EXIF rotation may later swap them. Raises BadImage."""
    with _open(source, name, max_pixels) as image:
        return image.size


def mode_of(source: Source) -> str:
    """Return the mode of the pixels from the header, as Pillow names it. Raises BadImage as `probe`."""
    with _open(source, None, MAX_PIXELS) as image:
        return image.mode


def _shrink(image: ImageFile, min_side: int | None) -> int:
    """Set a JPEG to be decoded at 1/n of its size with at least `min_side` pixels per side; return n: 1, 2, 4 or 8."""
    factor = min(image.size) // min_side if min_side and image.format == "JPEG" else 1
    if factor >= 2:
        image.draft(None, (image.width // factor, image.height // factor))
    return int(image.decoderconfig[0]) if image.decoderconfig else 1


def _load(image: ImageFile) -> Image.Transpose | None:
    """Decode the pixels, after checking the checksums of a PNG; return the rotation that makes them upright."""
    if image.format == "PNG":
        assert image.fp is not None  # open until the image is loaded
        png.verify(image.fp)
    with quiet.libtiff() if image.format == "TIFF" else nullcontext():
        image.load()
    return pixels.turn_of(image)


def _bytes(image: ImageFile) -> bytes:
    """Return all bytes of the file of a lazy image; the position in the file is restored."""
    file = image.fp
    assert file is not None  # open until the image is loaded
    position = file.tell()
    file.seek(0)
    try:
        return file.read()
    finally:
        file.seek(position)


@contextmanager
def _open(source: Source, name: str | None, max_pixels: int) -> Iterator[ImageFile]:
    """Yield Pillow's lazy image with its header checked; any error inside the block becomes a BadImage."""
    in_memory = isinstance(source, bytes)
    quiet.logger()
    label = name or (str(getattr(source, "name", "image bytes")) if in_memory else os.fsdecode(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no output on stderr because of unusual metadata
            if in_memory:
                if not source:
                    raise BadImage(label, "the file is empty")
                length = len(source)  # type: ignore[arg-type]
            else:
                length = _regular_size(Path(source), label)  # type: ignore[arg-type]
            file = io.BytesIO(source) if in_memory else os.fspath(source)  # type: ignore[arg-type]
            if length > png.LARGEST_CHUNK:
                with io.BytesIO(source) if in_memory else open(file, "rb") as stream:  # type: ignore[arg-type]
                    png.check_lengths(stream)
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width < 1 or height < 1:
                    raise BadImage(label, f"the header gives a size of {width}x{height}")
                if width * height > max_pixels:
                    raise BadImage(label, _too_large(f"{width}x{height}", max_pixels))
                yield image
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage(label, _too_large("this", max_pixels)) from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, IndexError, MemoryError ...
        raise BadImage(label, _reason(error)) from None


def _regular_size(path: Path, label: str) -> int:
    """Return the size of a regular file in bytes. Raises BadImage if it is empty or no regular file."""
    status = os.stat(path)  # follows links, so a broken link is reported as a missing file
    if stat.S_ISDIR(status.st_mode):
        raise BadImage(label, "is a folder, not an image")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
        raise BadImage(label, "is not a regular file")
    if status.st_size == 0:
        raise BadImage(label, "the file is empty")
    return status.st_size


def _too_large(size: str, max_pixels: int) -> str:
    return f"{size} is more than the limit of {max_pixels / 1e6:g} megapixels; refused before decoding"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"is no image of a known format ({', '.join(FORMATS)})"
    if isinstance(error, FileNotFoundError):
        return "no such file, or a broken link"
    if isinstance(error, PermissionError):
        return "permission denied"
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    return f"cannot be decoded: {text[:160]}"
