"""The rows of a collection, by name; a row gives entries: name → a string that is equal if the bits are."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.golden import data, interface, nets, records, resume, scores, training
from benchmarks.golden.collection import Collection
from benchmarks.golden.values import Entries

ROWS: dict[str, Callable[[Collection], Entries]] = {
    "weights": nets.weights,
    "plans": nets.plans,
    "orders": data.orders,
    "batches": data.batches,
    "traces": training.traces,
    "resume": resume.resume,
    "scores": scores.scores,
    "probes": scores.probes,
    "claims": records.claims,
    "checkpoints": records.checkpoints,
    "measurements": records.measurements,
    "interface": interface.interface,
}
