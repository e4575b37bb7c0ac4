"""Streams that lack characters, and names that are no text: answers stay answers, and lead back to the file."""

import base64
import json
import os
import pty
import subprocess
import sys

import pytest
from cases import some
from commands import SMOKE, environment
from PIL import Image

STREAMS = {
    "cp949": ({"PYTHONIOENCODING": "cp949"}, "cp949"),
    "ascii": ({"PYTHONIOENCODING": "ascii"}, "ascii"),
    "latin-1": ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    "C": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}, "ascii"),
}


def raw(*words, **more) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "reslab", *map(os.fsencode, words)], env=environment(**more), capture_output=True,
        timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    "words",
    [
        ("describe", "resnet50"), ("train", "--help"),
        *some(
            [("describe", "resnet50", "--json"), ("list",), ("--help",), ("recipe", "show"), ("claims",),
             ("draw", "resnet18")], quick=0,
        ),
    ],
    ids="-".join,
)  # fmt: skip
def test_a_stream_without_our_characters(words, stream):
    more, encoding = STREAMS[stream]
    done = raw(*words, **more)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    if "--json" in words:
        assert json.loads(text)["name"] == "resnet50"
    elif words == ("describe", "resnet50") and encoding == "ascii":
        assert "[conv1] 3 -> 64" in text
        assert "3.8x10^9" in text
        assert "\\x" not in text
        assert "\\u" not in text


@pytest.mark.parametrize("stream", STREAMS)
def test_a_message_on_such_a_stream(stream):
    more, encoding = STREAMS[stream]
    done = raw("describe", "resnet잔차", **more)
    assert done.returncode == 2
    (line,) = done.stderr.decode(encoding).splitlines()
    assert line.startswith("reslab: unknown model 'resnet")


def test_utf_8_is_as_it_was():
    done = raw("describe", "resnet50", PYTHONIOENCODING="utf-8")
    assert "3 → 64" in done.stdout.decode()
    assert "3.8×10⁹" in done.stdout.decode()


LIVE = """
import sys
from reslab.cli.main import main
from reslab.cli.verbs import app
from reslab.show.terminal.console import Teller, teller

@app.command
def live() -> None:
  with teller() as tell:
    assert type(tell) is Teller
    tell({"kind": "start", "name": "a", "model": "잔차", "iterations": 3, "from": 0})
    tell({"kind": "train", "iteration": 2, "iterations": 3, "loss": None, "error": None})
    tell({"kind": "warning", "text": "잔차 – ×"})

sys.exit(main(["live"]))
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp949"])
def test_the_live_line_on_such_a_terminal(encoding):
    mine, its = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", LIVE], stderr=its, stdout=subprocess.DEVNULL,
        env=environment(PYTHONIOENCODING=encoding, TERM="xterm"),
    )  # fmt: skip
    os.close(its)
    shown = b""
    try:
        while part := os.read(mine, 65536):
            shown += part
    except OSError:  # Linux: the other end is closed
        pass
    assert child.wait(timeout=60) == 0
    text = shown.decode(encoding)
    assert "Traceback" not in text
    assert "loss -" in text or "loss –" in text
    assert "warning: " in text


# -- names


NAMES = [
    b"caf\xe9.png", b"two\nlines.png", b"\x1b[31mred.png", b'"quoted".png', b"a: dog 99 %.png", b" space.png",
    b"two  spaces.png", "잔차.png".encode(), b"plain.png", "c1\x9b.png".encode(), "\u2028.png".encode(), b"\x7f.png",
]  # fmt: skip


@pytest.fixture(scope="module")
def pets(server, tmp_path_factory):
    """A run of two classes, one of whose names is not UTF-8."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pets")
    for room in ("train", "val"):
        for shade, name in enumerate((b"caf\xe9", b"d: og 9 %")):
            folder = os.path.join(os.fsencode(root), b"set", room.encode(), name)
            os.makedirs(folder)
            for i in range(3):
                with open(os.path.join(folder, b"%d.png" % i), "wb") as file:
                    Image.new("RGB", (24, 24), (40 * i, 100 * shade, 9)).save(file, "PNG")
    words = ("--data", root / "set", "--image-size", "24", "--workers", "0", "--iterations", "1", "--set", "batch=4")
    server(*SMOKE, *words, "--out", root / "run").good()
    return root / "run"


@pytest.fixture
def photographs(tmp_path):
    from PIL import Image

    folder = os.path.join(os.fsencode(tmp_path), b"photographs")
    os.mkdir(folder)
    for name in NAMES:
        with open(os.path.join(folder, name), "wb") as file:
            Image.new("RGB", (24, 24), (9, 99, 9)).save(file, "PNG")
    return os.fsdecode(folder)


