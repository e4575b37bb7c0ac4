"""The room is imported without torch, and without what only some of it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = ["plain", "console", "walk", "charts", "words", "tables", "page", "report", "runpage"]


OTHERS = ["reslab.nets.paper", "reslab.calls.reports"]


@pytest.mark.parametrize("module", [*(f"reslab.show.{m}" for m in MODULES), *OTHERS])
def test_import_is_light(module):
    heavy = "torch altair vl_convert jinja2 rich pandas numpy"
    code = f"import sys, {module}; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pages_and_a_walk_are_made_without_torch():
    code = (
        "import sys; from reslab.show.report import study_page; from reslab.show.runpage import runs_page;"
        "study_page([]); runs_page([]);"
        "from reslab.nets.names import spec_of; from reslab.show.walk import describe_text;"
        "describe_text(spec_of('resnet50'));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
