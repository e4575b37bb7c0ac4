"""Event files as TensorBoard's own reader sees them, of real runs that were killed, resumed and extended."""

import hashlib
import math
import resource
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from cases import some
from commands import environment
from processes import Trainings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import reslab
from reslab.runs import runlog
from reslab.store import jsonl

BASE = ["train", "cifar_resnet8", "--data", "digits", "--recipe", "digits-smoke", "--seed", "3", "--threads", "1",
        "--iterations", "40", "--set", "save_every=7", "--set", "log_every=2", "--set", "eval_every=8",
        "--set", "clean_every=20"]  # fmt: skip
LOG = ["--log", "tensorboard"]
FIELDS = {
    "loss/train": ("train", None, lambda m: m["loss"]),
    "error/train": ("train", None, lambda m: m["error"]),
    "lr": ("train", None, lambda m: m["lr"]),
    "images_per_second": ("train", None, lambda m: m["clock"]["rate"]),
    "loss/test": ("eval", "test", lambda m: m["loss"]),
    "error/test": ("eval", "test", lambda m: m["top1_error"]),
    "loss/train_clean": ("eval", "train", lambda m: m["loss"]),
    "error/train_clean": ("eval", "train", lambda m: m["top1_error"]),
}


TRAININGS = Trainings(*BASE)
start, finish = TRAININGS.start, TRAININGS.finish


def points(out: Path, name: str = "tensorboard") -> dict[str, list[tuple[int, float]]]:
    """Tag → (step, value), read by TensorBoard's accumulator, with its own thinning and purging off."""
    (file,) = (out / name).iterdir()
    read = EventAccumulator(str(file), size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
    assert all(a.wall_time <= b.wall_time for tag in read.Tags()["scalars"] for a, b in pairwise(read.Scalars(tag)))
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def expected(out: Path, fields: dict = FIELDS) -> dict[str, list[tuple[int, float]]]:
    """The same from the lines of metrics.jsonl."""
    lines = jsonl.read(out / "metrics.jsonl", checked=True).records
    return {
        tag: [
            (m["iteration"], pytest.approx(value(m), rel=1e-6))
            for m in lines
            if (m["kind"], m.get("split")) == (kind, split)
        ]
        for tag, (kind, split, value) in fields.items()
    }


def hashes(out: Path) -> dict[str, str]:
    last = sorted((out / "checkpoints").glob("step-*"))[-1]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in last.glob("*.safetensors")}


