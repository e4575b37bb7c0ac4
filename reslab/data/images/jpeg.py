"""Decode a part of a JPEG with the library that Pillow uses: the same pixels, and less time for a smaller part.

A crop for training is about a third of an image. `jpeg.cpp` makes libjpeg-turbo skip the rest, which no Python package
offers. If it is unavailable (no compiler, another system or library), Pillow decodes the whole image.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import _imaging

from reslab.errors import RunError
from reslab.store import native

SOURCE, FLAGS = Path(__file__).with_suffix(".cpp"), ("-O2", "-ldl")
END = b"\xff\xd9"  # the marker at the end of a complete file
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_uint32
_DECODE = (ctypes.c_char_p, ctypes.c_ulong, _SIZE, _SIZE, _SIZE, _SIZE, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER)

PixelBox = tuple[int, int, int, int]  # left, top, right, bottom


def part(file: bytes, fraction: int, width: int, height: int, box: PixelBox) -> np.ndarray | None:
    """Return a part of the image in `file`, decoded at 1/`fraction` of its size: uint8 [h, w, 3].

    fraction        1, 2, 4 or 8
    width, height   of the whole image at that size; `box` is in its pixels
    Returns None if Pillow must decode the whole image: its colours are not YCbCr, the file is truncated (no end
    marker), or the library warns before the end of the part. Damage after the part is not noticed.
    """
    library = _library()
    left, top, right, bottom = box
    if library is None or END not in file[-64:] or not (0 <= left < right <= width and 0 <= top < bottom <= height):
        return None
    pixels, line = np.empty((bottom - top, right - left, 3), np.uint8), np.empty(3 * (width + 64), np.uint8)
    buffers = line.ctypes.data, pixels.ctypes.data
    return None if library.decode(file, len(file), fraction, width, height, *box, *buffers) else pixels


def unavailable_reason() -> str:
    """Return the reason Pillow decodes whole images here, or "" if parts can be decoded. Compiles on first use."""
    return _found()[1]


def _library() -> ctypes.CDLL | None:
    return _found()[0]


@lru_cache(maxsize=1)
def _found() -> tuple[ctypes.CDLL | None, str]:
    """Return the library, or None and the reason."""
    if not _imaging.__file__:
        return None, "Pillow's decoder is no file of its own"
    try:
        library = native.library(SOURCE, *FLAGS)
    except RunError as error:
        return None, str(error)
    library.decode.argtypes = _DECODE
    if library.use(os.fsencode(_imaging.__file__)):
        return library, ""
    return None, "Pillow's JPEG library cannot skip parts of an image"
