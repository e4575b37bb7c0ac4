"""The package's face: what notebooks call and the command line is a thin skin over. Importing it imports no torch.

Each name is fetched from its file in `calls` when it is first asked for: who describes a network loads no claims.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reslab.calls.networks import build, spec
    from reslab.calls.pictures import picture
    from reslab.calls.predictions import predict
    from reslab.calls.probes import probe
    from reslab.calls.reports import report
    from reslab.calls.runs import RUNS, rehearse, train
    from reslab.calls.scores import evaluate
    from reslab.calls.studies import Study, reproduce
    from reslab.calls.verdicts import verdicts

__all__ = [
    "RUNS", "Study", "build", "evaluate", "picture", "predict", "probe", "rehearse", "report", "reproduce", "spec",
    "train", "verdicts",
]  # fmt: skip

_FILES = {
    "RUNS": "runs", "Study": "studies", "build": "networks", "evaluate": "scores", "picture": "pictures",
    "predict": "predictions", "probe": "probes", "rehearse": "runs", "report": "reports", "reproduce": "studies",
    "spec": "networks", "train": "runs", "verdicts": "verdicts",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'reslab.api' has no attribute {name!r}")
    return getattr(import_module(f"reslab.calls.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