def figures(out: Path) -> list[dict]:
    lines = jsonl.read(out / "metrics.jsonl", checked=True).records
    return [{k: v for k, v in m.items() if k != "clock"} for m in lines if m["kind"] != "resume"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "run"
    finish(out)
    return out


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("logged") / "run"
    finish(out, *LOG)
    return out


def test_the_events_are_the_lines_of_the_record(logged):
    found = points(logged)
    assert found == expected(logged)
    assert [len(found[tag]) for tag in ("loss/train", "loss/test", "loss/train_clean")] == [20, 5, 2]


def test_the_run_is_the_same_bit_for_bit(plain, logged):
    assert hashes(plain) == hashes(logged)
    assert figures(plain) == figures(logged)
    assert not (plain / "tensorboard").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sign", some([signal.SIGKILL, signal.SIGINT], quick=1))
def test_a_resumed_run_has_each_point_once(logged, tmp_path, sign):
    out = tmp_path / "run"
    for at in (12, 30):
        process = start(out, *LOG)
        assert process.until(
            lambda at=at: any(m.get("iteration", 0) >= at for m in jsonl.read(out / "metrics.jsonl").records), 240
        )
        process.signal(sign)
        assert process.wait(60).code != 0
        assert not runlog.read(out).finished
    finish(out, *LOG)
    assert points(out) == expected(out)
    assert hashes(out) == hashes(logged)
    for tag in ("loss/train", "loss/test"):
        assert points(out)[tag][-1] == points(logged)[tag][-1]


def test_a_finished_run_gets_its_events_and_keeps_other_files(plain, tmp_path):
    """Asked for afterwards, the events are written from the record; what else is in the folder stays."""
    out = tmp_path / "run"
    subprocess.run(["cp", "-r", plain, out], check=True)
    (out / "tensorboard").mkdir()
    (out / "tensorboard" / "events.out.tfevents.1.of-another").write_bytes(b"mine")
    for _ in range(2):
        finish(out, *LOG)
    assert (out / "tensorboard" / "events.out.tfevents.1.of-another").read_bytes() == b"mine"
    (out / "tensorboard" / "events.out.tfevents.1.of-another").unlink()
    assert points(out) == expected(out)


def test_an_extended_run_goes_on_in_one_file(logged, tmp_path):
    out = tmp_path / "run"
    subprocess.run(["cp", "-r", logged, out], check=True)
    finish(out, *LOG, "--extend", "50")
    found = points(out)
    assert found == expected(out)
    assert found["loss/train"][-1][0] == 50


def test_val_has_tags_of_its_own(tmp_path):
    record = reslab.train(
        "cifar_resnet8", "digits", recipe="digits-smoke", iterations=6, set={"holdout": 100}, out=tmp_path / "run",
        threads=1, log="tensorboard", tell=lambda event: None,
    )  # fmt: skip
    fields = {"loss/val": ("eval", "val", lambda m: m["loss"]), "error/val": ("eval", "val", lambda m: m["top1_error"])}
    found = points(record.folder)
    assert {tag: found[tag] for tag in fields} == expected(record.folder, fields)


def test_a_loss_that_is_not_finite_is_nan(logged, tmp_path):
    """Another program would see a gap; a nan is what was measured."""
    from reslab.training.tensorboard import Events

    (tmp_path / "metrics.jsonl").write_bytes((logged / "metrics.jsonl").read_bytes())
    jsonl.append(
        tmp_path / "metrics.jsonl",
        {"kind": "eval", "iteration": 41, "split": "test", "n": 5, "top1_error": 90.0, "loss": None},
    )
    events = Events(tmp_path, lambda event: None)
    events({"kind": "end"})
    events.close()
    assert math.isnan(points(tmp_path)["loss/test"][-1][1])
    assert points(tmp_path)["error/test"][-1] == (41, 90.0)


def test_a_write_error_ends_neither_training_nor_record(plain, tmp_path):
    """The folder's name is taken by a file: one warning, and the same run."""
    out = tmp_path / "run"
    process = start(out, *LOG, "--set", "save_every=1")
    assert process.until(lambda: any((out / "checkpoints").glob("step-*")), 240)
    process.signal(signal.SIGKILL)
    process.wait(60)
    for file in (out / "tensorboard").iterdir():
        file.unlink()
    (out / "tensorboard").rmdir()
    (out / "tensorboard").write_text("in the way")
    told = finish(out, *LOG, "--set", "save_every=1").err
    assert told.count("warning:") == 1
    assert "nothing more is written for TensorBoard" in told
    assert runlog.read(out).finished
    assert (out / "tensorboard").read_text() == "in the way"


def test_a_full_disk_in_the_middle_is_one_warning(tmp_path):
    """A limit of the size of files in this process stands for the disk: the event file reaches it, the record not."""
    from reslab.training.tensorboard import Events

    warnings: list[dict] = []
    events = Events(tmp_path, warnings.append)
    line = {"kind": "train", "iteration": 1, "loss": 1.0, "error": 1.0, "lr": 0.1, "clock": {"rate": 1.0}}
    jsonl.append(tmp_path / "metrics.jsonl", line)
    events({"kind": "start"})
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for number in range(2, 40):
        jsonl.append(tmp_path / "metrics.jsonl", {**line, "iteration": number})
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, previous[1]))
    try:
        events({"kind": "train"})
        events({"kind": "train"})
    finally:
        events.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [warning["kind"] for warning in warnings] == ["warning"]
    assert "File too large" in warnings[0]["text"]


def interpreter(code: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), cwd=cwd)


@pytest.mark.slow
def test_without_the_package_nothing_starts(tmp_path):
    """An interpreter in which no finder has tensorboard: one line, exit 2, no folder."""
    code = (
        "import importlib.machinery, sys\n"
        "class Without(importlib.machinery.PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        return None if name == 'tensorboard' else super().find_spec(name, path, target)\n"
        "sys.meta_path = [Without if f is importlib.machinery.PathFinder else f for f in sys.meta_path]\n"
        "from reslab.cli.main import main\n"
        f"sys.exit(main({[*BASE, *LOG, '--out', str(tmp_path / 'run')]!r}))"
    )
    done = interpreter(code, tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "reslab: --log tensorboard: tensorboard is not installed; pip install 'reslab[tensorboard]'\n"
    )
    assert not (tmp_path / "run").exists()


def test_the_package_is_imported_only_with_the_option(tmp_path):
    code = (
        "import sys\nfrom reslab.cli.main import main\n"
        f"assert main({[*BASE, '--out', str(tmp_path / 'run')]!r}) == 0\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'tensorboard']"
    )
    done = interpreter(code, tmp_path)
    assert done.returncode == 0, done.stderr
