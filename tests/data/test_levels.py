"""Which levels of 16-bit files become black and white: against numpy's own rounding, in real files of each format."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cases import some
from PIL import Image

import reslab
from reslab.data.batches.loader import evaluation_batches, statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.check.facts import facts_of
from reslab.data.images.decode import BadImage, read, read_part, read_rgb, upright
from reslab.data.images.levels import FULL, Levels, levels_of, stretched
from reslab.data.images.pixels import LARGE, span
from reslab.data.sets.classes import contents_of, examine, settle
from reslab.data.sets.filelist import filelist
from reslab.data.sets.folder import folder, labelled
from reslab.data.sources import load
from reslab.errors import UserError
from reslab.show.notes import translated

ALL = np.arange(65536)
RANGES = [(1000, 1510), (0, 1), (0, 65535), (0, 4095), (17, 18), (65000, 65535)]


@pytest.mark.parametrize(("low", "high"), some(RANGES, quick=2, names=2))
def test_the_mapping_is_the_nearest_whole_number(low, high):
    """Every one of 65,536 levels, in exact fractions; a half is rounded up."""
    exact = [Fraction(min(max(v, low), high) - low) * 255 / (high - low) for v in ALL.tolist()]
    assert Levels(low, high)(ALL.astype(np.uint16)).tolist() == [int(e + Fraction(1, 2)) for e in exact]


def test_full_is_a_division_by_257():
    assert np.array_equal(FULL(ALL), np.floor(ALL / 257 + 0.5))
    assert Levels(0, 255)(np.arange(256)).tolist() == [*range(256)]


def test_the_text_of_an_option():
    assert (levels_of("auto"), levels_of("full"), levels_of(" 12, 4095")) == (None, FULL, Levels(12, 4095))
    for text in ("", "0", "5,5", "9,2", "-1,5", "0,65536", "a,b", "1,2,3", "0;5", "1.5,3", "auto,full"):
        with pytest.raises(UserError, match=r"^--range: .* is none of auto, full and LOW,HIGH"):
            levels_of(text)


def test_an_eighth_of_the_range():
    """13 bits are stretched, 14 are not; 12 bits come out at 16 of 255 over the full range."""
    assert stretched(0, 2**12 - 1) == Levels(0, 4095)
    assert stretched(0, 2**13 - 1) == Levels(0, 8191)
    assert stretched(0, 2**13) == stretched(0, 2**14 - 1) == FULL
    assert stretched(30000, 38000) == Levels(30000, 38000)
    assert stretched(7, 7) == FULL


def picture(bits: int, shape=(24, 20), seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 2**bits, shape).astype(np.uint16)
    values[0, :2] = 0, 2**bits - 1
    return values


def tiff_of_32_bits(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values.astype(np.int32)).save(file, "TIFF")
    return file.getvalue()


def png(values: np.ndarray, **more) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", **more)
    return file.getvalue()


def tiff(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return file.getvalue()


def big_endian(values: np.ndarray) -> bytes:
    """A TIFF as a microscope of another byte order writes it: one strip, no compression."""
    height, width = values.shape
    tags = ((256, 4, width), (257, 4, height), (258, 3, 16 << 16), (259, 3, 1 << 16), (262, 3, 1 << 16), (273, 4, 8),
            (277, 3, 1 << 16), (278, 4, height), (279, 4, values.size * 2))  # fmt: skip
    entries = b"".join(
        tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + (1).to_bytes(4, "big") + value.to_bytes(4, "big")
        for tag, kind, value in tags
    )
    body = values.astype(">u2").tobytes()
    ifd = len(tags).to_bytes(2, "big") + entries + bytes(4)
    return b"MM\0*" + (8 + len(body)).to_bytes(4, "big") + body + ifd


def pgm(values: np.ndarray) -> bytes:
    return f"P5 {values.shape[1]} {values.shape[0]} 65535\n".encode() + values.astype(">u2").tobytes()


FORMATS = {"png": png, "tiff": tiff, "tif": tiff_of_32_bits, "TIF": big_endian, "pgm": pgm}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("bits", [12, 16])
def test_real_files(name, bits, tmp_path):
    values, levels = picture(bits), Levels(100, 3000)
    content = FORMATS[name](values)
    file = tmp_path / f"x.{name}"
    file.write_bytes(content)
    expected = np.floor((np.clip(values.astype(float), 100, 3000) - 100) * 255 / 2900 + 0.5)
    expected = np.repeat(expected[..., None], 3, 2)
    for source in (content, file):
        assert np.array_equal(np.asarray(read(source, levels=levels)), expected)
        assert np.array_equal(read_part(source, lambda w, h: (2, 3, w, h), levels=levels), expected[3:, 2:])
        assert np.array_equal(read_rgb(source)[..., 0], np.floor(values / 257 + 0.5))
    with Image.open(file) as image:
        assert np.array_equal(np.asarray(upright(image, levels=levels)), expected)
        assert span(image) == (0, 2**bits - 1)
    facts = facts_of(str(file))
    assert (facts.is_deep, facts.low, facts.high) == (True, 0, 2**bits - 1)


@pytest.mark.slow
def test_a_large_file_is_mapped_in_strips():
    values = picture(12, (4100, 4100))
    assert values.size >= LARGE
    image, levels = Image.fromarray(values), Levels(0, 4095)
    assert span(image) == (0, 4095)
    part = read_part(png(values, compress_level=0), lambda w, h: (0, 2000, 50, 2100), levels=levels)
    assert np.array_equal(part[..., 0], levels(values[2000:2100, :50]))


def test_a_transparent_level_is_white_and_does_not_count():
    values = picture(12)
    values[5, 5] = 65535
    content = png(values, transparency=65535)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert span(image) == (0, 4095)
    pixels = np.asarray(read(content, levels=Levels(0, 4095)))
    assert pixels[5, 5].tolist() == [255, 255, 255]
    with Image.open(io.BytesIO(png(np.full((4, 4), 9, np.uint16), transparency=9))) as image:
        assert span(image) == (65535, 65535)


def test_what_is_beyond_16_bits_is_refused(tmp_path):
    for value in (-1, 65536):
        content = tiff_of_32_bits(np.full((4, 4), value))
        with pytest.raises(BadImage, match="beyond 16 bits"):
            read(content, levels=Levels(0, 4095))
        (tmp_path / "x.tif").write_bytes(content)
        assert "beyond 16 bits" in facts_of(str(tmp_path / "x.tif")).reason


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
def test_8_bits_are_never_changed(mode):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 60, (20, 20, 3), np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF" if mode == "CMYK" else "PNG")
    assert read(file.getvalue(), levels=Levels(0, 9)).tobytes() == read(file.getvalue()).tobytes()


# -- folders, lists, parquet files


def deep(root: Path, bits: int = 12, **spans: tuple[int, int]) -> Path:
    """Three files of each class in train and val; a split has the levels of `spans`."""
    for split in ("train", "val", "test"):
        low, high = spans.get(split, (0, 2**bits - 1))
        for cls in ("cat", "dog"):
            (root / split / cls).mkdir(parents=True)
            for number in range(3):
                values = picture(bits, seed=number) % (high - low + 1) + low
                values[0, :2] = low, high
                Image.fromarray(values.astype(np.uint16)).save(root / split / cls / f"{number}.png")
    return root


def test_auto_takes_the_levels_of_train(tmp_path):
    data = folder(deep(tmp_path, train=(40, 3000), val=(0, 4095), test=(0, 60000)), 16)
    assert data.levels == Levels(40, 3000) == data.train.levels == data.val.levels == data.test.levels
    (found,) = (finding for finding in data.findings if finding.kind == "deep")
    assert (found.count, found.of) == (18, 18)
    assert found.detail == "levels 40 to 3,000 become 0 to 255; in 12 of them others are clipped"
    assert not any(finding.kind in ("dark", "blank") for finding in data.findings)
    assert "16-bit pixels: levels 40 to 3,000 become 0 to 255" in data.notes
    assert "40~3,000" in translated("16-bit pixels: levels 40 to 3,000 become 0 to 255", "ko")
    assert data.origin()["range"] == [40, 3000]


def test_a_wide_file_of_train_means_the_full_range(tmp_path):
    """A single one decides; the dark ones are a fault, as before."""
    root = deep(tmp_path)
    Image.fromarray(picture(16)).save(root / "train" / "cat" / "wide.png")
    data = folder(root, 16)
    assert (data.levels, data.origin().get("range")) == (FULL, None)
    assert {f.kind: f.count for f in data.findings if f.kind in ("dark", "deep")} == {"dark": 18, "deep": 19}
    assert data.findings[-1].detail == "divided by 257"
    mended = folder(root, 16, levels=Levels(0, 4095))
    assert {f.kind: f.count for f in mended.findings if f.kind in ("dark", "deep")} == {"deep": 19}


def test_only_files_of_16_bits_decide(tmp_path):
    root = deep(tmp_path)
    for number in range(3):
        Image.new("L", (9, 9), 255).save(root / "train" / "dog" / f"white{number}.png")
    assert folder(root, 16).levels == Levels(0, 4095)
    for file in [*(root / "train").rglob("[0-9].png")]:
        Image.open(file).point(lambda v: v / 16).convert("L").save(file)
    data = folder(root, 16)
    assert data.levels == FULL  # those of val are 16-bit, and do not decide
    assert {f.kind for f in data.findings if f.kind in ("dark", "deep")} == {"dark", "deep"}


def test_the_fingerprint_is_of_the_images(tmp_path):
    root = deep(tmp_path)
    full, auto, given = (folder(root, 16, levels=levels) for levels in (FULL, None, Levels(0, 4095)))
    assert auto.fingerprint == given.fingerprint != full.fingerprint
    assert auto.files_fingerprint == full.files_fingerprint == full.fingerprint
    assert "range" not in full.origin()


def test_the_cut_of_a_share_decides_what_train_is(tmp_path):
    """Of each class one file is far brighter; where these are held out, the levels are those of the others."""
    for cls in ("cat", "dog"):
        (tmp_path / cls).mkdir()
        for number in range(4):
            Image.fromarray(picture(12, seed=number)).save(tmp_path / cls / f"{number}.png")
    held = {Path(path).relative_to(tmp_path) for path in folder(tmp_path, 16, 0.25).val.paths}
    assert len(held) == 2
    for name in held:
        Image.fromarray(picture(16)).save(tmp_path / name)
    assert folder(tmp_path, 16, 0.25).levels == Levels(0, 4095)
    result = reslab.check(tmp_path, size=16, val_share=0.25)
    assert any("levels 0 to 4,095 become 0 to 255; in 2 of them" in line for line in result.lines())
    whole = reslab.check(tmp_path, size=16)  # it cannot be trained on without a share; what is there is still told
    assert {finding.kind for finding in whole.findings} >= {"refused", "dark", "deep"}


def test_a_list_is_read_like_its_folder(tmp_path):
    root = deep(tmp_path / "photos")
    lines = [
        f"{file.relative_to(tmp_path)},{file.parent.name},{file.parent.parent.name}" for file in root.rglob("*.png")
    ]
    (tmp_path / "list.csv").write_text("path,label,split\n" + "\n".join(lines) + "\n")
    data = filelist(tmp_path / "list.csv", 16)
    assert data.levels == Levels(0, 4095) == folder(root, 16).levels
    assert filelist(tmp_path / "list.csv", 16, levels=FULL).levels == FULL


def test_scoring_takes_the_levels_that_it_is_given(tmp_path):
    root = deep(tmp_path)
    data = labelled(root, 16, ("cat", "dog"), levels=Levels(7, 99))
    assert data.test.levels == data.val.levels == Levels(7, 99)
    assert labelled(root, 16, ("cat", "dog")).test.levels == FULL


def test_parquet_files_are_read_over_the_full_range_and_say_so(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"image": {"bytes": png(picture(12, seed=k)), "path": None}, "label": k % 2} for k in range(6)]
    for split in ("train", "test"):
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / f"{split}-0.parquet")
    full, ranged = load(f"parquet:{tmp_path}", size=16), load(f"parquet:{tmp_path}", size=16, levels=Levels(0, 4095))
    (found,) = full.findings
    assert (full.levels, found.kind, found.count) == (FULL, "deep", 12)
    assert "--range LOW,HIGH" in found.detail
    assert (ranged.levels, ranged.origin()["range"]) == (Levels(0, 4095), [0, 4095])
    assert full.fingerprint == ranged.files_fingerprint != ranged.fingerprint
    pixels = read(ranged.train.paths[0], levels=ranged.train.levels)
    assert np.array_equal(np.asarray(pixels)[..., 0], Levels(0, 4095)(picture(12, seed=0)))
    with pytest.raises(UserError, match="--group: rows of parquet files have no path"):
        load(f"parquet:{tmp_path}", size=16, val_share=0.5, group="x")


def test_headers_alone_mean_the_full_range(tmp_path):
    root = deep(tmp_path)
    contents = contents_of(root)
    examine(contents, 16, False, most=3)
    assert settle(contents, contents.listings["train"], None) == FULL
    (found,) = (finding for finding in contents.findings if finding.kind == "deep")
    assert (found.count, found.of) == (18, 18)
    assert "only their headers were read; --range LOW,HIGH takes fewer" in found.detail
    contents = contents_of(root)
    examine(contents, 16, False, most=3)
    assert settle(contents, contents.listings["train"], Levels(0, 4095)) == Levels(0, 4095)


def test_the_loader_shows_the_mapped_pixels(tmp_path):
    """The pixels of a batch, for training and for scoring, are those of 8-bit copies mapped by numpy."""
    data = folder(deep(tmp_path / "deep"), 16)
    for file in (tmp_path / "deep").rglob("*.png"):
        copy = tmp_path / "eight" / file.relative_to(tmp_path / "deep")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            values = np.asarray(image).astype(float)
        Image.fromarray(np.floor(values * 255 / 4095 + 0.5).astype(np.uint8)).save(copy)
    eight = folder(tmp_path / "eight", 16)
    batches = []
    for one in (data, eight):
        stats = statistics(one.train, "channel")
        loader = TrainLoader(one.train, stats, seed=0, batch=6, augment="crop-flip", pad=0, last_batch="fill")
        batches.append([stats.mean, loader.at(0).images, *(b.images for b in evaluation_batches(one.val, stats, 4))])
    assert all(np.array_equal(a, b) for a, b in zip(*batches, strict=True))
    assert batches[0][1].std() > 0.5
    subset = data.train.subset(np.array([1, 0]))
    assert (subset.levels, len(subset)) == (data.levels, 2)
