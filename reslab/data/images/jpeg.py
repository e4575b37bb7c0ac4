"""Part of a JPEG, by the very library that Pillow decodes with: equal pixels, in less time the smaller the part is.

A crop for training has a third of an image. `jpeg.cpp` lets libjpeg-turbo pass over the rest; no package for Python
offers that. Where it cannot be had (no compiler, another system or library) there is no part, and Pillow decodes the
whole.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import _imaging

from reslab.errors import RunError
from reslab.store import native

SOURCE, FLAGS = Path(__file__).with_suffix(".cpp"), ("-O2", "-ldl")
END = b"\xff\xd9"  # the marker that ends a whole file
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_uint32
_DECODE = (ctypes.c_char_p, ctypes.c_ulong, _SIZE, _SIZE, _SIZE, _SIZE, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER)

PixelBox = tuple[int, int, int, int]  # left, top, right, bottom


def part(file: bytes, fraction: int, width: int, height: int, box: PixelBox) -> np.ndarray | None:
    """`box` of the image in `file` at 1/`fraction` (1, 2, 4, 8) of its size, width x height then: uint8 [h, w, 3].

    None where Pillow must decode the whole: colours other than YCbCr, a file that is cut off (its end is not there)
    or that the library warns of on the way to the part. Damage behind the part is not seen.
    """
    library = _library()
    left, top, right, bottom = box
    if library is None or END not in file[-64:] or not (0 <= left < right <= width and 0 <= top < bottom <= height):
        return None
    pixels, line = np.empty((bottom - top, right - left, 3), np.uint8), np.empty(3 * (width + 64), np.uint8)
    into = line.ctypes.data, pixels.ctypes.data
    return None if library.decode(file, len(file), fraction, width, height, *box, *into) else pixels


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    with suppress(RunError):
        if _imaging.__file__:
            library = native.library(SOURCE, *FLAGS)
            library.decode.argtypes = _DECODE
            if library.use(os.fsencode(_imaging.__file__)):
                return library
    return None
