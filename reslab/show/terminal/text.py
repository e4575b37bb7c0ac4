"""Results as plain text: an evaluation by class, a prediction, a recipe and what the paper leaves open."""

from __future__ import annotations

from typing import Any

from reslab.data.check.finding import Finding, told
from reslab.runs.openchoices import OPEN_BEYOND, OPEN_CHOICES
from reslab.runs.recipe import Recipe
from reslab.show.format import clean, number, quoted
from reslab.show.terminal.evaluated import (
    balanced_lines,
    calibration_lines,
    class_lines,
    confusion_lines,
    picture_lines,
)

NOT_FINITE = "scores are not finite (the loss is not a number); an image with such scores counts as wrong"


def evaluation_text(result: dict[str, Any], most_classes: int = 100) -> str:
    """Return an evaluation (`Evaluation.to_dict`): errors, calibration, a row for each class, confusions.

    Top-5 error is left out for five classes or fewer, as it would always be 0.
    """
    rows = result["per_class"]
    low, high = (number(end, ".2f") for end in result["top1_interval"])
    notes = [NOT_FINITE] if number(result["loss"], "") == "–" else []
    notes += [str(result["note"])] if result.get("note") else []
    found = [Finding.from_dict(finding) for finding in result.get("findings") or ()]
    state = "(imported)" if result["iteration"] is None else f"at iteration {result['iteration']:,}"
    lines = [
        f"{result['model']} {state}, {clean(result['data'])} {result['split']} split, {result['precision']}",
        f"  n            {result['n']:,}",
        f"  top-1 error  {number(result['top1_error'], '.2f', ' %')}   95 % interval {low} to {high}",
        *([f"  top-5 error  {number(result['top5_error'], '.2f', ' %')}"] if len(rows) > 5 else []),
        *balanced_lines(result),
        f"  loss         {number(result['loss'], '.4f')}",
        *calibration_lines(result),
        f"  checkpoint   {clean(result['checkpoint'])}",
        *(f"  data         {clean(note)}" for note in result.get("data_notes") or ()),
        *(f"  {level:11}  {clean(line)}" for level, line in told(found, skipped=True)),
        *(f"  note         {note}" for note in notes),
        *picture_lines(result),
        "",
        *class_lines(rows, most_classes),
        *confusion_lines(result),
    ]
    return "\n".join(lines)


def prediction_text(prediction: dict[str, Any]) -> str:
    """Return a prediction (`Prediction.to_dict`) as a line: file, then classes with their probabilities in percent."""
    shares = zip(prediction["classes"], prediction["probabilities"], strict=True)
    classes = "  ".join(
        f"{quoted(name)} {number(None if share is None else 100 * share, '.1f')} %" for name, share in shares
    )
    return f"{quoted(prediction['file'])}: {classes}"


def recipe_text(recipe: Recipe, about: str = "") -> str:
    """Return every field with its value ("?" marks what the paper leaves open), and a line on each open choice."""
    lines = [line.strip() for line in about.strip().splitlines() if line.strip()]
    values = recipe.to_dict()
    width = max(map(len, values))
    lines.append("")
    for key, value in values.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines.append(f"{'?' if key in OPEN_CHOICES else ' '} {key:{width}}  {shown}")
    lines += ["", "? the paper leaves this open:"]
    lines += [f"  {key:{width}}  {text}" for key, text in OPEN_CHOICES.items()]
    lines += ["", "  and outside the recipe:"]
    lines += [f"  {key:{width}}  {choice}: {text}" for key, (choice, text) in OPEN_BEYOND.items()]
    return "\n".join(lines)
