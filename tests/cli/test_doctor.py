"""`reslab doctor` on machines and installations that are really broken: a finding with a remedy, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cases import some
from commands import environment
from house import ROOT

import reslab
from reslab.engines.machine import UNDECIDED, settle
from reslab.nets.names import spec_of
from reslab.runs.recipes import recipe
from reslab.store.native import compiler

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler on this machine")
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


def doctor(cwd: Path, *words: str, before: str = "", without: tuple[str, ...] = (), **more: str):
    """The finished process and its JSON; `before` are words of the shell."""
    names = {k: v for k, v in environment(**more).items() if k not in without}
    names["PYTHONPATH"] = os.pathsep.join([more.get("PYTHONPATH", ""), str(ROOT)])
    command = f'{before} exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", sys.executable, "-m", "reslab", "doctor", "--json", *words],
        env=names, cwd=cwd, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def statuses(checkup: dict) -> dict[str, str]:
    return {f["subject"]: f["status"] for findings in checkup["sections"].values() for f in findings}


def finding(checkup: dict, subject: str) -> dict:
    return next(f for findings in checkup["sections"].values() for f in findings if f["subject"] == subject)


def module(folder: Path, name: str, body: str) -> str:
    """A package of that name whose import runs `body`, in a folder for PYTHONPATH."""
    (folder / "broken" / name).mkdir(parents=True)
    (folder / "broken" / name / "__init__.py").write_text(body)
    return str(folder / "broken")


def test_the_choices_are_those_of_a_dry_run():
    """The same `why`, and so the same reasons."""
    checkup = reslab.doctor()
    assert [choice.job.split()[0] for choice in checkup.choices] == ["cifar_resnet20", "resnet18", "resnet50"]
    for choice in checkup.choices:
        settings = settle(spec_of(choice.job.split()[0]), recipe("paper-cifar"), UNDECIDED)
        found = (choice.device, choice.precision, choice.engine, choice.threads, choice.why)
        assert found == (settings.device, settings.precision, settings.engine, settings.threads, settings.why)
    assert "\n" not in repr(checkup)
    assert checkup.answer in checkup._repr_html_().replace("&#x27;", "'")


def test_the_answer_comes_first(cold, tmp_path):
    told = cold("doctor")
    assert told.code in (0, 1)
    assert told.out.startswith("reslab can train here: ")
    assert "what `auto` chooses" in told.out
    assert not (tmp_path / "here" / "runs").exists()
    assert max(map(len, told.out.splitlines())) <= 140


@pytest.mark.slow
def test_a_torchvision_that_raises(tmp_path):
    path = module(tmp_path, "torchvision", 'raise RuntimeError("operator torchvision::nms does not exist\\nmore")')
    code, checkup = doctor(tmp_path, PYTHONPATH=path)
    assert (code, checkup["can_train"], statuses(checkup)["torchvision"]) == (1, True, "fault")
    assert "nms does not exist" in finding(checkup, "torchvision")["text"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "torch",
            "import sys; print('Traceback (most recent call last):', file=sys.stderr); raise OSError('libcudart')",
        ),
        ("torch", "raise SystemExit(3)"),
        ("numpy", "raise ImportError('numpy.core')"),
        ("PIL", "raise ImportError('libjpeg.so')"),
    ],
)
def test_a_package_without_which_nothing_trains(tmp_path, name, body):
    code, checkup = doctor(tmp_path, PYTHONPATH=module(tmp_path, name, body))
    subject = "pillow" if name == "PIL" else name
    assert (code, checkup["can_train"], checkup["faults"]) == (1, False, 1)
    assert finding(checkup, subject)["prevents"]
    assert checkup["answer"].startswith(f"reslab cannot train here: {subject}: ")


def test_a_command_line_without_its_parser(tmp_path):
    path = os.pathsep.join([module(tmp_path, "cyclopts", "raise ImportError('gone')"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "doctor"], env=environment(PYTHONPATH=path), capture_output=True, text=True
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("reslab: the command line cannot be loaded: ImportError: gone; install cyclopts again")


@pytest.mark.slow
def test_no_compiler_is_a_note(tmp_path):
    code, checkup = doctor(tmp_path, PATH="/nowhere", without=("CXX",))
    assert statuses(checkup)["compiler"] == "note"
    assert "kernels" not in statuses(checkup)
    assert code == int(checkup["faults"] > 0)


@pytest.mark.slow
@pytest.mark.parametrize("program", some(["/bin/false", "no-such-compiler"], quick=1))
@needs_compiler
def test_a_compiler_that_does_not_compile_is_a_fault(tmp_path, program):
    code, checkup = doctor(tmp_path, CXX=program, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert code == 1
    assert checkup["can_train"]
    assert statuses(checkup)["kernels" if program == "/bin/false" else "compiler"] == "fault"
    assert "winograd" not in checkup["choices"][0]["why"].split(";")[0]


@linux
@pytest.mark.slow
def test_a_cache_that_cannot_be_written(tmp_path):
    code, checkup = doctor(tmp_path, HOME="/proc", without=("XDG_CACHE_HOME",))
    cache = finding(checkup, "cache")
    assert (code, cache["status"], checkup["can_train"]) == (1, "fault", True)
    assert "set XDG_CACHE_HOME" in cache["remedy"]


@pytest.mark.slow
@linux
def test_no_home_at_all(tmp_path):
    _, checkup = doctor(tmp_path, without=("HOME", "XDG_CACHE_HOME"))
    assert checkup["can_train"]
    assert statuses(checkup)["HOME"] == "ok"


@pytest.mark.slow
@linux
@pytest.mark.parametrize("out", some(["/proc/x", "/dev/null"], quick=1))
def test_runs_that_cannot_be_written(tmp_path, out):
    code, checkup = doctor(tmp_path, "--out", out)
    assert (code, checkup["can_train"], statuses(checkup)["runs"]) == (1, False, "fault")


@pytest.mark.slow
def test_cifar_that_is_not_there(tmp_path):
    code, checkup = doctor(tmp_path, RESLAB_CIFAR10=str(tmp_path / "nowhere"), RESLAB_CIFAR01="x")
    assert (code, statuses(checkup)["cifar10"], statuses(checkup)["RESLAB_CIFAR01"]) == (1, "fault", "note")
    assert "no such file or folder" in finding(checkup, "cifar10")["text"]


@linux
def test_a_limit_of_memory(tmp_path):
    """1.5 GB of addresses, into which torch's libraries are not mapped."""
    code, checkup = doctor(tmp_path, before="ulimit -v 1500000;")
    assert (code, checkup["can_train"]) == (1, False)
    assert "(ulimit -v) is too small for it: raise it" in checkup["answer"]


@linux
@pytest.mark.slow
def test_affinity_and_threads(tmp_path):
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-m", "reslab", "doctor", "--json"], cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    values = finding(json.loads(done.stdout), "cores")["values"]
    assert (values["usable"], values["affinity"], values["machine"]) == (1, 1, os.cpu_count())
