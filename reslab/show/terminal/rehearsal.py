"""The estimate of `reslab train … --dry-run` as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reslab.engines.memory import shown
from reslab.show.format import clean, duration


def lines(rehearsal: Mapping[str, Any], study: Mapping[str, Any] | None = None) -> list[str]:
    """Return the figures of a rehearsal (`Rehearsal.to_dict()`), a line each.

    study   all runs, of which this is one (`SeedsRehearsal.to_dict()`); None: it is alone
    """
    sizes = ", ".join(f"{name} {count:,}" for name, count in rehearsal["sizes"].items())
    begins = f"from iteration {rehearsal['start']:,} to" if rehearsal["start"] else "for"
    seconds = rehearsal["seconds"]
    update, batch = 1e3 * rehearsal["update"], 1e3 * rehearsal["batch"]
    free = f"; {shown(rehearsal['free'])} are free" if rehearsal["free"] is not None else ""
    averaged = f" and {rehearsal['averaged']:,} for BN statistics" if rehearsal["averaged"] else ""
    together, each = "", ""
    if (ranks := rehearsal["ranks"]) > 1:
        together, each = f" on {ranks} processes together", " in each process"
    figures = {
        "settings": rehearsal["settings"]["why"],
        "data": f"{sizes} images",
        "length": f"{begins} {rehearsal['iterations']:,} iterations, {rehearsal['epochs']:.1f} epochs in all",
        "an update": f"{update:,.0f} ms{together}, its batch {batch:,.1f} ms",
        "evaluation": f"{rehearsal['evaluated']:,} images{averaged}, {1e3 * rehearsal['image']:.2f} ms each",
        "memory": f"about {shown(rehearsal['memory'])} at the peak{each}{free}",
        "time": f"about {duration(seconds)} at this pace",
        **({f"{study['runs']:,} run{'s' * (study['runs'] > 1)}": _all_runs(study)} if study else {}),
        "folder": f"{rehearsal['out']}: not written by a dry run",
    }
    if rehearsal["init"]:
        figures["weights"] = clean(rehearsal["init"])
    if rehearsal["warning"]:
        figures["warning"] = rehearsal["warning"]
    found = (f"  {clean(line)}" for line in rehearsal["findings"])
    return [rehearsal["name"], *(f"  {key:<11} {value}" for key, value in figures.items()), *found]


def _all_runs(study: Mapping[str, Any]) -> str:
    if not study["left"]:
        return "finished already"
    done = study["runs"] - study["left"]
    parallel = study["parallel"]
    together = "one after another" if parallel == 1 else f"{parallel} at a time"
    time = f"about {duration(study['seconds'])}"
    time += " in all, shared among the machines of the cluster" if parallel is None else f", {together}"
    return f"{time}; {done:,} finished already" if done else time
