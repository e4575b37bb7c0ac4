"""One file to RGB: exact pixels for every mode, and one line, never a crash, for whatever is no image."""

import io
import logging
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from reslab.data.images.decode import BadImage, probe, read, read_rgb

RAMP = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, transparent: bytes = b"") -> bytes:
    """A PNG made by hand, for what Pillow does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    palette = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_back_their_pixels(kind):
    rgb = read_rgb(encoded(Image.fromarray(RAMP), kind))
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert np.array_equal(rgb, RAMP)


def test_lossless_webp_gif_and_grey():
    assert np.array_equal(read_rgb(encoded(Image.fromarray(RAMP), "WEBP", lossless=True)), RAMP)
    grey = RAMP[..., 0]
    three = np.repeat(grey[..., None], 3, axis=2)
    for kind in ("GIF", "PNG", "PPM"):
        assert np.array_equal(read_rgb(encoded(Image.fromarray(grey), kind)), three)
    bits = Image.fromarray(grey > 30)
    assert np.array_equal(read_rgb(encoded(bits, "PNG"))[..., 0], np.where(grey > 30, 255, 0))


def test_a_path_and_its_bytes_give_the_same(tmp_path):
    file = tmp_path / "x.jpg"
    file.write_bytes(encoded(Image.fromarray(RAMP), "JPEG", quality=95))
    assert np.array_equal(read_rgb(file), read_rgb(file.read_bytes()))
    assert np.array_equal(read_rgb(str(file)), np.asarray(Image.open(file)))
    assert probe(file) == (6, 4)
    wrong = tmp_path / "x.png"  # a wrong extension is no fault: the content decides
    wrong.write_bytes(file.read_bytes())
    assert np.array_equal(read_rgb(wrong), read_rgb(file))


def test_fault_15_sixteen_bits_are_scaled_not_clipped():
    row = b"\0" + struct.pack(">5H", 0, 300, 486, 40000, 65535)
    expected = [0, 1, 2, 156, 255]  # round(v / 257); Pillow's own conversion gives 0, 255, 255, 255, 255
    assert read_rgb(png(5, 1, 16, 0, row))[0, :, 0].tolist() == expected
    transparent = read_rgb(png(5, 1, 16, 0, row, struct.pack(">H", 300)))
    assert transparent[0, :, 0].tolist() == [0, 255, 2, 156, 255]
    values = np.array([[0, 300, 486, 40000, 65535]], np.uint16)
    for kind in ("TIFF", "PPM"):
        assert read_rgb(encoded(Image.fromarray(values), kind))[0, :, 2].tolist() == expected
    colour = read_rgb(png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 65535, 0, 40000)))
    assert colour[0, 0].tolist() == [255, 0, 156]


def test_fault_15_cmyk_and_adobes_inversion():
    inks = [[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255], [255, 255, 255, 255]]
    ink = np.array([inks], np.uint8).repeat(8, 0).repeat(8, 1)
    image = Image.frombytes("CMYK", (40, 8), ink.tobytes())
    adobe = encoded(image, "JPEG", quality=100, subsampling=0)
    for content in (encoded(image, "TIFF"), adobe):
        seen = read_rgb(content)[4, 4::8].astype(int)
        white_cyan_red_black = [[255, 255, 255], [0, 255, 255], [255, 0, 0], [0, 0, 0], [0, 0, 0]]
        assert np.abs(seen - white_cyan_red_black).max() <= 3
    # The same samples without Adobe's marker mean the opposite amounts of ink: only the last has none.
    start = adobe.index(b"\xff\xee\x00\x0eAdobe")
    plain = read_rgb(adobe[:start] + adobe[start + 16 :])[4, 4::8].astype(int)
    assert plain[:4].max() <= 3
    assert plain[4].min() >= 252


def test_fault_15_transparency_lies_over_white():
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [255, 0, 0, 128]]], np.uint8)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        assert read_rgb(encoded(Image.fromarray(rgba), kind, **options)).tolist() == [
            [[200, 100, 0], [255, 255, 255], [255, 127, 127]]
        ]
    la = np.array([[[0, 255], [0, 0], [0, 128]]], np.uint8)
    assert read_rgb(encoded(Image.fromarray(la, mode="LA"), "PNG"))[0, :, 1].tolist() == [0, 255, 127]
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 255, 0, 0])
    content = encoded(palette, "PNG", transparency=b"\xff\x00\x80")
    assert read_rgb(content).tolist() == [[[10, 20, 30], [255, 255, 255], [255, 127, 127]]]
    assert read_rgb(encoded(palette, "GIF", transparency=1)).tolist()[0][1] == [255, 255, 255]
    assert read_rgb(png(8, 1, 1, 0, b"\0\xa5", struct.pack(">H", 0)))[0, :, 0].tolist() == [255] * 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_15_exif_orientation(kind, orientation):
    turns = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.swapaxes(0, 1),
        lambda a: np.rot90(a, -1),
        lambda a: a[::-1, ::-1].swapaxes(0, 1),
        lambda a: np.rot90(a, 1),
    ]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    upright = read_rgb(encoded(Image.fromarray(RAMP), kind, **options))
    content = encoded(Image.fromarray(RAMP), kind, exif=exif, **options)
    assert np.array_equal(read_rgb(content), turns[orientation - 1](upright))
    assert sorted(probe(content)) == [4, 6]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_fault_15_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert read_rgb(content).tolist() == np.full((4, 5, 3), [255, 0, 0]).tolist()


def test_pixels_without_a_defined_brightness_are_refused():
    for values in (np.full((2, 2), 0.5, np.float32), np.full((2, 2), 70_000, np.int32), np.full((2, 2), -1, np.int32)):
        with pytest.raises(BadImage, match="no defined brightness"):
            read_rgb(encoded(Image.fromarray(values), "TIFF"))


def bad_files(folder) -> dict:
    """name -> what its one-line reason must hold."""
    good = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), "PNG")
    jpeg = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), "JPEG")
    contents = {
        "empty.png": (b"", "the file is empty"),
        "text.jpg": (b"<html>not found</html>", "is no image of a known format"),
        "half.png": (good[: len(good) // 2], "truncated|cannot be decoded"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "flipped.png": (good[:5000] + bytes([good[5000] ^ 1]) + good[5001:], "cannot be decoded"),
        "header.png": (good[:20], "cannot be decoded|no image"),
        "bomb.png": (png(30_000, 30_000, 8, 2, b""), "30000x30000|this is more than the limit of 100 megapixels"),
        "large.png": (png(10_001, 10_000, 1, 0, b""), "10001x10000 is more than the limit of 100 megapixels"),
        "icon.ico": (encoded(Image.fromarray(RAMP), "ICO"), "is no image of a known format"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image of a known format"),
    }
    reasons = {}
    for name, (content, reason) in contents.items():
        (folder / name).write_bytes(content)
        reasons[name] = reason
    (folder / "folder.jpg").mkdir()
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    reasons |= {"folder.jpg": "is a folder", "dangling.jpg": "broken link", "pipe.jpg": "not a regular file"}
    return reasons | {"absent.jpg": "no such file"}


def test_fault_13_bad_files_give_one_line(tmp_path):
    for name, reason in bad_files(tmp_path).items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(BadImage, match=reason) as told:
                read_rgb(tmp_path / name)
        assert name in str(told.value)
        assert "\n" not in str(told.value)
        assert told.value.exit_code == 1


def test_fault_13_headers_tell_without_decoding(tmp_path):
    bad_files(tmp_path)
    for name in ("empty.png", "text.jpg", "header.png", "bomb.png", "large.png", "folder.jpg", "dangling.jpg"):
        with pytest.raises(BadImage):
            probe(tmp_path / name)
    assert probe(tmp_path / "half.png") == (64, 64)  # a bad body shows only when it is read


def test_fault_14_the_cap_is_settable_and_small_images_pass():
    content = png(20, 10, 8, 0, b"".join(b"\0" + bytes(20) for _ in range(10)))
    assert read_rgb(content, max_pixels=200).shape == (10, 20, 3)
    with pytest.raises(BadImage, match="20x10 is more than the limit"):
        read_rgb(content, max_pixels=199)
    assert read_rgb(png(1, 1, 8, 0, b"\0\x07")).tolist() == [[[7, 7, 7]]]
    assert read_rgb(encoded(Image.new("L", (5000, 1), 9), "PNG")).shape == (1, 5000, 3)


def test_fault_14_a_bomb_costs_no_memory(tmp_path):
    """Peak resident memory of a process that is given the bomb, against one that is given a tiny image."""
    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000, 8, 2, b""))
    (tmp_path / "tiny.png").write_bytes(png(1, 1, 8, 0, b"\0\x07"))
    code = (
        "import resource, sys\nfrom reslab.data.images.decode import BadImage, read_rgb\n"
        "try: read_rgb(sys.argv[1])\nexcept BadImage: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = [
        int(subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True).stdout)
        for name in ("bomb.png", "tiny.png")
    ]
    assert peaks[0] < peaks[1] + 20_000  # kilobytes


def test_fault_13_random_damage_never_kills_and_never_writes_on_stderr(capfd):
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8))
    kinds = [("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("GIF", {}), ("BMP", {}), ("PPM", {}), ("TIFF", {})]
    kinds += [("TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]
    refused: list[str] = []
    tried = 0
    for kind, options in kinds:
        whole = encoded(image, kind, **options)
        for trial in range(40):
            content = bytearray(whole)
            if trial % 2:
                content = content[: rng.integers(0, len(content))]
            else:
                for at in rng.integers(0, min(len(content), 300), 3):
                    content[at] ^= 1 << rng.integers(0, 8)
            tried += 1
            try:
                rgb = read_rgb(bytes(content))
                assert rgb.dtype == np.uint8
                assert rgb.shape[2] == 3
            except BadImage as error:
                refused.append(str(error))
    assert len(refused) > tried // 3
    assert not any("\n" in line for line in refused)
    assert capfd.readouterr().err == ""


def photo(height: int, width: int) -> np.ndarray:
    """Soft content, as photographs have it."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x / a + k) + 50 * np.cos(y / b) for k, (a, b) in enumerate([(9, 14), (25, 8), (17, 31)])]
    return np.clip(np.stack(waves, axis=2), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("least", "factor"), [(120, 2), (61, 2), (60, 4), (31, 4), (20, 8), (1, 8)])