@pytest.mark.slow
@pytest.mark.parametrize("more", some([{}, STREAMS["ascii"][0]], quick=1), ids=["utf-8", "ascii"])
def test_every_json_line_leads_back_to_its_file(pets, photographs, more):
    done = raw("predict", pets, photographs, "--json", **more)
    assert done.returncode == 0
    lines = done.stdout.decode("utf-8").split("\n")[:-1]  # strictly
    assert len(lines) == len(NAMES)
    found = set()
    for line in lines:
        assert line.isprintable()
        assert "\\ud" not in line.replace("\\ud83d", "")  # no lone surrogate, which strict parsers refuse
        told = json.loads(line)
        exact = base64.b64decode(told["file_bytes"]) if "file_bytes" in told else told["file"].encode()
        assert os.path.isfile(exact)
        found.add(os.path.basename(exact))
        classes = [base64.b64decode(name) for name in told["classes_bytes"]]
        assert sorted(classes) == [b"caf\xe9", b"d: og 9 %"]
        assert sorted(told["classes"]) == ["caf\ufffd", "d: og 9 %"]
    assert found == set(NAMES)


def test_every_line_is_a_file_and_can_be_read_back(pets, photographs):
    done = raw("predict", pets, photographs)
    assert done.returncode == 0
    found = set()
    for line in done.stdout.decode("utf-8").split("\n")[:-1]:
        assert line.isprintable()
        if line.startswith('"'):
            file, end = json.JSONDecoder().raw_decode(line)
            assert line[end : end + 2] == ": "
            rest = line[end + 2 :]
        else:
            file, _, rest = line.partition(": ")
        assert os.path.isfile(file)
        found.add(os.path.basename(os.fsencode(file)))
        assert {share.rsplit(" ", 2)[0] for share in rest.split("  ")} == {'"caf\\udce9"', '"d: og 9 %"'}
    assert found == set(NAMES)


@pytest.mark.slow
def test_other_verbs_on_names_that_are_not_utf_8(pets):
    told = json.loads(raw("evaluate", pets, "--json").stdout.decode("utf-8"))[0]
    rows = told["per_class"]
    assert [base64.b64decode(row["class_bytes"]) for row in rows if "class_bytes" in row] == [b"caf\xe9"]
    assert raw("evaluate", pets).returncode == 0


def test_a_path_printed_last_is_the_path(tmp_path):
    """`open "$(reslab draw …)"`, whatever the folder is called."""
    out = os.path.join(os.fsencode(tmp_path), b"caf\xe9.svg")
    done = raw("draw", "resnet18", "--out", os.fsdecode(out))
    assert (done.returncode, done.stdout) == (0, out + b"\n")


def test_json_of_anything():
    from reslab.cli.output import json_text

    value = {
        "a": float("nan"),
        "b": [float("inf"), 1.5, None, True],
        "c": "\x85\u2028\U000e0001é",
        "d\udc80": ("x", "\udcff"),
    }
    text = json_text(value, None)
    assert text.isprintable()
    told = json.loads(text)
    assert told == {
        "a": None, "b": [None, 1.5, None, True], "c": value["c"], "d\\udc80": ["x", "\ufffd"],
        "d\\udc80_bytes": [base64.b64encode(b"x").decode(), base64.b64encode(b"\xff").decode()],
    }  # fmt: skip
    assert json.loads(json_text(value, None, True)) == told
    assert json_text(value, None, True).isascii()


def test_only_names_that_could_be_mistaken_are_quoted():
    from reslab.show.format import quoted

    for name in ("dog.png", "C:\\a b.png", "a:b", "잔차", "it's", 'a"b'):
        assert quoted(name) == name
    for name in ("a: b", "a  b", " a", "a ", '"a"', "a\n", "\x1b", "caf\udce9", "\u200b"):
        assert quoted(name)[0] == '"'
        assert json.loads(quoted(name)) == name


@pytest.mark.slow
def test_no_message_is_lost_while_tiff_is_read(warm, trained, tmp_path):
    """libtiff is silenced by taking standard error away: of 32 large files in turn whole and cut, each is heard of."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(32):
        path = folder / f"{number}.tiff"
        Image.effect_noise((900, 900), 50).convert("RGB").save(path, compression="tiff_lzw")
        if number % 2:
            path.write_bytes(path.read_bytes()[:-200_000])
    told = warm("predict", trained, folder, "--bad-images", "skip", "--threads", "2").good()
    named = [f"{folder / f'{number}.tiff'}" in (told.err if number % 2 else told.out) for number in range(32)]
    assert named == [True] * 32
