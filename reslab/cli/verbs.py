"""All verbs, each a thin skin over `reslab.api`: parse, call, print. A verb's file is imported when it is called."""

from __future__ import annotations

from reslab.cli.app import app

# verb: (file and function, the line that `reslab --help` shows, which imports no file)
VERBS = {
    "list": ("nets:list_", "List the networks, with depth, parameters and multiply-adds."),
    "describe": ("nets:describe", "Walk through a network, layer by layer."),
    "draw": ("nets:draw", "Draw networks side by side (Fig. 3), or two blocks (Fig. 5)."),
    "train": ("runs:train", "Train a network, or resume a run bit for bit."),
    "evaluate": ("runs:evaluate", "Score runs exactly: every sample once, with a 95 % interval."),
    "probe": ("runs:probe", "Look inside a network: responses, gradients, residuals, Jacobians."),
    "predict": ("predictions:predict", "Classify image files."),
    "recipe": ("recipes:recipe", "List the named recipes, or show one."),
    "reproduce": ("studies:reproduce", "Run claims of the notes and the paper, and report on them."),
    "claims": ("studies:claims", "List the claims with their verdicts."),
    "notes": ("notes:notes", "Read the study notes line by line: what is right, and what shows it."),
    "report": ("studies:report", "Write one HTML page of studies or runs."),
    "figure": ("studies:figure", "Draw a figure or table of the paper from records."),
}
for name, (place, line) in VERBS.items():
    app.command(f"reslab.cli.{place}", name=name, help=line)
