"""Row 22: every option of every verb with extreme values; configuration files that are wrong in every way."""

from __future__ import annotations

from random import Random

import pytest
from counts import COMMANDS, TABLES
from damage import Tally, crash, refusal

ROOM = 6 << 30  # bytes of memory beyond a process's start
EXTREME = (
    "", " ", "-1", "0", "1", "2", "-0", "1.5", "1e999", "nan", "inf", "-inf", "1e-320", "1e18", "2147483648",
    "99999999999999999999", "9" * 5000, "0x10", "１２", "٣", "1_000", "true", "None", "null", "..", "/proc",
    "/dev/null",
    "/dev/zero", "/nowhere/x", "~nobody-of-that-name", "a\nb",
    "\u202e", "café", "\udcff", "--", "-", "[]", "{}", "[1,2",
    "1,2", ",", "1,,2", "-1,-2", "0,0", "8,14", "a=b", "=", "=1", "lr=nan", "lr=1e400", "batch=0", "batch=1e9",
    "batch=99999999999", "drops=,", "drops=3,2", "iterations=0", "name=x", "$(id)", "%s%n", "\x1b[31m", "x" * 300,
    "x" * 100_000, "A", "B", "basic", "basic,bottleneck", "cpu",
    "cuda", "digits", "cifar10", "cifar10:", "cifar10:x",
    "test", "train", "onnx", "page", "int8", "C1", "C99", "all", "degradation", "fig6", "30m", "1s", "-5m", "m",
)  # fmt: skip
MODELS = (
    "cifar_resnet8", "cifar_resnet20", "cifar_plain56", "resnet18", "resnet50", "plain34", "vgg19", "mlp_resnet8",
    "cifar_resnet", "cifar_resnet9", "cifar_resnet0", "cifar_resnet-8", "cifar_resnet100000000000000",
    "cifar_resnet99998",
    "cifar_resnet9999998", "mlp_plain8", "resnet", "RESNET18", "", "*", "[", "runs", "cifar_resnet８",
)  # fmt: skip
SWITCHES = (
    "--shortcut", "--stride-in", "--block", "--order", "--activation", "--stem", "--downsample", "--fan", "--pad-at",
    "--widths", "--classes", "--in-channels", "--image-size", "--batch-norm", "--no-batch-norm", "--zero-init",
)  # fmt: skip
READING = ("--data", "--workers", "--val-share", "--bad-images", "--device", "--threads", "--download")
JUDGING = ("--calibration", "--temperature", "--pictures", "--worst")
INSIDE = ("--lesions", "--similarity", "--surface", "--pictures")
OPTIONS = {
    "list": ("--json",),
    "describe": (*SWITCHES, "--json"),
    "draw": (*SWITCHES, "--blocks", "--overwrite", "--out"),
    "train": (
        "--data", "--recipe", "--seed", "--iterations", "--epochs", "--scale", "--set", "--config", "--val-share",
        "--bad-images", "--workers", "--device", "--precision", "--engine", "--threads", "--recompute", "--init-from",
        "--freeze", "--extend", *SWITCHES,
    ),
    "import": (
        "--layout", "--entry", "--names", "--stride-in", "--pad-at", "--padding", "--image-size", "--shorter",
        "--interpolation", "--mean", "--std", "--json",
    ),
    "export": ("--to", "--out", "--data", "--with-preprocessing", "--min-agreement"),
    "audit": (*SWITCHES, "--reference", "--expect", "--json"),
    "evaluate": (*READING, "--split", "--ensemble", "--json", "--precision", *JUDGING),
    "predict": (
        "--top", "--json", "--csv", "--null", "--bad-images", "--device", "--precision", "--batch", "--threads",
        "--explain", "--calibration",
    ),
    "probe": (*READING, *SWITCHES, "--only", "--at", "--samples", "--split", "--seed", "--json", *INSIDE),
    "claims": ("--records", "--json"),
    "report": ("--lang", "--out", "--overwrite"),
    "figure": ("--lang", "--out", "--overwrite"),
    "doctor": ("--out", "--json"),
    "check": ("--size", "--grey", "--val-share", "--workers", "--all", "--json"),
    "recipe show": ("--scale", "--set", "--json"),
    "reproduce": ("--data", "--depths", "--seeds", "--scale", "--recipe", "--set", "--lang", "--processes", "--device"),
}  # fmt: skip
ALONE = (
    "--json", "--blocks", "--overwrite", "--download", "--batch-norm", "--no-batch-norm", "--zero-init", "--lesions",
    "--similarity", "--temperature", "--with-preprocessing", "--all", "--grey",
)  # fmt: skip
FIRST = {
    "list": (("cifar_*",), ("[",), ()), "claims": (("C1",), ("C99",), ()), "report": (("run",), ()),
    "evaluate": (("run",), ("run", "nowhere"), ()), "predict": (("run", "x.png"), ("run",), ("x.png", "run")),
    "import": (("run",), ("x.png",), ("hf:",), ("timm:x",)), "export": (("run",), ("x",), ("run", "run")),
    "audit": (("run",), ("cifar_resnet8",), ("python:os:getcwd",), ("resnet18",)),
    "probe": (("run",), ("cifar_resnet8",)), "figure": (("fig6", "run"), ("table1",), ("fig99",)),
    "doctor": ((),), "check": (("digits",), (".",), ("run",), ("x",), ()),
    "recipe show": ((), ("digits",), ("dígits",)), "reproduce": (("degradation",), ("C1", "C3"), ("x",)),
}  # fmt: skip


