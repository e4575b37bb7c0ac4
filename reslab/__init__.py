"""reslab: build, train, examine and trust residual networks (He, Zhang, Ren, Sun 2015).

`reslab.build("resnet50", classes=10)`, `reslab.spec(...)`, `reslab.train(...)`, `reslab.train_seeds(...)`,
`reslab.load(...)`, `reslab.import_weights(...)`, `reslab.export(...)`, `reslab.audit(...)`, `reslab.check(...)`,
`reslab.classifier(...)`, `reslab.predict(...)`, `reslab.explain(...)`, `reslab.evaluate(...)`, `reslab.probe(...)`,
`reslab.reproduce(...)`, `reslab.verdicts(...)`, `reslab.notes(...)`, `reslab.report(...)`, `reslab.picture(...)`,
`reslab.doctor()`. Importing this package imports no torch; the functions do when they are called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reslab.version import VERSION

if TYPE_CHECKING:
    from reslab.api.audits import audit
    from reslab.api.checking import check
    from reslab.api.doctor import doctor
    from reslab.api.explanations import explain
    from reslab.api.models import classifier, export, import_weights, load
    from reslab.api.networks import build, spec
    from reslab.api.notes import notes
    from reslab.api.pictures import picture
    from reslab.api.predictions import predict
    from reslab.api.probes import probe
    from reslab.api.reports import report
    from reslab.api.runs import train
    from reslab.api.scores import evaluate
    from reslab.api.seeds import train_seeds
    from reslab.api.studies import reproduce
    from reslab.api.verdicts import verdicts

__version__ = VERSION
__all__ = [
    "audit", "build", "check", "classifier", "doctor", "evaluate", "explain", "export", "import_weights", "load",
    "notes", "picture", "predict", "probe", "report", "reproduce", "spec", "train", "train_seeds", "verdicts",
]  # fmt: skip

# The file of reslab/api in which a public name is defined; it is imported when the name is first used, so `describe`
# does not import the claims.
_FILES = {
    "audit": "audits", "build": "networks", "check": "checking", "classifier": "models", "doctor": "doctor",
    "evaluate": "scores",
    "explain": "explanations", "export": "models",
    "import_weights": "models", "load": "models", "notes": "notes", "picture": "pictures", "predict": "predictions",
    "probe": "probes", "report": "reports", "reproduce": "studies", "spec": "networks", "train": "runs",
    "train_seeds": "seeds",
    "verdicts": "verdicts",
}  # fmt: skip


if not TYPE_CHECKING:  # with `__getattr__` a type checker would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _FILES:
            raise AttributeError(f"module 'reslab' has no attribute {name!r}")
        return getattr(import_module(f"reslab.api.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return ["__version__", *__all__]
