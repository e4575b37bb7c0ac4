"""The package's face: what notebooks call and the command line is a thin skin over. Importing it imports no torch."""

from __future__ import annotations

from reslab.calls.networks import build, spec
from reslab.calls.probes import probe
from reslab.calls.runs import RUNS, train
from reslab.calls.scores import evaluate
from reslab.calls.studies import reproduce

__all__ = ["RUNS", "build", "evaluate", "probe", "reproduce", "spec", "train"]
