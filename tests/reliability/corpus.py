"""A corpus of hostile and unusual images, made by script."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import numpy as np
from damage import flips
from PIL import Image
from test_images import encoded, png

SIDE = 48
KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def photo(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8))


def bomb() -> bytes:
    """30000x30000 pixels, 2.7 GB decoded, in about 110 KB."""
    return png(30_000, 30_000, 1, 0, bytes(30_000 * 3751))


def whole_bomb() -> bytes:
    """8-bit grey, 900 MB decoded."""
    import zlib

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(30_001 * 100)) for _ in range(300)) + packer.flush()
    head = png(30_000, 30_000, 8, 0, b"")
    at = head.index(b"IDAT") - 4
    chunk = b"IDAT" + rows
    return (
        head[:at]
        + len(rows).to_bytes(4, "big")
        + chunk
        + zlib.crc32(chunk).to_bytes(4, "big")
        + png(1, 1, 8, 0, b"")[-12:]
    )


def bad() -> dict[str, bytes]:
    """Contents that are no whole image; each must be refused by name."""
    html = b"<!doctype html><html><title>404</title></html>"
    cases = {"empty.jpg": b"", "text.jpg": b"not an image\n" * 50, "html.jpg": html, "zeros.png": bytes(5000),
             "bomb.png": bomb(), "bomb8.png": whole_bomb(), "size0.png": png(0, 0, 8, 2, b""),
             "icon.ico": encoded(photo(), "ICO"), "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
             "signature.png": b"\x89PNG\r\n\x1a\n", "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
             }  # fmt: skip
    for kind in KINDS:
        content = encoded(photo(), kind)
        for percent in (10, 50):
            cases[f"{kind.lower()}-{percent}.{kind.lower()}"] = content[: len(content) * percent // 100]
    good = encoded(photo(), "PNG")
    crc = bytearray(good)
    crc[good.index(b"IEND") - 5] ^= 0xFF  # the last byte of the pixels' checksum
    cases["crc.png"] = bytes(crc)
    cases["png-99.png"] = good[: len(good) * 99 // 100]
    return cases


def damaged(number: int) -> dict[str, bytes]:
    """Contents with one flipped bit and cut to 99 %: refused or read, but never a crash."""
    cases = {}
    for kind in KINDS:
        content, draws = encoded(photo(), kind), Random(kind)
        cases[f"{kind.lower()}-99.{kind.lower()}"] = content[: len(content) * 99 // 100]
        for i, (_, flipped) in enumerate(flips(content, number, draws)):
            cases[f"{kind.lower()}-flip{i}.{kind.lower()}"] = flipped
    return cases


def good() -> dict[str, bytes]:
    """Unusual contents that are whole images; each must be read."""
    image = photo()
    grey16 = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    cases = {f"{kind.lower()}.{kind.lower()}": encoded(image, kind) for kind in KINDS}
    cases |= {
        "wrong-extension.png": encoded(image, "JPEG"), "none": encoded(image, "PNG"),
        "1x1.png": encoded(Image.new("RGB", (1, 1)), "PNG"), "1x5000.png": encoded(Image.new("RGB", (1, 5000)), "PNG"),
        "5000x1.jpg": encoded(Image.new("RGB", (5000, 1)), "JPEG"),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"), "cmyk.tiff": encoded(image.convert("CMYK"), "TIFF"),
        "l.png": encoded(image.convert("L"), "PNG"), "la.png": encoded(image.convert("LA"), "PNG"),
        "one-bit.png": encoded(image.convert("1"), "PNG"), "rgba.png": encoded(image.convert("RGBA"), "PNG"),
        "p.png": encoded(image.convert("P"), "PNG", transparency=3), "l.jpg": encoded(image.convert("L"), "JPEG"),
        "grey16.png": encoded(Image.fromarray(grey16), "PNG"), "grey16.tiff": encoded(Image.fromarray(grey16), "TIFF"),
        "rgb16.png": png(SIDE, SIDE, 16, 2, (b"\0" + b"\7\x99" * 3 * SIDE) * SIDE),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
    }  # fmt: skip
    adobe = cases["cmyk.jpg"]
    at = adobe.index(b"\xff\xee\x00\x0eAdobe")
    cases["cmyk-plain.jpg"] = adobe[:at] + adobe[at + 16 :]
    for kind in ("GIF", "WEBP", "PNG"):
        cases[f"animated.{kind.lower()}"] = encoded(image, kind, save_all=True, append_images=[photo(1), photo(2)])
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        cases[f"exif{turn}.jpg"] = encoded(image, "JPEG", exif=exif)
    return cases


def write(folder: Path, cases: dict[str, bytes], *, special: bool = False) -> list[str]:
    """Write the corpus; `special` adds a folder, links, a pipe, a file without permission. Returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cases.items():
        (folder / name).write_bytes(content)
    if not special:
        return list(cases)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "itself.jpg").symlink_to(folder / "itself.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "closed.jpg").write_bytes(encoded(photo(), "JPEG"))
    (folder / "closed.jpg").chmod(0)
    return [*cases, "dangling.jpg", "itself.jpg", "pipe.jpg", "closed.jpg"]
