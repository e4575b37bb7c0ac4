"""What a run would take, as lines: `reslab train … --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reslab.engines.memory import shown
from reslab.show.format import duration


def lines(found: Mapping[str, Any]) -> list[str]:
    """The figures of a rehearsal (`Rehearsal.to_dict()`), a line each."""
    sizes = ", ".join(f"{name} {count:,}" for name, count in found["sizes"].items())
    begins = f"from iteration {found['start']:,} to" if found["start"] else "for"
    update, batch = 1e3 * found["update"], 1e3 * found["batch"]
    free = f"; {shown(found['free'])} are free" if found["free"] is not None else ""
    told = {
        "settings": found["settings"]["why"],
        "data": f"{sizes} images",
        "length": f"{begins} {found['iterations']:,} iterations, {found['epochs']:.1f} epochs in all",
        "an update": f"{update:,.0f} ms, its batch {batch:,.1f} ms",
        "evaluation": f"{found['evaluated']:,} images, {1e3 * found['image']:.2f} ms each",
        "memory": f"about {shown(found['memory'])} at the peak{free}",
        "time": f"about {duration(found['seconds'])} at this pace",
        "folder": f"{found['out']}: nothing is written by a dry run",
    }
    if found["warning"]:
        told["warning"] = found["warning"]
    return [found["name"], *(f"  {key:<11} {value}" for key, value in told.items())]
