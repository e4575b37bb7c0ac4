"""The estimate of `reslab train … --dry-run` as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reslab.engines.memory import shown
from reslab.show.format import clean, duration


def lines(rehearsal: Mapping[str, Any], runs: int | None = None, left: int = 0) -> list[str]:
    """Return the figures of a rehearsal (`Rehearsal.to_dict()`), a line each.

    runs, left   number of equal runs, one after another, and of those that are not finished, of which the rehearsed one
                 is one; None: it is alone
    """
    sizes = ", ".join(f"{name} {count:,}" for name, count in rehearsal["sizes"].items())
    begins = f"from iteration {rehearsal['start']:,} to" if rehearsal["start"] else "for"
    seconds = rehearsal["seconds"]
    update, batch = 1e3 * rehearsal["update"], 1e3 * rehearsal["batch"]
    free = f"; {shown(rehearsal['free'])} are free" if rehearsal["free"] is not None else ""
    averaged = f" and {rehearsal['averaged']:,} for BN statistics" if rehearsal["averaged"] else ""
    figures = {
        "settings": rehearsal["settings"]["why"],
        "data": f"{sizes} images",
        "length": f"{begins} {rehearsal['iterations']:,} iterations, {rehearsal['epochs']:.1f} epochs in all",
        "an update": f"{update:,.0f} ms, its batch {batch:,.1f} ms",
        "evaluation": f"{rehearsal['evaluated']:,} images{averaged}, {1e3 * rehearsal['image']:.2f} ms each",
        "memory": f"about {shown(rehearsal['memory'])} at the peak{free}",
        "time": f"about {duration(seconds)} at this pace",
        **({f"{runs:,} run{'s' * (runs > 1)}": _all_runs(runs, left, seconds)} if runs else {}),
        "folder": f"{rehearsal['out']}: not written by a dry run",
    }
    if rehearsal["init"]:
        figures["weights"] = clean(rehearsal["init"])
    if rehearsal["warning"]:
        figures["warning"] = rehearsal["warning"]
    found = (f"  {clean(line)}" for line in rehearsal["findings"])
    return [rehearsal["name"], *(f"  {key:<11} {value}" for key, value in figures.items()), *found]


def _all_runs(runs: int, left: int, seconds: float) -> str:
    if not left:
        return "finished already"
    finished = f"; {runs - left:,} finished already" if left < runs else ""
    return f"about {duration(left * seconds)}, one after another{finished}"
