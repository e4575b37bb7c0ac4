"""Imported weights as plain text: the network, its layout, and what the file does not show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reslab.show.format import clean

MOST = 5  # class names on the terminal


def import_text(model: Mapping[str, Any], folder: Path | None) -> str:
    """Return a model (`TrainedModel.to_dict`) in lines; the last names its folder, or says that none was written."""
    imported = model["origin"]["imported"] or {"layout": "reslab", "notes": [], "assumed": {}}
    switches = "".join(f" {key}={value}" for key, value in model["switches"].items())
    names = ", ".join(map(clean, model["classes"][:MOST])) + (", …" if len(model["classes"]) > MOST else "")
    lines = [
        f"{model['model']}{switches}: {model['parameters']:,} parameters",
        f"  layout   {imported['layout']}",
        *(f"  note     {clean(note)}" for note in imported["notes"]),
        f"  classes  {len(model['classes']):,} ({names})",
    ]
    width = max(map(len, imported["assumed"]), default=0)
    for number, (key, value) in enumerate(imported["assumed"].items()):
        lines.append(f"  {'' if number else 'assumed':8} {key:{width}}  {value}")
    lines.append(f"  folder   {folder}" if folder else "  nothing is written; --out FOLDER writes a model folder")
    return "\n".join(lines)