@pytest.mark.parametrize("sampling", [0, 2])
def test_a_jpeg_larger_than_needed_is_decoded_smaller(least, factor, sampling):
    """Against the mean of squares of the full decode; never smaller than asked for."""
    content = encoded(Image.fromarray(photo(243, 325)), "JPEG", quality=95, subsampling=sampling)
    full, small = read_rgb(content), np.asarray(read(content, min_side=least))
    assert small.shape == (-(-243 // factor), -(-325 // factor), 3)
    assert min(small.shape[:2]) >= least
    high, wide = 243 // factor, 325 // factor
    squares = full[: high * factor, : wide * factor].reshape(high, factor, wide, factor, 3).mean((1, 3))
    difference = np.abs(small[:high, :wide].astype(float) - squares)
    assert difference.mean() < 1
    assert difference.max() < 8
    assert difference.max() > 0


def test_a_jpeg_that_is_needed_whole_is_decoded_whole():
    content = encoded(Image.fromarray(photo(243, 325)), "JPEG", quality=95)
    for least in (122, 243, 1000):
        assert np.array_equal(np.asarray(read(content, min_side=least)), read_rgb(content))
    lossless = encoded(Image.fromarray(photo(64, 96)), "PNG")
    assert np.array_equal(np.asarray(read(lossless, min_side=8)), photo(64, 96))


def test_a_smaller_decode_is_upright_and_checked():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(photo(64, 96))
    content = encoded(image, "JPEG", quality=95, exif=exif)
    flat = read(encoded(image, "JPEG", quality=95), min_side=16)
    assert np.array_equal(np.asarray(read(content, min_side=16)), np.rot90(np.asarray(flat), -1))
    with pytest.raises(BadImage):
        read(content[: len(content) // 2], min_side=16)
    with pytest.raises(BadImage, match="limit"):
        read(content, min_side=8, max_pixels=1000)


def test_broken_metadata_around_good_pixels_is_no_fault():
    content = encoded(Image.fromarray(RAMP), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(read_rgb(content), RAMP)


def test_bad_image_crosses_processes():
    error = pickle.loads(pickle.dumps(BadImage("a.jpg", "the file is empty")))
    assert str(error) == "a.jpg: the file is empty"
    assert (error.name, error.reason) == ("a.jpg", "the file is empty")
    with pytest.raises(BadImage, match="row 7: the file is empty"):
        read_rgb(b"", name="row 7")


def test_pillows_log_stays_with_the_program():
    with pytest.raises(BadImage):
        read_rgb(b"")
    assert logging.getLogger("PIL").propagate
