"""The wheel: built, installed into an environment of its own outside the checkout, and used there."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from house import ROOT

LARGEST = 5_000_000  # bytes of the wheel: with checkpoints of the committed results it would have 15 MB


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", folder, ROOT],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that calls the installed `reslab` in a folder of its own.

    The environment finds the dependencies of the tests by their path: torch is too large to be installed again. What
    stands in that folder's .pth files, such as the checkout, is not on its path.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    here = folder / "here"
    here.mkdir()
    hidden = ("PYTHONPATH", "RESLAB_CIFAR10")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}

    def run(*words: object) -> str:
        command = [folder / "env" / "bin" / "reslab", *map(str, words)]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.here, run.python, run.environment = here, python, environment
    return run


def test_what_the_wheel_holds(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.stat().st_size < LARGEST
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"reslab"}
    assert [name for name in names if name.endswith((".safetensors", ".pyc"))] == []
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "reslab").rglob("*") if path.is_file()}
    assert {name for name in shipped if "__pycache__" not in name} <= {*names}
    studies = [path.parent for path in (ROOT / "results").glob("*/study.json")]
    assert len(studies) >= 7
    records = {path.relative_to(ROOT).as_posix() for study in studies for path in study.rglob("*.json*")}
    assert {f"reslab/{name}" for name in records if "/checkpoints/" not in name} <= {*names}


def test_the_comparison_of_ci_holds(wheel, tmp_path):
    """CI compares the wheel with the checkout by `diff`; here by its very lines."""
    lines = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8").splitlines()
    comparisons = [line.strip() for line in lines if line.strip().startswith("diff ")]
    zipfile.ZipFile(wheel).extractall(tmp_path / "unpacked")
    for folder in ("reslab", "results"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "reslab" / "lost.py").touch()
    done = [subprocess.run(shlex.split(line), cwd=tmp_path, capture_output=True, text=True) for line in comparisons]
    assert "".join(one.stdout for one in done) == "Only in reslab: lost.py\n"
    (tmp_path / "reslab" / "lost.py").unlink()
    (tmp_path / "results" / "digits" / "study.json").write_text("{}")
    done = [subprocess.run(shlex.split(line), cwd=tmp_path, capture_output=True, text=True) for line in comparisons]
    assert "results/digits/study.json" in "".join(one.stdout for one in done)


def test_it_is_the_installed_package_that_runs(installed):
    code = "import json, reslab, sys; print(reslab.__file__); print(json.dumps(sys.path))"
    done = subprocess.run(
        [installed.python, "-c", code], cwd=installed.here, env=installed.environment, capture_output=True, text=True
    )
    place, path = done.stdout.splitlines()
    assert Path(place).is_relative_to(installed.here.parent)
    assert str(ROOT) not in [entry for entry in json.loads(path) if not entry.startswith(sysconfig.get_path("purelib"))]


@pytest.mark.slow
def test_claims_are_those_of_the_checkout(installed, tmp_path):
    """From an empty folder: the checkout may have studies of its user's own in runs/."""
    told = installed("claims", "--json")
    here = subprocess.run(
        [sys.executable, "-m", "reslab", "claims", "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    ).stdout
    assert len(json.loads(told)) == 27
    assert placeless(told) == placeless(here)
    text = installed("claims", "C3")
    assert "missing" not in text
    assert "C3" in text


def placeless(text: str) -> object:
    """The JSON without the folder in which the committed results are."""

    def cut(value: object) -> object:
        if isinstance(value, dict):
            return {key: cut(item) for key, item in value.items()}
        if isinstance(value, list):
            return [cut(item) for item in value]
        return value.rpartition("results/")[2] if isinstance(value, str) and "results/" in value else value

    return cut(json.loads(text))


def checkout(*words: object) -> None:
    """Call the checkout's `reslab` in a new process: charts count their ids up."""
    command = [sys.executable, "-m", "reslab", *map(str, words)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)


@pytest.mark.slow
def test_figures_are_those_of_the_checkout(installed):
    for name in ("fig6", "table6"):
        place = installed("figure", name, "--out", f"{name}.svg").strip()
        there = installed.here / f"{name}-there.svg"
        checkout("figure", name, "--out", there)
        assert Path(place).read_bytes() == there.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_report_is_that_of_the_checkout(installed, lang):
    page = Path(installed("report", "--out", f"{lang}.html", "--lang", lang).strip()).read_text(encoding="utf-8")
    there = installed.here / f"{lang}-there.html"
    checkout("report", "--out", there, "--lang", lang)
    assert page == there.read_text(encoding="utf-8")
    studies = sorted(path.parent.name for path in (ROOT / "results").glob("*/study.json"))
    claimed = [name for name in studies if name != "cifar10-tenth"]  # which no claim is judged on
    assert ", ".join(claimed) in page  # whose records these are


def test_it_trains_and_its_kernels_compile(installed):
    how = ("--widths", "16,16,16", "--iterations", "2", "--threads", "1", "--device", "cpu", "--engine", "fused")
    installed("train", "cifar_resnet8", *how, "--out", "run")
    assert json.loads((installed.here / "run" / "run.json").read_text())["settings"]["engine"] == "fused"
    assert json.loads(installed("evaluate", "run", "--json"))[0]["n"] == 500
    assert "cifar_resnet20" in installed("list")


def test_it_describes_a_network(installed):
    from reslab.nets.names import spec_of
    from reslab.show.terminal.walk import describe_text

    assert installed("describe", "cifar_resnet20").strip() == describe_text(spec_of("cifar_resnet20")).strip()
