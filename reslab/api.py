"""The package's face: what notebooks call and the command line is a thin skin over. Importing it imports no torch."""

from __future__ import annotations

from reslab.calls.networks import build, spec
from reslab.calls.pictures import picture
from reslab.calls.probes import probe
from reslab.calls.reports import report
from reslab.calls.runs import RUNS, train
from reslab.calls.scores import evaluate
from reslab.calls.studies import Study, reproduce
from reslab.calls.verdicts import verdicts

__all__ = ["RUNS", "Study", "build", "evaluate", "picture", "probe", "report", "reproduce", "spec", "train", "verdicts"]
