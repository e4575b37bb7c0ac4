"""Examine the machine and the installation, and say in one line whether reslab can train here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from reslab.checkup import code, hardware, inputs, packages, places, surroundings
from reslab.checkup.guard import attempted, found
from reslab.checkup.jobs import choices
from reslab.checkup.result import FAULT, Checkup, Choice, Finding
from reslab.engines import host

Check = Callable[[], Iterable[Finding]]

NEEDS_PACKAGES = {"threads", "gpu", "kernels", "formats", "sets"}  # checks of what torch, numpy and Pillow can do


def checkup(out: Path) -> Checkup:
    """Return what this machine and installation have, and what `auto` chooses; `out` is the folder of the runs.

    Compiles the kernels that are not in the cache. Raises nothing: whatever is broken is a finding.
    """
    variables = found("variables", surroundings.variables)  # first: importing torch sets some
    sections = {"packages": found("packages", packages.packages)}
    has_packages = not any(f.prevents for f in sections["packages"])
    checks: dict[str, dict[str, Check]] = {
        "machine": {
            "system": hardware.system, "cpu": lambda: hardware.cpu(has_packages), "cores": hardware.cores,
            "threads": hardware.threads, "memory": hardware.memory, "gpu": hardware.gpu,
        },
        "places": {
            "runs": lambda: places.runs(out), "cache": places.cache, "temp": places.temporary,
            "shared": lambda: places.shared_memory(host.cores()),
        },
        "code": {"compiler": code.compiler, "kernels": code.kernels},
        "input": {"formats": inputs.formats, "sets": inputs.sets},
        "surroundings": {
            "output": surroundings.terminal, "fonts": surroundings.fonts, "variables": lambda: variables,
            "RESLAB_": inputs.unread_variables,
        },
    }  # fmt: skip
    for section, entries in checks.items():
        sections[section] = tuple(
            finding
            for subject, check in entries.items()
            if has_packages or subject not in NEEDS_PACKAGES
            for finding in found(subject, check)
        )
    chosen: tuple[Choice, ...] = ()
    if has_packages:
        result, problem = attempted(choices)
        chosen = result or ()
        if chosen and all(choice.obstacle for choice in chosen):
            text = f"not even the smallest typical net fits into memory: {chosen[0].obstacle}"
            sections["auto"] = (Finding("memory", FAULT, text, prevents=True),)
        if problem:
            sections["auto"] = (Finding("auto", FAULT, f"cannot choose: {problem}", prevents=True),)
    return Checkup(_answer(sections, chosen), sections, chosen)


def _answer(sections: Mapping[str, tuple[Finding, ...]], chosen: tuple[Choice, ...]) -> str:
    faults = [finding for findings in sections.values() for finding in findings if finding.status == FAULT]
    obstacles = [finding for finding in faults if finding.prevents]
    if obstacles:
        return f"reslab cannot train here: {obstacles[0].subject}: {obstacles[0].line}."
    fitting = [choice for choice in chosen if not choice.obstacle] or list(chosen)
    where = ""
    if fitting:
        subject = "cpu" if fitting[0].device == "cpu" else "gpu 0"
        name = next((f.values.get("name") for f in sections["machine"] if f.subject == subject), fitting[0].device)
        engines = "; ".join(f"{c.job.split()[0]} in {c.precision} with {c.engine}" for c in fitting)
        threads = f"{fitting[0].threads} thread{'s' if fitting[0].threads > 1 else ''}"
        where = f": {name}, {threads}; {engines}"
    return f"reslab can train here{where}."
