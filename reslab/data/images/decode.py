"""One image file to RGB, safely: whatever the file holds, the answer is an RGB image or one `BadImage`.

Pillow decodes, behind a format allow-list and a pixel cap that is read from the header before anything is decoded.
(torchvision.io kills the process on a PNG with one flipped byte and has no cap.) What Pillow leaves open or gets
wrong is settled here: 16-bit grey is scaled, not clipped to white; transparency lies over white; the EXIF
orientation is applied; CMYK is inverted exactly where Adobe's marker says so; of an animation the first frame counts.

A file that is cut off is refused, but for the last digits of a PPM in text and for what follows a whole first frame of
GIF. A changed byte is found in every PNG (`png`); the other formats have no checksums, so there it may change pixels.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from reslab.data.images import pixels, png
from reslab.data.images.jpeg import PixelBox, part
from reslab.errors import RunError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 100_000_000
_ONE_AT_A_TIME = threading.Lock()
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

Source = str | os.PathLike[str] | bytes


class BadImage(RunError):
    """A file that is no readable image. `name` is the file, `reason` why, the message both in one line."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type[BadImage], tuple[str, str]]:
        return BadImage, (self.name, self.reason)  # two arguments, so that it can cross processes


def read(
    source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS, least: int | None = None
) -> Image.Image:
    """Decode a file (or the bytes of one) to an RGB image, upright.

    `name` stands for the file in messages; `max_pixels` caps width x height (Pillow's own limit of 179 Mpx stays
    above it). Where a shorter side of `least` pixels is enough, a JPEG of twice as many and more is decoded at a half,
    a quarter or an eighth (each pixel the mean of a square, from fewer coefficients), in a fraction of the time.
    Raises BadImage, and nothing else, for whatever is no whole image of an allowed format.
    """
    with _open(source, name, max_pixels) as image:
        _shrink(image, least)
        return pixels.picture(image, _load(image))


def upright(image: Image.Image, *, name: str = "the image") -> Image.Image:
    """Return a Pillow image as `read` returns its file: RGB, upright. Raises BadImage."""
    try:
        image.load()
        return pixels.picture(image.copy(), _turn(image))
    except Exception as error:
        raise BadImage(name, _reason(error)) from None


def read_part(
    source: Source, place: Callable[[int, int], PixelBox], *, name: str | None = None, least: int | None = None
) -> np.ndarray:
    """`read`, cropped to `place(width, height)`: uint8 [h, w, 3]. Of a JPEG that part alone is decoded where it can be.

    Raises BadImage as `read` does, but for damage that lies behind the part of a JPEG.
    """
    with _open(source, name, MAX_PIXELS) as image:
        fraction = _shrink(image, least)
        if image.format == "JPEG" and image.mode == "RGB" and _turn(image) is None:
            decoded = part(_bytes(image), fraction, *image.size, place(*image.size))
            if decoded is not None:
                return decoded
        return pixels.array(image, _load(image), place)


def read_rgb(source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """`read` as uint8 [H, W, 3]."""
    with _open(source, name, max_pixels) as image:
        return pixels.array(image, _load(image), lambda width, height: (0, 0, width, height))


def probe(source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in pixels from the header alone; an EXIF turn may yet swap them. Raises BadImage."""
    with _open(source, name, max_pixels) as image:
        return image.size


def _shrink(image: ImageFile, least: int | None) -> int:
    """Have a JPEG decoded at 1, 1/2, 1/4 or 1/8 of its size, `least` pixels a side left: 1, 2, 4 or 8."""
    factor = min(image.size) // least if least and image.format == "JPEG" else 1
    if factor >= 2:
        image.draft(None, (image.width // factor, image.height // factor))
    return int(image.decoderconfig[0]) if image.decoderconfig else 1


def _load(image: ImageFile) -> Image.Transpose | None:
    """Decode the pixels, the checksums of a PNG first; return what turns them upright."""
    if image.format == "PNG":
        assert image.fp is not None  # open until the image is loaded
        png.verify(image.fp)
    with _silent_libtiff() if image.format == "TIFF" else nullcontext():
        image.load()
    return _turn(image)


def _bytes(image: ImageFile) -> bytes:
    """The file of a lazy image, whole; it stays where it was."""
    file = image.fp
    assert file is not None  # open until the image is loaded
    here = file.tell()
    file.seek(0)
    try:
        return file.read()
    finally:
        file.seek(here)


@contextmanager
def _open(source: Source, name: str | None, max_pixels: int) -> Iterator[ImageFile]:
    """Pillow's lazy image, with its header checked; any failure inside the block becomes a BadImage."""
    inside = isinstance(source, bytes)
    _silence_logger()
    label = name or ("image bytes" if inside else os.fsdecode(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to write on stderr
            if inside:
                if not source:
                    raise BadImage(label, "the file is empty")
                length = len(source)  # type: ignore[arg-type]
            else:
                length = _regular_size(Path(source), label)  # type: ignore[arg-type]
            file = io.BytesIO(source) if inside else os.fspath(source)  # type: ignore[arg-type]
            if length > png.LARGEST_CHUNK:
                with io.BytesIO(source) if inside else open(file, "rb") as stream:  # type: ignore[arg-type]
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


@functools.cache
def _silence_logger() -> None:
    # Pillow logs some damage; with no handler set Python prints that on stderr. A program's own handlers still get it.
    logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def _silent_libtiff() -> Iterator[None]:
    """libtiff prints its complaints on the process's stderr, beside the exception that says the same."""
    with _ONE_AT_A_TIME:  # two at once would each keep the other's null device as the real stderr
        try:
            real = os.dup(2)
        except OSError:  # closed already: nothing to silence
            yield
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            os.close(null)


def _regular_size(path: Path, label: str) -> int:
    """The size of a regular file, bytes. Raises BadImage if it is none, or empty."""
    kind = os.stat(path)  # follows links, so a dangling one is told as a missing file
    if stat.S_ISDIR(kind.st_mode):
        raise BadImage(label, "is a folder, not an image")
    if not stat.S_ISREG(kind.st_mode):  # opening a pipe would wait for ever
        raise BadImage(label, "is not a regular file")
    if kind.st_size == 0:
        raise BadImage(label, "the file is empty")
    return kind.st_size


def _too_large(what: str, max_pixels: int) -> str:
    return f"{what} is more than the cap of {max_pixels / 1e6:g} megapixels; refused before decoding"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"is no image of a known format ({', '.join(FORMATS)})"
    if isinstance(error, FileNotFoundError):
        return "no such file, or a link that leads nowhere"
    if isinstance(error, PermissionError):
        return "permission denied"
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    return f"cannot be decoded: {text[:160]}"


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What turns the image upright; known for sure after load(), of a JPEG before."""
    # A PNG may carry EXIF behind its pixels, and TIFF is turned by Pillow, which then drops the tag.
    if image.format in ("BMP", "GIF", "PPM"):
        return None
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata around good pixels
        return None