def command(verb: str, draws: Random) -> list[str]:
    """A random command line; none that trains for long."""
    words = verb.split()
    if verb in ("train", "describe", "draw"):
        words.append(draws.choice(MODELS))
    else:
        words += draws.choice(FIRST[verb])
    for option in draws.sample(OPTIONS[verb], min(len(OPTIONS[verb]), draws.choice((1, 1, 1, 2, 3)))):
        words += [option] if option in ALONE and draws.random() < 0.9 else [option, draws.choice(EXTREME)]
    if draws.random() < 0.1:
        words.insert(draws.randrange(len(words)), draws.choice(EXTREME))
    if verb == "train":
        words.append("--dry-run")
    if verb == "reproduce":
        words += ["--budget", "0.001s", "--out", "study"]
    return words


@pytest.mark.parametrize("verb", OPTIONS)
def test_fault_22_command_lines(reslab, run, count, verb):
    """No traceback, no signal, no hang; within 6 GB."""
    draws, tally = Random(f"words of {verb}"), Tally()
    share = {"train": 0.25, "probe": 0.12, "evaluate": 0.1, "predict": 0.1, "report": 0.03, "reproduce": 0.03}
    for _ in range(max(1, round(COMMANDS * share.get(verb, 0.06)))):
        words = command(verb, draws)
        ended = reslab(*words, memory=ROOM)
        tally.add(
            " ".join(w if len(w) < 60 else f"{w[:20]}…" for w in words).encode("ascii", "backslashreplace").decode(),
            crash(ended),
        )
    tally.told(count, 22, f"random command lines: {verb}")


KEYS = (
    "model", "data", "recipe", "out", "seed", "iterations", "epochs", "scale", "device", "precision", "engine",
    "recompute", "threads", "workers", "val_share", "bad_images", "group", "range", "download", "net", "set", "lr",
    "sead", "batch",
)  # fmt: skip
TOML_VALUES = (
    '"digits"', '"cifar_resnet8"', '""', '"x"', "1", "-1", "0", "99999999999999999999", "1.5", "nan", "inf", "1e400",
    "true", "[]", "[1, 2]", '["a"]', "{}", "{a = 1}", "{lr = 0.1}", "{lr = nan}", "{batch = 0}", "{widths = [4, 4, 8]}",
    "1979-05-27", "[[1]]", '"\\u0000"', "'''a\nb'''", "{drops = [3, 2]}", "{block = 1}", "{widths = []}",
)  # fmt: skip


def test_fault_22_random_tables(reslab, count):
    draws, tally, file = Random("tables"), Tally(), reslab.here / "run.toml"
    for _ in range(TABLES):
        lines = [f"{key} = {draws.choice(TOML_VALUES)}" for key in draws.sample(KEYS, draws.randrange(1, 5))]
        if draws.random() < 0.5:
            lines.insert(0, 'model = "cifar_resnet8"')
        text = draws.choice(("\n", "\r\n", "\n\n")).join(lines)
        file.write_bytes(draws.choice((b"", b"", b"\xef\xbb\xbf")) + text.encode())
        ended = reslab("train", "--config", file, "--device", "cpu", "--dry-run", memory=ROOM)
        tally.add(text.replace("\n", " | "), crash(ended))
    tally.told(count, 22, "random TOML files, train --dry-run")


GOOD = 'model = "cifar_resnet8"\nrecipe = "digits-smoke"\n'


def test_fault_22_files_that_are_wrong(reslab, count):
    """Refused with the file's name; a byte order mark and CRLF are no mistake."""
    tally, file = Tally(), reslab.here / "run.toml"
    wrong = {
        "UTF-16": GOOD.encode("utf-16"), "Latin-1": b'model = "caf\xe9"\n', "a zero byte": GOOD.encode() + b"\0",
        "a key twice": (GOOD + 'model = "x"\n').encode(), "a table twice": (GOOD + "[net]\n[net]\n").encode(),
        "unclosed": b'model = "cif', "a bare value": b"model = cifar_resnet8\n",
        "nothing but noise": bytes(range(256)) * 20,
        "JSON": b'{"model": "cifar_resnet8"}', "YAML": b"model: cifar_resnet8\n",
        "brackets": b"model = " + b"[" * 100_000,
        "a number of 5,000 digits": b"seed = " + b"9" * 5000 + b"\n", "a misspelt key": GOOD.encode() + b"sead = 1\n",
        "a wrong type": GOOD.encode() + b'seed = "one"\n', "a key of the recipe": GOOD.encode() + b"lr = 0.1\n",
        "500,000 keys": b"".join(b"k%d = 1\n" % i for i in range(500_000)),
        "a dotted key, deep": GOOD.encode() + b".".join([b"a"] * 20_000) + b" = 1\n",
    }  # fmt: skip
    for case, content in wrong.items():
        file.write_bytes(content)
        tally.add(case, refusal(reslab("train", "--config", file, "--dry-run", memory=ROOM), str(file)))
    file.write_bytes(GOOD.encode() + b"# " + b"x" * 100_000_000)
    tally.add("100 MB of a comment", crash(reslab("train", "--config", file, "--dry-run", memory=ROOM)))
    for case, content in {
        "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(), "CRLF": GOOD.replace("\n", "\r\n").encode(),
        "both": b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(),
    }.items():  # fmt: skip
        file.write_bytes(content)
        ended = reslab("train", "--config", file, "--dry-run", "--device", "cpu")
        tally.add(case, crash(ended) or ("" if ended.code == 0 else ended.last))
    tally.told(count, 22, "TOML files: encodings, duplicates, types, 100 MB, deep; BOM and CRLF taken")
