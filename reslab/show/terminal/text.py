"""Results as plain text: an evaluation by class, a probe, a prediction, a recipe and what the paper leaves open."""

from __future__ import annotations

from typing import Any

from reslab.runs.recipe import OPEN_BEYOND, OPEN_CHOICES, Recipe
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


BN_STATISTICS = {
    "running": "BN by its moving averages",
    "samples": "BN by averages over these samples",
    "none": "no BN",
}


def probe_text(probe: dict[str, Any]) -> str:
    """Return a probe (`Probe.to_dict`): a head, and a table for each measured part."""
    unknown = "(imported)" if probe["checkpoint"] else "in memory"
    state = f"at iteration {probe['iteration']:,}" if probe["iteration"] is not None else unknown
    if probe["iteration"] is None and probe["seed"] is not None:
        state = f"at initialisation, seed {probe['seed']}"
    lines = [
        f"{probe['model']} {state}, the first {probe['n']:,} samples of {clean(probe['data'])} {probe['split']}, "
        f"{BN_STATISTICS[probe['bn']]}",
        *([f"  checkpoint  {clean(probe['checkpoint'])}"] if probe["checkpoint"] else []),
        *(f"  note: {clean(note)}" for note in probe["notes"]),
    ]
    if probe["responses"] is not None:
        rank = {layer: i for i, layer in enumerate(probe["responses_sorted"], start=1)}
        rows = [[r["layer"], r["at"], number(r["std"], ".4g"), str(rank[r["layer"]])] for r in probe["responses"]]
        lines += _table("Layer responses (Fig. 7)", ["layer", "read at", "std", "rank"], rows)
    if probe["gradients"] is not None:
        pairs = zip(probe["activations"], probe["gradients"], strict=True)
        rows = [[a["block"], number(a["rms"], ".4g"), number(g["rms"], ".3e")] for a, g in pairs]
        loss = f"loss {number(probe['loss'], '.4f')} over {probe['gradient_batch']} samples, BN as in training"
        lines += _table(f"Block outputs x ({loss})", ["block", "rms of x", "rms of dL/dx"], rows)
        rows = [
            [x["layer"], x["at"], number(x["activation"], ".4g"), *(number(v, ".3e") for v in slopes)]
            for x, w in zip(probe["layers"], probe["weight_gradients"], strict=True)
            for slopes in [(x["gradient"], w["norm"], w["rms"])]
        ]
        head = ["layer", "x read at", "rms of x", "rms of dL/dx", "‖dL/dW‖", "rms of dL/dW"]
        lines += _table("Layers: their outputs x and weights W", head, rows)
    if probe["residuals"]:
        rows = [[r["block"], r["line"], number(r["ratio"], ".4g")] for r in probe["residuals"]]
        lines += _table("Residual ratios", ["block", "shortcut", "‖F(x)‖/‖x‖"], rows)
    for block in probe["jacobians"] or []:
        rows = [
            [name, *(number(part[key], ".4g") for key in ("min", "median", "max")), f"{part['below']} of {part['n']}"]
            for name, part in (
                ("J_F", block["branch"]),
                ("J_H before the last ReLU", block["before"]),
                ("J_H after it", block["after"]),
            )
            if part is not None
        ]
        title = f"Singular values, {block['block']} at the first sample ({block['outputs']:,} x {block['inputs']:,})"
        lines += _table(title, ["Jacobian", "min", "median", "max", "below 0.1"], rows)
        if block["gap"] is not None:
            shortcut = "I" if block["line"] == "solid" else "J of the shortcut"
            lines.append(
                f"  largest entry of J_H - (J_F + {shortcut}) before the last ReLU: {number(block['gap'], '.1e')}"
            )
        if block["inactive"] is not None:
            lines.append(f"  outputs whose derivative is 0 after the last ReLU: {block['inactive']:,}")
    return "\n".join(lines)


def _table(title: str, head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a title, a head, and rows; the first column is aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in [head, *rows]
    ]
    return ["", title, *lines]


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
