"""Records with a seal: every flipped bit changes nothing or is refused; the first format is read unchecked."""

import json
import os

import pytest

from reslab.errors import UserError
from reslab.store.sealed import FORMAT, is_sealed, read_sealed, seal_of, write_sealed

RECORD = {
    "model": "cifar_resnet20",
    "seed": 3,
    "recipe": {"lr": 0.1, "drops": [300, 450]},
    "notes": ["잔차"],
    "x": None,
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "run.json"
    write_sealed(file, RECORD)
    return file


def test_what_is_written_is_read(path):
    assert read_sealed(path) == {**RECORD, "format": FORMAT}
    assert is_sealed(read_sealed(path))
    write_sealed(path, read_sealed(path))
    assert read_sealed(path) == {**RECORD, "format": FORMAT}


def test_every_flipped_bit_is_refused_or_changes_nothing(path):
    """All bits of all bytes. What changes nothing is white space between the values."""
    whole, told = path.read_bytes(), []
    for at in range(len(whole)):
        for bit in range(8):
            raw = bytearray(whole)
            raw[at] ^= 1 << bit
            path.write_bytes(raw)
            try:
                assert read_sealed(path) == {**RECORD, "format": FORMAT}, (at, bit)
                assert not whole[at : at + 1].strip(), (at, bit)
            except UserError as error:
                told.append(str(error))
    assert len(told) > 7 * len(whole)
    assert all(str(path) in text and "\n" not in text for text in told)


def test_cut_at_every_byte(path):
    whole = path.read_bytes()
    for length in range(len(whole) - 1):  # the last byte is a newline
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"run\.json"):
            read_sealed(path)


def test_a_seal_that_is_missing_is_damage_in_the_present_format_alone(path):
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"run\.json: damaged \(its SHA-256 is missing\)"):
        read_sealed(path)
    path.write_text(json.dumps({**record, "format": 1}))
    assert not is_sealed(read_sealed(path))
    path.write_text(json.dumps({**record, "format": 1, "sha256": "0"}))
    with pytest.raises(UserError, match="is not the one it states"):
        read_sealed(path)


@pytest.mark.parametrize("form", [0, 3, "2", None, True, 2.5, []])
def test_another_format_is_another_version(path, form):
    record = {**RECORD, "format": form}
    path.write_text(json.dumps({**record, "sha256": seal_of(record)}))
    with pytest.raises(UserError, match="is not 1 or 2; it was written by another version"):
        read_sealed(path)


def test_a_file_that_had_no_number_at_first(path):
    path.write_text(json.dumps({"test": {"top1_error": 5.5}}))
    with pytest.raises(UserError, match="format None"):
        read_sealed(path)
    assert read_sealed(path, unmarked=True)["test"] == {"top1_error": 5.5}


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "{", "", "[" * 100_000])
def test_no_table(path, text):
    path.write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        read_sealed(path)


def test_what_json_changes_does_not_change_the_seal(tmp_path):
    """Tuples, whole numbers as keys, floats to the last bit, a file name in another encoding than UTF-8."""
    odd = {"a": (1, 2), "b": {3: 0.1 + 0.2}, "c": os.fsdecode(b"caf\xe9.png"), "d": 5e-324}
    write_sealed(tmp_path / "x.json", odd)
    assert read_sealed(tmp_path / "x.json")["c"] == os.fsdecode(b"caf\xe9.png")
    assert read_sealed(tmp_path / "x.json")["b"] == {"3": 0.1 + 0.2}
