"""Results as plain text: an evaluation with its per-class table, a recipe and what the paper leaves open."""

from __future__ import annotations

from typing import Any

from reslab.show.plain import clean
from reslab.training.recipe import OPEN_CHOICES, Recipe


def evaluation_text(result: dict[str, Any], most_classes: int = 100) -> str:
    """One evaluation (`Evaluation.to_dict`): errors in percent, the interval, loss, n, and a row for each class."""
    low, high = result["top1_interval"]
    lines = [
        f"{result['model']} at iteration {result['iteration']:,}, {clean(result['data'])} {result['split']} split, "
        f"{result['precision']}",
        f"  n            {result['n']:,}",
        f"  top-1 error  {result['top1_error']:.2f} %   95 % interval {low:.2f} to {high:.2f}",
        f"  top-5 error  {result['top5_error']:.2f} %",
        f"  loss         {result['loss']:.4f}",
        f"  checkpoint   {clean(result['checkpoint'])}",
        "",
    ]
    rows = result["per_class"]
    width = max(len("class"), *(len(clean(r["class"])) for r in rows[:most_classes]))
    lines.append(f"  {'class':{width}}      n   wrong    error")
    for row in rows[:most_classes]:
        error = "     –  " if row["error"] is None else f"{row['error']:6.2f} %"
        lines.append(f"  {clean(row['class']):{width}} {row['n']:6,} {row['wrong']:7,} {error}")
    if len(rows) > most_classes:
        lines.append(f"  … and {len(rows) - most_classes} more classes; --json gives them all")
    return "\n".join(lines)


def recipe_text(recipe: Recipe, about: str = "") -> str:
    """Every field with its value; a mark before those that the paper leaves open, and what it is silent about."""
    lines = [line.strip() for line in about.strip().splitlines() if line.strip()]
    values = recipe.to_dict()
    width = max(map(len, values))
    lines.append("")
    for key, value in values.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines.append(f"{'?' if key in OPEN_CHOICES else ' '} {key:{width}}  {shown}")
    lines += ["", "? the paper leaves this open:"]
    lines += [f"  {key:{width}}  {text}" for key, text in OPEN_CHOICES.items()]
    return "\n".join(lines)
