"""What must be instant imports no torch; what Python calls needs nothing of the command line's. Fresh interpreters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from house import ROOT, house, modules

from benchmarks.files import DESIGN

FREE = [name for name in modules(ROOT) if not house(DESIGN.read_text(encoding="utf-8")).may_use_torch(name)]


def python(source: str, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source, *words], capture_output=True, text=True, timeout=120, cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


LOADED = """
import sys, json
kept = [m for m in sys.modules if "." not in m or m.startswith("reslab.") or m in ("torch._dynamo", "torch._inductor")]
print("\\n" + json.dumps(kept))
"""


def loaded(source: str, *words: str) -> set[str]:
    """Modules that stand in sys.modules after `source` has run: reslab's own, and the top-level ones of others."""
    done = python(f"{source}\n{LOADED}", *words)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


COMMAND = "import sys; from reslab.cli.main import main; sys.argv = ['reslab', *sys.argv[1:]]; assert main() == 0"


@pytest.mark.slow
def test_torch_would_be_seen():
    assert "torch" in loaded("import reslab.nets.model")
    assert "torch._dynamo" in loaded("import torch; torch.use_deterministic_algorithms(True)")


ONE_BY_ONE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if {"torch", "torchvision"} & sys.modules.keys():
        sys.exit(f"{name} imports torch")
print(len(sys.argv) - 1)
"""


def test_what_docs_design_does_not_mark_imports_no_torch():
    names = [name for name in FREE if name != "reslab.__main__"]
    assert {"reslab", "reslab.nets.plan", "reslab.runs.runlog", "reslab.api.runs", "reslab.cli.verbs"} <= {*names}
    done = python(ONE_BY_ONE, *names)
    assert (done.stdout.strip(), done.returncode) == (str(len(names)), 0), done.stderr


def test_an_import_of_torch_is_reported():
    assert "reslab.nets.model imports torch" in python(ONE_BY_ONE, "reslab.nets.plan", "reslab.nets.model").stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["list"],
        ["list", "cifar_*", "--json"],
        ["describe", "resnet152"],
        ["describe", "cifar_resnet110", "--json"],
        ["draw", "--blocks"],
        ["recipe", "list"],
        ["recipe", "show", "paper-cifar"],
    ],
    ids=" ".join,
)
def test_a_command_without_torch(words):
    assert not {"torch", "torchvision"} & loaded(COMMAND, *words)


def test_a_command_loads_what_it_needs():
    """The list of verbs loads no Markdown parser, `describe` no claims: each would cost a third of the time."""
    assert {"rich"} == {"rich", "markdown_it"} & loaded(COMMAND, "--help")
    described = loaded(COMMAND, "describe", "resnet152")
    assert "reslab.nets.plan" in described
    assert {name for name in described if name.startswith("reslab.claims")} == {"reslab.claims", "reslab.claims.text"}


def test_a_run_starts_without_torchs_compiler_and_scikit_learn(tmp_path):
    """Two thirds of a small run's start: its optimizers, its determinism or the digits' source would bring them in."""
    words = ("train", "cifar_resnet8", "--recipe", "digits-smoke", "--device", "cpu", "--out", str(tmp_path / "run"))
    heavy = {"torch._dynamo", "torch._inductor", "torchvision", "sklearn", "scipy"}
    assert not heavy & loaded(COMMAND, *words)
    assert not heavy & loaded(COMMAND, "evaluate", str(tmp_path / "run"), "--device", "cpu")


FORBIDDING = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cyclopts", "rich", "altair"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Refuse())
"""


def test_the_refusal_refuses():
    assert "rich is not there" in python(f"{FORBIDDING}import rich").stderr


def test_python_needs_neither_cyclopts_nor_rich_nor_altair(tmp_path):
    """Not only to import: to describe, train, evaluate."""
    source = """
import reslab
assert reslab.spec("resnet50", shortcut="C").shortcut == "C"
how = dict(recipe="digits-smoke", iterations=1, device="cpu", threads=1)
record = reslab.train("cifar_resnet8", "digits", out="run", **how)
assert record.finished
print(reslab.evaluate("run", device="cpu", threads=1))
"""
    done = python(FORBIDDING + source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[Evaluation(cifar_resnet8, test: ")
