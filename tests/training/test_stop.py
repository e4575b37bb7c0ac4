"""Wherever between two questions a request to stop comes, the run has saved the iteration that it leaves at."""

import hashlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from PIL import Image

from reslab.data.sets.digits import digits
from reslab.engines.machine import ComputeOptions
from reslab.errors import Interrupted, RunError
from reslab.models import checkpoints
from reslab.nets.names import spec_of
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.store import jsonl
from reslab.training.job import Job
from reslab.training.loop import train


@pytest.mark.parametrize("answers", range(2, 10))
def test_no_request_leaves_without_saving(tmp_path, answers):
    """The first `answers` questions are answered no, every later one yes."""
    asked = 0

    def also() -> bool:
        nonlocal asked
        asked += 1
        return asked > answers

    often = changed(recipe("digits-smoke"), {"log_every": 1, "save_every": 20, "batch": 8})
    spec = spec_of("cifar_resnet8", in_channels=1, image_size=8, widths=(2, 2, 2))
    job = Job(spec, "digits", often, 0, tmp_path / "run", ComputeOptions(threads=1))
    with pytest.raises(Interrupted):
        train(job, digits(), lambda event: None, also)
    reached = [m["iteration"] for m in jsonl.read(job.out / "metrics.jsonl").records if m["kind"] == "train"]
    found = checkpoints.newest(job.out)
    assert reached
    assert found is not None
    assert found.iteration == reached[-1]


def test_a_request_before_the_first_update_promises_nothing(tmp_path):
    """Nothing is saved at iteration 0, nor where a run has just resumed; and that is what is said."""
    often = changed(recipe("digits-smoke"), {"log_every": 1, "save_every": 2, "batch": 8})
    spec = spec_of("cifar_resnet8", in_channels=1, image_size=8, widths=(2, 2, 2))
    job = Job(spec, "digits", often, 0, tmp_path / "run", ComputeOptions(threads=1))

    def stopped_after(answers: int) -> str:
        left = iter([False] * answers)
        with pytest.raises(Interrupted) as told:
            train(job, digits(), lambda event: None, lambda: next(left, True))
        return str(told.value)

    assert stopped_after(0) == "stopped at iteration 0, nothing to save; the same command starts again"
    assert checkpoints.newest(job.out) is None
    text = stopped_after(5)
    found = checkpoints.newest(job.out)
    assert found is not None
    assert text == f"stopped at iteration {found.iteration} and saved; the same command goes on from there"
    kept = {file: file.stat().st_mtime_ns for file in found.folder.iterdir()}
    text = stopped_after(0)
    assert text == f"stopped at iteration {found.iteration}, where it resumed; the same command goes on from there"
    assert {file: file.stat().st_mtime_ns for file in found.folder.iterdir()} == kept


def test_a_wild_loss_says_which_checkpoint_is_kept(tmp_path):
    spec = spec_of("cifar_resnet8", in_channels=1, image_size=8, widths=(2, 2, 2), batch_norm=False)
    for name, fields, words in (
        ("first", {"lr": 1e30}, "there is no checkpoint yet; try --set lr="),
        (
            "later",
            {"lr": 0.01, "drop_factor": 1e39, "drops": (4,), "save_every": 2},
            "the checkpoint at iteration 4 is",
        ),
    ):
        wild = changed(recipe("digits-smoke"), {"log_every": 1, "batch": 8, "schedule": "steps", "lr": 0.01, **fields})
        job = Job(spec, "digits", wild, 0, tmp_path / name, ComputeOptions(threads=1))
        with pytest.raises(RunError, match="not finite") as told:
            train(job, digits(), lambda event: None)
        assert words in str(told.value)
        found = checkpoints.newest(job.out)
        assert (found.iteration if found else None) == (4 if name == "later" else None)


# -- signals, to real processes


LENGTH = 60
COMMAND = (
    "train", "cifar_resnet8", "--widths", "2,2,2", "--recipe", "digits-smoke", "--device", "cpu", "--threads", "1",
    "--iterations", str(LENGTH), "--set", "batch=256", "--set", "log_every=1", "--set", "save_every=1000",
)  # fmt: skip


def command(out, *more):
    return [sys.executable, "-m", "reslab", *COMMAND, *map(str, more), "--out", str(out)]


def quiet_environment(**more):
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    return kept | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TERM": "xterm"} | more


def wait_for_updates(out, count: int, alive) -> None:
    until = time.monotonic() + 240
    metrics = out / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b'"train"') < count:
        assert alive()
        assert time.monotonic() < until, "the run never began"
        time.sleep(0.005)


