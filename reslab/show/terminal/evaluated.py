"""Parts of an evaluation as plain text: calibration, the table of classes, confusions, and McNemar's test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reslab.show.format import clean, number
from reslab.show.words import wide

MOST_COLUMNS = 20  # classes of a confusion matrix in the terminal; with more, the largest confusions are listed
LONGEST = 24  # columns of a class name in it
MOST_PAIRS = 10


def balanced_lines(result: dict[str, Any]) -> list[str]:
    """Return the line of the balanced error, if classes have different numbers of samples; else it is the error."""
    counts = {row["n"] for row in result["per_class"]}
    shown = number(result.get("balanced_error"), ".2f", " %")
    return [f"  balanced     {shown}   mean over the classes"] if len(counts) > 1 else []


def calibration_lines(result: dict[str, Any]) -> list[str]:
    """Return the lines of the expected calibration error and of the temperature, if there are answers."""
    found = result.get("calibration")
    if found is None:
        return []
    error = number(found["error"], ".2f", " %")
    lines = [f"  calibration  {error}   expected calibration error, {len(found['bins'])} equal bins of confidence"]
    fitted = found["temperature"]
    if fitted is not None and fitted["value"] is None:
        lines.append(f"  temperature  not fitted: {clean(fitted['reason'])}")
    elif fitted is not None:
        where = " (the scored images)" if result["split"] == fitted["fitted_on"] else ""
        lines.append(
            f"  temperature  {fitted['value']:.3f}, fitted on {fitted['n']:,} images of {fitted['fitted_on']}{where}; "
            f"calibration error {number(fitted['error'], '.2f', ' %')} with it"
        )
    return lines


def picture_lines(result: dict[str, Any]) -> list[str]:
    """Return the line of the pictures that were written."""
    paths = [Path(path) for path in result.get("pictures") or ()]
    if not paths:
        return []
    return [f"  pictures     {clean(paths[0].parent)}: {', '.join(path.name for path in paths)}"]


def class_lines(rows: Sequence[dict[str, Any]], most: int) -> list[str]:
    """Return the table of at most `most` classes: samples, wrong, error, precision, recall."""
    width = max(len("class"), *(wide(clean(row["class"])) for row in rows[:most]))
    lines = [f"  {'class':{width}}      n   wrong    error  precision   recall"]
    for row in rows[:most]:
        shares = (row[key] for key in ("error", "precision", "recall"))
        error, precision, recall = ("     –  " if share is None else f"{share:6.2f} %" for share in shares)
        name = padded(clean(row["class"]), width)
        lines.append(f"  {name} {row['n']:6,} {row['wrong']:7,} {error}   {precision} {recall}")
    if len(rows) > most:
        lines.append(f"  … and {len(rows) - most} more classes; --json gives them all")
    return lines


def confusion_lines(result: dict[str, Any]) -> list[str]:
    """Return the confusion matrix, or the largest confusions of many classes; nothing if nothing is confused."""
    if not result.get("largest_confusions"):
        return []
    matrix = result["confusion"]
    if matrix is not None and len(matrix) <= MOST_COLUMNS:
        left_out = ["  in no column: images without finite scores"] if result["unfit"] else []
        return ["", *_matrix([clean(row["class"]) for row in result["per_class"]], matrix), *left_out]
    pairs = [
        f"  {clean(pair['true'])} → {clean(pair['predicted'])}  {pair['n']:,}"
        for pair in result["largest_confusions"][:MOST_PAIRS]
    ]
    return ["", "  largest confusions (true → predicted, images)", *pairs]


def _matrix(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[str]:
    """Return a row for each true class; columns have the class's name if all are short, else its number."""
    digits = max(len(str(n)) for row in matrix for n in row)
    cell = max(digits, 3) + 1
    short = [_shortened(name) for name in names]
    heads = list(names)
    if max(map(wide, names)) >= cell:
        heads = [str(number) for number in range(len(names))]
        short = [f"{number:>{len(heads[-1])}} {name}" for number, name in enumerate(short)]
    width = max(len("true"), *map(wide, short))
    head_row = "".join(" " * (cell - wide(head)) + head for head in heads)
    lines = [f"  {'true':{width}}  predicted", " " * (width + 2) + head_row]
    for name, row in zip(short, matrix, strict=True):
        lines.append(f"  {padded(name, width)}{''.join((str(n) if n else '.').rjust(cell) for n in row)}")
    return lines


def _shortened(name: str) -> str:
    if wide(name) <= LONGEST:
        return name
    while wide(name) >= LONGEST:
        name = name[:-1]
    return f"{name}…"


def padded(text: str, width: int) -> str:
    """Return the text with spaces up to `width` columns; a Korean letter takes two."""
    return text + " " * (width - wide(text))


def comparison_text(results: Sequence[dict[str, Any]]) -> list[str]:
    """Return one text with a line for each later result: McNemar's exact test against the first; [] for one result."""
    lines = []
    for place, result in enumerate(results[1:], 2):
        found = result["compared_with_first"]
        begin = f"{place} ({clean(result['model'])}) against 1: "
        if found is None:
            lines.append(f"{begin}not compared, as they were scored on other images")
            continue
        lines.append(
            f"{begin}{found['only_this_wrong']:,} images wrong here alone, {found['only_first_wrong']:,} there alone; "
            f"McNemar's exact test p = {found['p_value']:.2g}"
        )
    return ["\n".join(lines)] if lines else []
