"""What one image file is, from one complete decoding: damage, format, size, content and look."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reslab.data.encoded import Encoded
from reslab.data.images.decode import BadImage, examine
from reslab.data.images.pixels import is_deep

SIDE = 16  # of the grid that the look of an image is taken on
CLEAR = 4  # levels between two neighbours of the grid above which they differ; smaller ones change with a JPEG
SHOWN = 64  # pixels that the shorter side of a decoded JPEG needs here: its bytes are read whole at any size
EXTENSIONS = {
    "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP",
    "gif": "GIF", "tif": "TIFF", "tiff": "TIFF", "ppm": "PPM", "pgm": "PPM", "pbm": "PPM", "pnm": "PPM",
}  # fmt: skip
# Beginnings of files of other formats: (position, bytes) → format.
_STARTS = {
    (4, b"ftypavif"): "AVIF", (4, b"ftypavis"): "AVIF", (4, b"ftyphei"): "HEIC", (4, b"ftypmif1"): "HEIC",
    (4, b"ftyp"): "video", (0, b"\xff\x0a"): "JPEG XL", (0, b"\0\0\0\x0cJXL "): "JPEG XL",
    (0, b"\0\0\0\x0cjP  "): "JPEG 2000", (0, b"8BPS"): "PSD", (0, b"%PDF"): "PDF", (0, b"<svg"): "SVG",
    (0, b"PK\x03\x04"): "ZIP", (0, b"<?xml"): "SVG", (0, b"\x1a\x45\xdf\xa3"): "video", (8, b"AVI "): "video",
    (0, b"<!DOCTYPE"): "HTML", (0, b"<html"): "HTML", (128, b"DICM"): "DICOM", (0, b"SIMPLE  ="): "FITS",
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What a file is.

    reason           why it cannot be read; "" if it can
    format           as Pillow names it ("JPEG"); of a file that cannot be read the format it begins like, or ""
    width, height    of the upright image, pixels; 0 if it cannot be read
    mode             of its pixels, as Pillow names it ("RGB", "L", "I;16", "CMYK" …)
    turned           it is turned or mirrored by its EXIF orientation
    low, high        lowest and highest level of its pixels: in grey 0..255, of 16 bits as they are, 0..65535
    content          BLAKE2b of its bytes, 16 bytes in hex
    look             256 bits in hex: where the image gets clearly brighter to the right, on a grid of 16 x 17
                     (a difference hash); much the same for copies of other sizes and qualities. "" if nowhere.
                     Of 16 bits that use a small part of their range it is that of the stretched image
    """

    reason: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    turned: bool = False
    low: int = 0
    high: int = 0
    content: str = ""
    look: str = ""

    @property
    def is_blank(self) -> bool:
        """Return whether all pixels are equal."""
        return not self.reason and self.low == self.high

    @property
    def is_deep(self) -> bool:
        """Return whether the file has grey pixels of 16 bits."""
        return not self.reason and is_deep(self.mode)


def facts_of(source: str | Encoded) -> Facts:
    """Return the facts of a file, or of an encoded image; never raises."""
    try:
        header, image = examine(source, min_side=SHOWN)
        grey = image.convert("L")
        levels = np.asarray(grey)
        low, high = header.span or (int(levels.min()), int(levels.max()))
        with io.BytesIO(source) if isinstance(source, Encoded) else open(source, "rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except BadImage as error:
        return Facts(error.reason, began_like(source))
    except Exception as error:  # changed or removed meanwhile, or out of memory: a reason like any other
        return Facts(f"cannot be read: {' '.join(str(error).split())[:160] or type(error).__name__}")
    return Facts(
        "", header.format, header.width, header.height, header.mode, header.turned, low, high, content,
        look_of(grey),
    )  # fmt: skip


def look_of(grey: Image.Image) -> str:
    """Return the difference hash of a grey image, see `Facts.look`; "" for one smaller than its grid."""
    if min(grey.size) <= SIDE:
        return ""
    grid = np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.BILINEAR), np.int16)
    bits = grid[:, 1:] - grid[:, :-1] > CLEAR
    return np.packbits(bits).tobytes().hex() if bits.any() else ""


def began_like(source: str | Encoded) -> str:
    """Return the format of a file that reslab does not read, from its first bytes, or ""."""
    if isinstance(source, Encoded):
        head, path = source[:256], source.name
    else:
        path = source
        try:
            if not stat.S_ISREG(os.stat(source).st_mode):  # opening a pipe would wait forever
                return ""
            with open(source, "rb") as file:
                head = file.read(256)
        except OSError:
            return ""
    for (start, pattern), name in _STARTS.items():
        if head[start : start + len(pattern)] == pattern:
            return name
    return EXTENSIONS.get(path.rpartition(".")[2].lower(), "") if head else ""
