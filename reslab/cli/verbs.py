"""All verbs, each a thin layer over `reslab.api`: parse, call, print. A verb's file is imported when it is called."""

from __future__ import annotations

from typing import NamedTuple

from reslab.cli.app import app


class Verb(NamedTuple):
    """The start of a help page, known without an import of the verb's file.

    place     file and function
    line      what the verb does, also shown by `reslab --help`
    example   the shortest command
    result    what the user gets
    """

    place: str
    line: str
    example: str
    result: str


VERBS = {
    "list": Verb(
        "nets:list_",
        "List the networks, with depth, parameters and multiply-adds.",
        "reslab list 'cifar_*'",
        "Prints a table, one network a line.",
    ),
    "describe": Verb(
        "nets:describe",
        "Describe a network stage by stage, from image to softmax.",
        "reslab describe resnet50",
        "Prints channels, map sizes and costs, and the paper's figures beside ours.",
    ),
    "draw": Verb(
        "nets:draw",
        "Draw networks side by side (Fig. 3), or two blocks (Fig. 5).",
        "reslab draw resnet18",
        "Writes resnet18.svg.",
    ),
    "check": Verb(
        "checking:check",
        "Examine images before training on them.",
        "reslab check photos",
        "Prints what was found, faults first; the status is 1 if training would go wrong.",
    ),
    "train": Verb(
        "runs:train",
        "Train a network, or resume a run bit for bit.",
        "reslab train cifar_resnet20",
        "Writes a run folder with checkpoints and records. The same command resumes.",
    ),
    "evaluate": Verb(
        "runs:evaluate",
        "Score runs: error and loss over every sample of a split.",
        "reslab evaluate runs/RUN",
        "Prints the error with its 95 % interval, and each class.",
    ),
    "probe": Verb(
        "runs:probe",
        "Measure a network: responses, gradients, residuals, Jacobians.",
        "reslab probe cifar_resnet20",
        "Prints a table, one layer or block a line.",
    ),
    "audit": Verb(
        "auditing:audit",
        "Hold any network against the paper, item by item.",
        "reslab audit resnet50.pth",
        "Prints what the paper says and what was found; the status is 1 if something departs.",
    ),
    "predict": Verb(
        "predictions:predict",
        "Classify image files.",
        "reslab predict runs/RUN photo.jpg",
        "Prints a line per file, most probable class first: FILE: CLASS PERCENT %  …",
    ),
    "import": Verb(
        "converting:import_",
        "Read somebody else's weights of a residual network.",
        "reslab import resnet50.pth --out models/resnet50",
        "Writes a model folder, and prints what the file does not show and is assumed.",
    ),
    "export": Verb(
        "converting:export",
        "Write a model for other libraries and runtimes.",
        "reslab export runs/RUN --to torchvision",
        "Writes a file once the other side has given the same answers.",
    ),
    "recipe": Verb(
        "recipes:recipe",
        "List the named recipes, or show one.",
        "reslab recipe show paper-cifar",
        "Prints every field, its value, and what the paper leaves open.",
    ),
    "reproduce": Verb(
        "studies:reproduce",
        "Run claims of the paper and the notes, and judge them.",
        "reslab reproduce degradation",
        "Writes one HTML report and prints its path last.",
    ),
    "claims": Verb(
        "studies:claims",
        "List the claims with their verdicts, or show some in full.",
        "reslab claims C3",
        "Prints the claim, its verdict, the figures and the command behind them.",
    ),
    "notes": Verb(
        "notes:notes",
        "Read the study notes: what is right, and what shows it.",
        "reslab notes 002.3",
        "Prints each line with its translation, verdict, picture and command.",
    ),
    "report": Verb(
        "studies:report",
        "Write one HTML page of studies or runs.",
        "reslab report runs/RUN",
        "Writes report.html and prints its path last.",
    ),
    "figure": Verb(
        "studies:figure",
        "Draw a figure or table of the paper from records.",
        "reslab figure fig6",
        "Writes fig6.svg.",
    ),
    "doctor": Verb(
        "health:doctor",
        "Check this machine and installation.",
        "reslab doctor",
        "Prints whether reslab can train here, what is broken, and what `auto` chooses and why.",
    ),
}
for place, (name, verb) in enumerate(VERBS.items()):
    help_text = f"{verb.line}\n\nExample: {verb.example}\n{verb.result}"
    app.command(f"reslab.cli.{verb.place}", name=name, help=help_text, sort_key=place)
