"""`audit`: hold a network, a file of weights, a run or a module of the user's own code against the paper."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.api.models import opened
from reslab.api.networks import spec_of_word
from reslab.errors import ReslabError, UserError
from reslab.nets.spec import Spec
from reslab.options.auditing import AuditOptions
from reslab.runs.runlog import RUN

if TYPE_CHECKING:
    from torch.nn import Module

    from reslab.conformance.audit import Audit
    from reslab.models.trained import TrainedModel

CODE = "python:"  # of a target that is an object of the user's own code


@takes(AuditOptions)
def audit(target: str | Path | Spec | Module | TrainedModel, *, options: AuditOptions, **switches: Any) -> Audit:
    """Return how a network departs from one of the paper, item by item; the network is traced, not read by names.

    target     a model's name (with `switches` as in `build`) or `Spec`; a run, checkpoint or model folder, or weights
               as `load` takes them; an `nn.Module`; or "python:package.module:object", a module or a function without
               arguments that returns one, whose code is run. An existing path takes precedence over a name
    {options}
    Of a run the recipe is compared as well. Raises UserError if the target is no network for images, if its code
    raises an error, or if the reference or an expected item is unknown.
    """
    from torch import nn

    from reslab.conformance.audit import audit as audited
    from reslab.conformance.recipe import audit_recipe
    from reslab.models.trained import TrainedModel
    from reslab.nets.model import build

    run = None
    if isinstance(target, nn.Module):
        module = target
    elif isinstance(target, TrainedModel):
        module = target.network
    elif isinstance(target, Spec):
        module = build(target)
    elif isinstance(target, str) and target.startswith(CODE):
        module = _object(target)
    elif _is_place(target):
        model = opened(target)
        module, run = model.network, _recipe(Path(target))
    else:
        absent = "no run or file of that name here"
        module = build(spec_of_word(str(target), switches, absent, Path(str(target))))
        switches = {}
    if switches:
        raise UserError(f"audit: {', '.join(switches)} given with a network; give them with a model's name")
    result = audited(module, options.reference)
    if run is not None:
        result = result.with_rows(audit_recipe(run, model.spec))
    items = [row.item for row in result.rows]
    for item in options.expect:
        if item not in items:
            raise UserError(f"--expect {item}: no such item; there are {', '.join(items)}")
    return result


def _is_place(target: str | Path) -> bool:
    """Return whether a target is a path or a name of somebody's weights."""
    from reslab.convert.sources import PREFIXES

    text = str(target)
    try:
        exists = os.path.lexists(text)
    except (OSError, ValueError):  # too long, or with a null byte
        exists = False
    return exists or isinstance(target, Path) or os.sep in text or text.startswith(("~", ".", *PREFIXES))


def _recipe(folder: Path) -> Any:
    """Return the recipe of a run folder, None for anything else."""
    from reslab.runs import runlog
    from reslab.runs.recipe import Recipe

    run = folder if (folder / RUN).is_file() else folder.parent.parent
    if not (run / RUN).is_file():
        return None
    return Recipe.from_dict(runlog.read(run).run["recipe"])


def _object(target: str) -> Module:
    """Return the module of "python:package.module:object". Raises UserError if its code raises an error."""
    from torch import nn

    module_name, _, name = target.removeprefix(CODE).partition(":")
    if not module_name or not name:
        raise UserError(f"{target}: write {CODE}package.module:object")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        value = importlib.import_module(module_name)
        for part in name.split("."):
            value = getattr(value, part)
        if not isinstance(value, nn.Module) and callable(value):
            value = value()
    except (ReslabError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the user's own code may raise anything, SystemExit included
        text = " ".join(str(error).split())
        raise UserError(f"{target}: raised {type(error).__name__}{f': {text}' if text else ''}") from error
    if not isinstance(value, nn.Module):
        raise UserError(f"{target}: is a {type(value).__name__}, no torch.nn.Module and no function that returns one")
    return value
