"""Damaged PNG files are refused; whole ones have the pixels that Pillow alone gives."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from cases import some
from PIL import Image

from reslab.data.images.decode import BadImage, png, probe, read, read_part, read_rgb

RAMP = np.arange(12 * 10 * 4, dtype=np.uint8).reshape(12, 10, 4)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def handmade(width: int, height: int, depth: int, colour: int, rows: bytes, *, interlace=0, before=b"", after=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    pixels = zlib.compress(rows)
    parts = [chunk(b"IDAT", pixels[i : i + 50]) for i in range(0, len(pixels), 50)]
    return png.SIGNATURE + header + before + b"".join(parts) + after + chunk(b"IEND", b"")


def interlaced() -> bytes:
    rows = b""
    for x, y, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)):
        rows += b"".join(b"\0" + RAMP[row, x::across, :3].tobytes() for row in range(y, 12, down))
    rows += b"".join(b"\0" + RAMP[row, :, :3].tobytes() for row in range(1, 12, 2))
    return handmade(10, 12, 8, 2, rows, interlace=1)


def saved(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def corpus() -> dict[str, bytes]:
    rgb = Image.fromarray(RAMP[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = b"".join(b"\0" + row.tobytes() for row in RAMP[..., 0])
    turn = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    return {
        "rgb": saved(rgb),
        "rgba": saved(Image.fromarray(RAMP)),
        "la": saved(Image.fromarray(RAMP[..., :2], mode="LA")),
        "palette": saved(rgb.quantize(16), transparency=3),
        "one bit": saved(rgb.convert("1")),
        "16 bits": saved(Image.fromarray(np.arange(120, dtype=np.uint16).reshape(12, 10) * 500)),
        "interlaced": interlaced(),
        "animated": saved(rgb, save_all=True, append_images=[rgb.rotate(90), rgb.rotate(180)]),
        "key": handmade(10, 12, 8, 0, raw, before=chunk(b"tRNS", b"\0\x04")),
        "turned": saved(rgb, exif=exif),
        "turned behind the pixels": handmade(10, 12, 8, 0, raw, after=turn + chunk(b"tEXt", b"a\0b")),
        "empty pixel chunks": handmade(10, 12, 8, 0, raw, after=chunk(b"IDAT", b"")),
    }


def outcome(content: bytes) -> np.ndarray | None:
    try:
        return read_rgb(content)
    except BadImage:
        return None


def check_flips(name: str, step: int) -> None:
    content = corpus()[name]
    whole = read_rgb(content)
    refused = 0
    for at in range(0, len(content), step):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        found = outcome(bytes(damaged))
        refused += found is None
        assert found is None or np.array_equal(found, whole), at
    assert refused > 0.9 * len(range(0, len(content), step))


@pytest.mark.parametrize("name", corpus())
def test_fault_13_a_flipped_bit_is_refused(name):
    check_flips(name, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", corpus())
def test_fault_13_every_flipped_byte_is_refused(name):
    check_flips(name, 1)


def test_every_way_to_read_checks(tmp_path):
    content = bytearray(saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))))
    content[len(content) // 2 : len(content) // 2 + 1] = bytes([content[len(content) // 2] ^ 1])
    file = tmp_path / "x.png"
    file.write_bytes(content)
    for source in (file, bytes(content)):
        for way in (read, read_rgb, lambda s: read_part(s, lambda w, h: (0, 0, 9, 9))):
            with pytest.raises(BadImage, match="checksum of a 'IDAT' chunk is wrong, so the file is damaged"):
                way(source)
        assert probe(source) == (64, 64)


@pytest.mark.parametrize("name", corpus())
def test_whole_files_keep_their_pixels_and_cut_ones_are_refused(name):
    content = corpus()[name]
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        turned = image.transpose(Image.Transpose.ROTATE_270) if "turned" in name else image
        if name == "16 bits":
            expected = np.repeat((np.asarray(turned).astype(float) / 257).round().astype(np.uint8)[..., None], 3, 2)
        elif turned.has_transparency_data:
            over = Image.new("RGBA", turned.size, "white")
            expected = np.asarray(Image.alpha_composite(over, turned.convert("RGBA")).convert("RGB"))
        else:
            expected = np.asarray(turned.convert("RGB"))
    assert np.array_equal(read_rgb(content), expected)
    assert np.array_equal(read_rgb(content + b"anything"), expected)
    for length in range(len(content)):
        assert outcome(content[:length]) is None, length


LIMITED = """
import resource, sys
from reslab.data.images.decode import BadImage, probe, read_rgb
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for way in (read_rgb, probe):
    try:
        print(way(sys.argv[1]))
    except BadImage as error:
        print("refused:", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded as on Linux")
@pytest.mark.parametrize("behind", some([True, False], quick=1))
@pytest.mark.parametrize("kind", some([b"IDAT", b"tEXt", b"abCd"], quick=1))
def test_a_declared_length_takes_no_memory(tmp_path, kind, behind):
    """A chunk of 4 GB - 1 that the file does not have, and one of 1 GB that a sparse file has."""
    raw = b"".join(b"\0" + row.tobytes() for row in RAMP[..., 0])
    for length, size in ((0xFFFFFFFF, 0), (1 << 30, 1 << 30)):
        head = struct.pack(">I", length) + kind
        content = handmade(10, 12, 8, 0, raw, before=b"" if behind else head, after=head if behind else b"")
        start = content.index(head) + 8
        file = tmp_path / "x.png"
        with file.open("wb") as stream:
            stream.write(content[:start] if size else content)
            stream.truncate(max(size + start, stream.tell()))
        lines = subprocess.run(
            [sys.executable, "-c", LIMITED, file], capture_output=True, text=True
        ).stdout.splitlines()
        assert lines[0].startswith("refused:"), lines
        assert "emory" not in lines[0]
        assert len(lines) == 2
        assert "emory" not in lines[1]
