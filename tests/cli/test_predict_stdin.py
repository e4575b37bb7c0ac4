"""`reslab predict RUN -` at the end of a real pipe."""

import base64
import json
import os
import subprocess
import sys

import pytest
from cases import some
from commands import environment
from PIL import Image
from test_streams import NAMES, STREAMS


@pytest.fixture
def pictures(tmp_path):
    """Files of different content under every name of `NAMES`, in the bytes of their names."""
    folder = os.fsencode(tmp_path / "pictures")
    os.mkdir(folder)
    for number, name in enumerate(NAMES):
        with open(os.path.join(folder, name), "wb") as file:
            Image.new("L", (9 + number, 12), 20 * number).save(file, "PNG")
    return folder


def started(run, *words, **more) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "reslab", "predict", run, *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(**more))


def fed(run, content: bytes, *words, **more) -> tuple[int, bytes, bytes]:
    with started(run, *words, **more) as process:
        out, err = process.communicate(content, timeout=120)
    return process.returncode, out, err


def exact(record) -> bytes:
    return base64.b64decode(record["file_bytes"]) if "file_bytes" in record else record["file"].encode()


@pytest.mark.parametrize("more", some([{}, STREAMS["C"][0]], quick=1))
@pytest.mark.slow
def test_names_of_find_survive(trained, pictures, more):
    found = subprocess.run(["find", pictures, "-type", "f", "-print0"], capture_output=True, check=True).stdout
    code, out, err = fed(trained, found, "-", "--json", **more)
    assert code == 0, err
    records = [json.loads(line) for line in out.decode().splitlines()]
    assert [exact(record) for record in records] == found.split(b"\0")[:-1]
    assert len(records) == len(NAMES)
    alone = {}
    for name in NAMES[:3]:
        path = os.path.join(pictures, name)
        done = subprocess.run(
            [sys.executable, "-m", "reslab", "predict", trained, path, "--json"],
            capture_output=True,
            env=environment(**more),
        )
        alone[path] = json.loads(done.stdout)
    for record in records:
        if exact(record) in alone:
            expected = dict(zip(alone[exact(record)]["classes"], alone[exact(record)]["probabilities"], strict=True))
            assert dict(zip(record["classes"], record["probabilities"], strict=True)) == pytest.approx(
                expected, abs=2e-3
            )


@pytest.mark.parametrize(
    "content",
    some([b"%s\n%s\n", b"%s\0%s\0", b"%s\n\n%s", b"%s\r\n%s\r\n", b"%s\0%s"], quick=1),
    ids=["lines", "null", "no-end", "crlf", "null-no-end"],
)
def test_how_a_list_may_be_written(trained, pictures, content):
    paths = [os.path.join(pictures, name) for name in (b"plain.png", b"caf\xe9.png")]
    code, out, err = fed(trained, content % tuple(paths), "-", "--json")
    assert code == 0, err
    assert [exact(json.loads(line)) for line in out.splitlines()] == paths


@pytest.mark.slow
def test_a_name_with_a_carriage_return_stays_itself(trained, pictures):
    path = os.path.join(pictures, b"odd.png\r")
    os.link(os.path.join(pictures, b"plain.png"), path)
    code, out, _ = fed(trained, path + b"\n", "-", "--json")
    assert (code, exact(json.loads(out))) == (0, path)


def test_each_answer_comes_before_the_next_path_is_written(trained, pictures):
    """The producer waits for each answer; a reader that waited for a full batch, or for the end, would never answer."""
    names = sorted(os.listdir(pictures))[:4]
    with started(trained, "-", "--json") as process:
        for name in [*names, b"missing.png"]:
            path = os.path.join(pictures, name)
            process.stdin.write(path + b"\0")
            process.stdin.flush()
            record = json.loads(process.stdout.readline())
            assert exact(record) == path
            assert ("error" in record) == (name == b"missing.png")
        process.stdin.close()
        assert process.wait(timeout=60) == 1


@pytest.mark.slow
def test_a_path_that_arrives_in_pieces(trained, pictures):
    first, second = (os.path.join(pictures, name) for name in (b"plain.png", b"two\nlines.png"))
    with started(trained, "-", "--null", "--json") as process:
        process.stdin.write(first + b"\0" + second[:-6])
        process.stdin.flush()
        assert exact(json.loads(process.stdout.readline())) == first
        process.stdin.write(second[-6:])
        process.stdin.close()
        assert exact(json.loads(process.stdout.readline())) == second
        assert process.wait(timeout=60) == 0


@pytest.mark.slow
def test_a_list_longer_than_a_pipe(trained, pictures):
    """More names than one read takes, so that the cut between two reads lies inside a name."""
    path = os.path.join(pictures, b"plain.png")
    number = (1 << 17) // len(path)
    code, out, err = fed(trained, (path + b"\n") * number, "-", "--top", "1", "--json")
    assert code == 0, err
    lines = out.splitlines()
    assert len(lines) == number
    assert {json.loads(line)["file"].encode() for line in lines} == {path}


def test_files_folders_and_a_list_in_their_order(trained, pictures):
    plain, other = (os.path.join(pictures, name) for name in (b"plain.png", b" space.png"))
    code, out, _ = fed(trained, other + b"\n", plain, "-", pictures, "--json")
    found = [exact(json.loads(line)) for line in out.splitlines()]
    assert code == 0
    assert found[:2] == [plain, other]
    assert sorted(found[2:]) == sorted(os.path.join(pictures, name) for name in NAMES)


@pytest.mark.slow
def test_a_folder_in_a_list_is_named_and_not_searched(trained, pictures):
    """`find` without -type f lists the folder and its files: each file is classified once."""
    found = subprocess.run(["find", pictures, "-print0"], capture_output=True, check=True).stdout
    code, out, err = fed(trained, found, "-", "--json")
    records = [json.loads(line) for line in out.decode().splitlines()]
    assert code == 1
    assert [exact(one) for one in records if "error" in one] == [pictures]
    assert len(records) == len(NAMES) + 1
    assert b"is a folder" in err
    assert err.endswith(b"reslab: 1 of %d images could not be read\n" % len(records))


@pytest.mark.parametrize(
    ("content", "words", "told"),
    some(
        [
            (b"", ("-",), "no image files there"),
            (b"\xff\xd8\xff\xe0\0", ("-",), "is an image, not a list of paths"),
            (b"", ("-", "-"), "give it once"),
            (b"\n\n", ("-",), "no image files there"),
            (b"x" * (3 << 20), ("-",), "are not a list of paths"),
            (b"", ("-", "--json", "--csv"), "give one of them"),
        ],
        quick=1,
        names=3,
    ),
    ids=["empty", "image", "twice", "empty-lines", "endless", "both-forms"],
)  # fmt: skip
def test_what_is_no_list(trained, content, words, told):
    with started(trained, *words) as process:
        try:
            out, err = process.communicate(content, timeout=120)
        except BrokenPipeError:  # it refused before it had read all
            out, err = process.stdout.read(), process.stderr.read()
    assert (process.returncode, out) == (2, b"")
    *engine, line = err.decode().splitlines()
    assert told in line
    assert len(engine) <= 1


@pytest.mark.slow
def test_zero_bytes_after_lines(trained, pictures):
    path = os.path.join(pictures, b"plain.png")
    with started(trained, "-", "--json") as process:
        process.stdin.write(path + b"\n")
        process.stdin.flush()
        assert exact(json.loads(process.stdout.readline())) == path
        process.stdin.write(path + b"\0")
        process.stdin.close()
        assert process.wait(timeout=60) == 2
        assert b"give --null" in process.stderr.read()