def weights(out) -> str:
    file = checkpoints.folder_of(out, LENGTH) / "weights.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(command(out), env=quiet_environment(), check=True, capture_output=True, timeout=300)
    return weights(out)


@pytest.mark.skipif(not hasattr(os, "forkpty"), reason="no terminals here")
@pytest.mark.slow
def test_a_closed_terminal_saves_the_run(tmp_path, whole):
    """The terminal goes while the live line is drawn on it: the run saves, exits 75, and resumes bit for bit."""
    out = tmp_path / "run"
    child, terminal = os.forkpty()
    if child == 0:
        os.execve(sys.executable, command(out), quiet_environment())
    reader = threading.Thread(target=drained, args=(terminal,), daemon=True)
    reader.start()
    try:
        wait_for_updates(out, 3, lambda: os.waitpid(child, os.WNOHANG) == (0, 0))
        os.close(terminal)
        status = waited(child)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    assert os.waitstatus_to_exitcode(status) == 75
    found = checkpoints.newest(out)
    assert found is not None
    assert 3 <= found.iteration < LENGTH
    subprocess.run(command(out), env=quiet_environment(), check=True, capture_output=True, timeout=300)
    assert weights(out) == whole


def drained(terminal: int) -> None:
    with suppress(OSError):
        while True:
            if select.select([terminal], [], [], 0.05)[0]:
                os.read(terminal, 65536)


def waited(child: int) -> int:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    raise AssertionError("the run did not end")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
@pytest.mark.slow
def test_nohup_ignores_the_closed_terminal(tmp_path, whole):
    out = tmp_path / "run"
    run = subprocess.Popen(
        command(out), env=quiet_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    try:
        wait_for_updates(out, 3, lambda: run.poll() is None)
        run.send_signal(signal.SIGHUP)
        assert run.wait(timeout=240) == 0
    finally:
        run.kill()
    assert weights(out) == whole


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_data_workers_leave_the_closed_terminal_to_the_loop(tmp_path):
    """SIGHUP to the whole process group: the loop saves, its workers do not die of it."""
    root, out = tmp_path / "set", tmp_path / "run"
    for room in ("train", "val"):
        for shade, name in enumerate(("cat", "dog")):
            folder = root / room / name
            folder.mkdir(parents=True)
            for i in range(8):
                Image.new("RGB", (16, 16), (20 * i, 100 * shade, 9)).save(folder / f"{i}.png")
    run = subprocess.Popen(
        command(out, "--data", root, "--image-size", "16", "--workers", "2", "--set", "batch=8"),
        env=quiet_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for_updates(out, 3, lambda: run.poll() is None)
        os.killpg(run.pid, signal.SIGHUP)
        _, err = run.communicate(timeout=120)
        assert run.returncode == 75, err
        assert err.decode().splitlines()[-1].endswith("and saved; the same command goes on from there")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert checkpoints.newest(out) is not None


@pytest.mark.slow
def test_a_campaign_saves_on_a_closed_terminal(tmp_path):
    """SIGHUP to the group of a campaign: every run saves, and the same command would go on."""
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("no SIGHUP here")
    code = (
        "import sys\nfrom pathlib import Path\nfrom reslab.errors import Interrupted\n"
        "from reslab.nets.names import spec_of\nfrom reslab.campaign.executor import Where\n"
        "from reslab.campaign.runs import run_all\n"
        "from reslab.runs.recipe import changed\nfrom reslab.runs.recipes import recipe\n"
        "if __name__ == '__main__':\n"
        "    from reslab.engines.machine import ComputeOptions\n    from reslab.training.job import Job\n"
        "    base = changed(recipe('digits-smoke'), {'iterations': 100_000, 'log_every': 1, 'save_every': 50_000})\n"
        "    spec = spec_of('cifar_resnet8', in_channels=1, image_size=8, widths=(2, 2, 2))\n"
        "    jobs = [Job(spec, 'digits', base, s, Path(sys.argv[1]) / str(s), ComputeOptions('cpu')) for s in (0, 1)]\n"
        "    try:\n        run_all(jobs, lambda event: None, Where(processes=2))\n"
        "    except Interrupted as error:\n        sys.exit(error.exit_code)\n"
    )
    script = tmp_path / "campaign.py"
    script.write_text(code)
    run = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], env=quiet_environment(), start_new_session=True,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        for seed in "01":
            wait_for_updates(tmp_path / seed, 3, lambda: run.poll() is None)
        os.killpg(run.pid, signal.SIGHUP)
        _, err = run.communicate(timeout=120)
        assert (run.returncode, err) == (75, b"")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert all(checkpoints.newest(tmp_path / seed) is not None for seed in "01")
