"""Whole lines or none: torn at every byte, written by several processes, on a disk that is full."""

import json
import os
import subprocess
import sys

import pytest

from reslab.store.jsonl import Tail, append, keep, since, tail
from reslab.store.jsonl import read as lines

RECORDS = [
    {"kind": "train", "iteration": 1, "loss": 2.3025850929940455},
    {"kind": "eval", "iteration": 1, "split": "test", "top1_error": 90.0},
    {"kind": "warning", "text": '잔차 \n \u2028 \u0085 "}{" \\'},
]


def read(path, checked: bool = True) -> list[dict]:
    return list(lines(path, checked=checked).records)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "metrics.jsonl"
    for record in RECORDS:
        append(file, record)
    return file


def test_what_is_appended_is_read(path):
    assert read(path) == RECORDS
    assert path.read_bytes().count(b"\n") == len(RECORDS)


def test_no_file_is_no_record(tmp_path):
    assert read(tmp_path / "none") == []
    keep(tmp_path / "none", lambda r: True)
    assert not (tmp_path / "none").exists()


def test_since_gives_each_line_once_while_the_file_grows(tmp_path, path):
    """Read at every byte of its growth: the lines in order, none twice, none before it is whole."""
    whole, grown, place, found = path.read_bytes(), tmp_path / "grown.jsonl", 0, []
    assert since(grown, 0) == ([], 0)
    for length in range(len(whole) + 1):
        grown.write_bytes(whole[:length])
        new, place = since(grown, place)
        found += new
        assert found == RECORDS[: whole[:length].count(b"\n")]
    assert place == len(whole)
    damaged = whole.replace(b"90.0", b"10.0")
    grown.write_bytes(damaged)
    assert since(grown, 0) == ([RECORDS[0], RECORDS[2]], len(whole))


def test_fault_26_torn_at_every_byte(path):
    """Cut anywhere in the last line, its newline included: the lines before it are read, and no more."""
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for length in range(start, len(whole)):
        path.write_bytes(whole[:length])
        assert read(path) == RECORDS[:-1], length
    path.write_bytes(whole)
    assert read(path) == RECORDS


def test_fault_26_a_resumed_run_starts_after_a_whole_line(path):
    """`keep` takes the torn line away, so that what is appended next is a line of its own; cut at every byte."""
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    more = {"kind": "resume", "iteration": 1}
    for length in range(start, len(whole)):
        path.write_bytes(whole[:length])
        keep(path, lambda r: True)
        append(path, more)
        assert read(path) == [*RECORDS[:-1], more], length


def test_keep_keeps_what_is_wanted(path):
    keep(path, lambda r: r["kind"] != "eval")
    assert read(path) == [RECORDS[0], RECORDS[2]]
    assert [f.name for f in path.parent.iterdir()] == [path.name]
    keep(path, lambda r: False)
    assert path.read_bytes() == b""


def test_lines_that_are_no_records_are_passed_over_and_counted(path):
    with path.open("ab") as file:
        file.write(b"\n[1, 2]\nnonsense\n\xff\xfe\n" + b"[" * 100_000 + b'\n{"kind": "end"}\n')
    assert read(path, checked=False) == [*RECORDS, {"kind": "end"}]
    assert lines(path).damaged == 5
    assert read(path) == RECORDS, "in the present format a line without a check is damage"
    assert lines(path, checked=True).damaged == 6


def test_every_flipped_bit_is_caught(path):
    """All bits of all bytes: the line is damaged, or torn, and all others are read."""
    whole, end = path.read_bytes(), tail(path)
    silent = []
    for at in range(len(whole)):
        for bit in range(8):
            raw = bytearray(whole)
            raw[at] ^= 1 << bit
            path.write_bytes(raw)
            found = lines(path, checked=True)
            lost = found.lost_since(end)
            if list(found.records) == RECORDS or any(r not in RECORDS for r in found.records) or not lost:
                silent.append((at, bit))
    assert silent == []


