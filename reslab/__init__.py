"""reslab: build, train, examine and trust residual networks (He, Zhang, Ren, Sun 2015).

`reslab.build("resnet50", classes=10)`, `reslab.spec(...)`, `reslab.train(...)`, `reslab.evaluate(...)`,
`reslab.predict(...)`,
`reslab.probe(...)`, `reslab.reproduce(...)`, `reslab.verdicts(...)`, `reslab.report(...)`, `reslab.picture(...)`.
Importing this package imports no torch; the functions do when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reslab.version import VERSION

__version__ = VERSION
__all__ = ["build", "evaluate", "picture", "predict", "probe", "report", "reproduce", "spec", "train", "verdicts"]

if TYPE_CHECKING:
    from reslab.api import build, evaluate, picture, predict, probe, report, reproduce, spec, train, verdicts


def __getattr__(name: str) -> Any:
    if name in __all__:
        from reslab import api

        return getattr(api, name)
    raise AttributeError(f"module 'reslab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
