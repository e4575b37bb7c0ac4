"""All verbs, each a thin skin over `reslab.api`: parse, call, print."""

from __future__ import annotations

from reslab.cli import nets, predictions, recipes, runs, studies
from reslab.cli.app import app

FILES = (nets, runs, predictions, recipes, studies)  # importing them hangs their verbs on `app`
VERBS = tuple(name for name in app if not name.startswith("-"))
for verb in VERBS:
    app[verb].help_format = "markdown"
