"""Large pictures are converted strip by strip: equal to the bit, in a bounded share of memory."""

import io
import os
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import pytest
from PIL import Image

from reslab.data.images import pixels, png
from reslab.data.images.decode import read, read_part, read_rgb


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def corpus() -> dict[str, bytes]:
    values = np.random.default_rng(0).integers(0, 256, (37, 29, 4), np.uint8)
    rgb, wide = Image.fromarray(values[..., :3]), values[..., :2].view(np.uint16)[..., 0].copy()
    cmyk = Image.frombytes("CMYK", (29, 37), values.tobytes())
    adobe = saved(cmyk, "JPEG", quality=95)
    start = adobe.index(b"\xff\xee\x00\x0eAdobe")
    return {
        "rgb": saved(rgb, "PNG"),
        "rgba": saved(Image.fromarray(values), "PNG"),
        "la": saved(Image.fromarray(values[..., :2], mode="LA"), "PNG"),
        "l": saved(rgb.convert("L"), "PNG"),
        "key": saved(rgb.convert("L"), "PNG", transparency=77),
        "colour key": saved(rgb, "PNG", transparency=tuple(map(int, values[3, 4, :3]))),
        "palette": saved(rgb.quantize(64), "PNG", transparency=bytes(range(0, 256, 4))),
        "one bit": saved(rgb.convert("1"), "PNG"),
        "16 bits": saved(Image.fromarray(wide), "PNG"),
        "16 bits pgm": saved(Image.fromarray(wide), "PPM"),
        "16 bits tiff": saved(Image.fromarray(wide), "TIFF"),
        "cmyk": adobe,
        "cmyk without adobe": adobe[:start] + adobe[start + 16 :],
        "cmyk tiff": saved(cmyk, "TIFF"),
        "lab": saved(Image.frombytes("LAB", (29, 37), values[..., :3].tobytes()), "TIFF"),
        "gif": saved(rgb, "GIF", transparency=3),
        "webp": saved(Image.fromarray(values), "WEBP", lossless=True),
        "animated": saved(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)]),
        **{f"turned {turn}": turned(rgb, turn) for turn in range(1, 9)},
        "turned rgba": turned(Image.fromarray(values), 6),
        "turned palette": turned(rgb.quantize(64), 5),
    }


def turned(image: Image.Image, turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return saved(image, "PNG", exif=exif)


BOXES = [(0, 0, 29, 29), (3, 5, 20, 28), (10, 28, 11, 29), (-2, -3, 31, 50)]


def forms(content: bytes) -> list[np.ndarray]:
    crops = [read_part(content, lambda w, h, box=box: box) for box in BOXES]
    return [np.asarray(read(content)), read_rgb(content), *crops]


@pytest.mark.parametrize("rows", [1, 5, 36, 99])
def test_strips_are_equal_to_the_whole(monkeypatch, rows):
    for name, content in corpus().items():
        whole = forms(content)
        with monkeypatch.context() as patch:
            patch.setattr(pixels, "LARGE", 200)
            patch.setattr(pixels, "_STRIP", rows * 29)
            for found, expected in zip(forms(content), whole, strict=True):
                assert np.array_equal(found, expected), name


def test_without_room_for_a_temporary_file_the_pixels_are_the_same(monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    content = corpus()["turned rgba"]
    whole = forms(content)
    monkeypatch.setattr(pixels, "LARGE", 200)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert all(np.array_equal(a, b) for a, b in zip(forms(content), whole, strict=True))
    monkeypatch.undo()
    monkeypatch.setattr(pixels, "LARGE", 200)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: os.fdopen(os.open("/dev/full", os.O_RDWR), "w+b", 0))
    assert all(np.array_equal(a, b) for a, b in zip(forms(content), whole, strict=True))


MEASURE = """
import sys
from reslab.data.images.decode import read, read_rgb
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
before = peak()
result = {"read": read, "read_rgb": read_rgb}[sys.argv[2]](sys.argv[1])
print(peak() - before)
"""


def flat_png(file, side: int, depth: int, colour: int, samples: int, extra: bytes = b"") -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    squeeze, row = zlib.compressobj(1), b"\0" + bytes(range(250)) * (side * depth * samples // 8 // 250)
    rows = b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0))
    file.write_bytes(png.SIGNATURE + header + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def check_memory(folder, side: int, most: int) -> None:
    """`most` megabytes beyond what the process had."""
    palette = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"PLTE", bytes(range(256)) * 3), (b"tRNS", bytes(range(256))))
    )
    for name, arguments in {
        "rgba": (8, 6, 4),
        "16 bits": (16, 0, 1),
        "palette": (8, 3, 1, palette),
        "rgb": (8, 2, 3),
        "la": (8, 4, 2),
        "one bit": (1, 0, 1),
    }.items():
        file = folder / "x.png"
        flat_png(file, side, *arguments)
        for way in ("read", "read_rgb"):
            run = subprocess.run([sys.executable, "-c", MEASURE, file, way], capture_output=True, text=True)
            assert float(run.stdout) < most, (name, way, run)
        if side < 10_000 and name == "palette":
            return


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as on Linux")
def test_fault_14_a_large_picture_takes_six_bytes_a_pixel(tmp_path):
    check_memory(tmp_path, 5_000, 150)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as on Linux")
def test_fault_14_a_picture_of_100_megapixels_takes_600_megabytes(tmp_path):
    check_memory(tmp_path, 10_000, 600)