def test_cut_at_every_byte_what_is_missing_is_counted(path):
    """A checkpoint remembers the end of the file: whatever is cut off later is counted."""
    whole, end = path.read_bytes(), tail(path)
    assert end.lines == len(RECORDS)
    assert lines(path, checked=True).lost_since(end) == 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert lines(path, checked=True).lost_since(end) == len(RECORDS) - whole[:length].count(b"\n"), length


def test_a_line_taken_out_is_missing_and_a_line_put_twice_is_damage(path):
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + third)
    assert (lines(path).missing, lines(path).damaged) == (1, 0)
    assert lines(path).lost_since(tail(path)) == 1
    path.write_bytes(first + second + second + third)
    assert (lines(path).missing, lines(path).damaged, read(path)) == (0, 1, RECORDS)
    keep(path, lambda r: True)
    assert (lines(path).damaged, read(path)) == (0, RECORDS), "the line put twice is kept once"


def test_another_file_of_as_many_lines_is_told_from_this_one(path, tmp_path):
    end = tail(path)
    for record in RECORDS:
        append(tmp_path / "other", {**record, "seed": 1})
    assert lines(tmp_path / "other", checked=True).lost_since(end) == 1
    assert Tail.from_dict({"lines": end.lines, "check": end.check}) == end
    for odd in (None, [], {}, {"lines": True, "check": ""}, {"lines": -1, "check": ""}, {"lines": "3", "check": ""}):
        assert Tail.from_dict(odd) is None


def test_lines_of_the_first_format_are_numbered_when_they_are_kept(path):
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    assert lines(path, checked=True).damaged == len(RECORDS)
    assert read(path, checked=False) == RECORDS
    append(path, {"kind": "end"})
    keep(path, lambda r: True)
    assert read(path) == [*RECORDS, {"kind": "end"}]
    assert tail(path).lines == 4


@pytest.mark.slow
def test_a_line_without_an_end_takes_no_memory(tmp_path):
    """1 GB of zeros in a sparse file, read by a process that may take 512 MB: one damaged line."""
    path = tmp_path / "metrics.jsonl"
    append(path, RECORDS[0])
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    source = """
import resource, sys
from pathlib import Path
from reslab.store.jsonl import read
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
found = read(Path(sys.argv[1]))
print(len(found.records), found.damaged)
"""
    done = subprocess.run([sys.executable, "-c", source, str(path)], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"], done.stderr


def test_floats_come_back_to_the_last_bit(tmp_path):
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2.0**-1074 * 3]
    append(tmp_path / "x", {"values": values})
    assert [v.hex() for v in read(tmp_path / "x")[0]["values"]] == [v.hex() for v in values]


def test_a_name_that_is_not_utf_8(tmp_path):
    record = {"file": os.fsdecode(b"caf\xe9.png")}
    append(tmp_path / "x", record)
    assert read(tmp_path / "x") == [record]
    keep(tmp_path / "x", lambda r: True)
    assert read(tmp_path / "x") == [record]


WRITER = """
import sys
from pathlib import Path
from reslab.store.jsonl import append
for i in range(300):
    append(Path(sys.argv[1]), {"writer": sys.argv[2], "i": i, "pad": "x" * (i % 50 * 40)})
"""


def test_lines_of_two_processes_do_not_mix(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [w.wait(timeout=60) for w in writers] == [0, 0]
    assert path.read_bytes().count(b"\n") == 600
    found = read(path)
    for name in "ab":
        assert [r["i"] for r in found if r["writer"] == name] == list(range(300))


def test_a_full_disk_is_told(tmp_path):
    """The system takes a part of the line without complaint: that is an error, and the line no record."""
    path = tmp_path / "metrics.jsonl"
    append(path, RECORDS[0])
    source = """
import json, resource, sys
from pathlib import Path
from reslab.store.jsonl import append
size = Path(sys.argv[1]).stat().st_size + 10
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    append(Path(sys.argv[1]), json.loads(sys.argv[2]))
except OSError as error:
    print(error.filename, error.strerror)
"""
    done = subprocess.run(
        [sys.executable, "-c", source, str(path), json.dumps(RECORDS[1])], capture_output=True, text=True
    )
    assert done.stdout.strip() == f"{path} No space left on device", done.stderr
    assert read(path) == RECORDS[:1]
