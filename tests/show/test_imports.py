"""The room is imported without torch, and without what only some of it needs."""

from __future__ import annotations

import subprocess
import sys

from house import ROOT, modules

MODULES = [
    *(name for name in modules(ROOT) if name.startswith("reslab.show.")),
    "reslab.nets.paper",
    "reslab.api.reports",
]


ONE_BY_ONE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if heavy := {"torch", "altair", "vl_convert", "jinja2", "rich", "pandas", "numpy"} & sys.modules.keys():
        sys.exit(f"{name} imports {heavy}")
"""


def test_imports_are_light():
    assert len(MODULES) > 30
    done = subprocess.run([sys.executable, "-c", ONE_BY_ONE, *MODULES], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)


def test_pages_and_a_walk_are_made_without_torch():
    code = (
        "import sys; from reslab.show.pages.report import study_page; from reslab.show.pages.runpage import runs_page;"
        "study_page([]); runs_page([]);"
        "from reslab.nets.names import spec_of; from reslab.show.terminal.walk import describe_text;"
        "describe_text(spec_of('resnet50'));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
