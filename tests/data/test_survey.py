"""Each file is decoded once and remembered; another content, a killed decoder and an interruption are noticed."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reslab.data.check import facts as facts_module
from reslab.data.check import survey as surveys
from reslab.data.check.facts import Facts, facts_of
from reslab.data.check.survey import survey
from reslab.data.images.decode import read_rgb


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of 80 images; the cache is its own, and changes of just now are remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(surveys, "SETTLED", -(10**18))
    draws = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(80):
        Image.fromarray(draws.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / "images" / f"{number:02}.png")
    return tmp_path / "images"


def names(place: Path) -> list[str]:
    return sorted(os.listdir(place))


def counted(monkeypatch) -> list[str]:
    """The files that are decoded from now on."""
    decoded: list[str] = []
    monkeypatch.setattr(surveys, "facts_of", lambda path: decoded.append(Path(path).name) or facts_of(path))
    return decoded


def test_workers_change_nothing(place):
    alone = [facts_of(str(place / name)) for name in names(place)]
    assert survey(place, names(place), 2) == alone
    assert all(facts.reason == "" and (facts.width, facts.height, facts.mode) == (24, 20, "RGB") for facts in alone)
    assert len({facts.content for facts in alone}) == 80


def test_remembered_until_a_file_changes(place, monkeypatch):
    first = survey(place, names(place))
    decoded = counted(monkeypatch)
    assert survey(place, names(place)) == first
    assert decoded == []
    Image.new("RGB", (9, 9), "red").save(place / "03.png")
    (place / "80.png").write_bytes(b"no image")
    again = survey(place, names(place))
    assert decoded == ["03.png", "80.png"]
    assert (again[3].width, again[3].is_blank, again[80].reason[:11]) == (9, True, "is no image")
    assert again[:3] == first[:3]
    assert survey(place, names(place)[:5]) == again[:5]  # a part of the folder does not forget the rest
    assert survey(place, names(place)) == again
    assert decoded == ["03.png", "80.png"]


def test_damaged_memory_is_not_believed(place, monkeypatch, tmp_path):
    first = survey(place, names(place))
    (file,) = (tmp_path / "cache" / "reslab").glob("facts-*.json")
    whole = file.read_bytes()
    for damaged in (b"", whole[:-9], whole.replace(b"RGB", b"CMY"), b"00000000[]"):
        file.write_bytes(damaged)
        decoded = counted(monkeypatch)
        assert survey(place, names(place)) == first
        assert len(decoded) == 80
        assert file.read_bytes() == whole


@pytest.mark.slow
def test_a_decoder_that_dies_is_named(place, monkeypatch):
    """A real process, killed by the file; its neighbours keep their facts."""
    alone = {name: facts_of(str(place / name)) for name in names(place)}

    def deadly(path: str) -> Facts:
        if path.endswith("17.png"):
            os.kill(os.getpid(), signal.SIGKILL)
        return facts_of(path)

    monkeypatch.setattr(surveys, "facts_of", deadly)
    found = dict(zip(names(place), survey(place, names(place), 2), strict=True))
    assert found.pop("17.png").reason == "the decoder's process dies of it"
    assert found == {name: facts for name, facts in alone.items() if name != "17.png"}


def test_what_was_examined_before_an_interruption_is_kept(place, monkeypatch):
    def interrupted(path: str) -> Facts:
        if path.endswith("70.png"):
            raise KeyboardInterrupt
        return facts_of(path)

    monkeypatch.setattr(surveys, "facts_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        survey(place, names(place))
    decoded = counted(monkeypatch)
    survey(place, names(place))
    assert decoded == names(place)[70:]


def test_progress_is_told_and_ends(place, monkeypatch):
    monkeypatch.setattr(surveys, "PACE", 0.0)
    paces: list = []
    survey(place, names(place), 0, paces.append)
    assert [pace.done for pace in paces] == [*range(1, 81)]
    assert (paces[-1].files, paces[-1].left) == (80, 0)


def jpeg(folder: Path, name: str, mode: str = "RGB", **options) -> Path:
    draws = np.random.default_rng(len(name))
    image = Image.fromarray(draws.integers(0, 256, (40, 60, 3), np.uint8)).convert(mode)
    image.save(folder / name, **options)
    return folder / name


def test_facts(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    turned = facts_of(str(jpeg(tmp_path, "turned.jpg", exif=exif)))
    assert (turned.turned, turned.width, turned.height) == (True, 40, 60)
    assert read_rgb(tmp_path / "turned.jpg").shape == (60, 40, 3)
    assert facts_of(str(jpeg(tmp_path, "cmyk.jpg", "CMYK"))).mode == "CMYK"
    assert facts_of(str(jpeg(tmp_path, "grey.jpg", "L"))).mode == "L"
    deep = tmp_path / "deep.png"
    Image.fromarray(np.linspace(0, 4095, 400).reshape(20, 20).astype(np.uint16)).save(deep)
    assert (facts_of(str(deep)).is_deep, facts_of(str(deep)).high) == (True, 4095)
    assert facts_of(str(tmp_path / "none.jpg")).reason.startswith("no such file")
    os.mkfifo(tmp_path / "pipe.jpg")
    begin = time.monotonic()
    assert facts_of(str(tmp_path / "pipe.jpg")).reason == "is not a regular file"
    assert time.monotonic() - begin < 60  # it does not wait for a writer


@pytest.mark.parametrize(
    ("head", "name", "format"),
    [
        (b"\0\0\0\x20ftypavif", "a.jpg", "AVIF"), (b"\0\0\0\x20ftypheic", "a.jpg", "HEIC"),
        (b"\0\0\0\x20ftypisom", "a.mp4", "video"), (b"<svg xmlns=", "a.svg", "SVG"), (b"%PDF-1.7", "a.jpg", "PDF"),
        (b"hello", "a.txt", ""), (b"\xff\xd8\xff\xe0garbage", "a.jpg", "JPEG"),
    ],
)  # fmt: skip
def test_formats_that_are_not_read(tmp_path, head, name, format):
    (tmp_path / name).write_bytes(head + bytes(300))
    found = facts_of(str(tmp_path / name))
    assert found.reason
    assert found.format == format


def test_a_real_avif_is_named(tmp_path):
    try:
        Image.new("RGB", (64, 64), "red").save(tmp_path / "a.jpg", "AVIF")
    except (KeyError, OSError):
        pytest.skip("this Pillow writes no AVIF")
    found = facts_of(str(tmp_path / "a.jpg"))
    assert (found.format, "no image of a known format" in found.reason) == ("AVIF", True)
    assert facts_module.began_like(str(tmp_path / "a.jpg")) == "AVIF"
