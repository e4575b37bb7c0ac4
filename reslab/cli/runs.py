"""Verbs on one run: train, evaluate, probe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from reslab.cli.options import COMMON, Given, Json, command
from reslab.cli.output import print_json, show
from reslab.errors import UserError
from reslab.options.network import Switches
from reslab.options.scoring import EvaluateOptions, ProbeOptions
from reslab.options.training import TrainOptions

TRAIN = ("data", "recipe", "out", "seed", "epochs", "scale", "set", "device")  # and no switch


@command(options=TrainOptions, switches=Switches, common=TRAIN)
def train(
    model: str | None = None,
    /,
    *,
    options: Given,
    config: Annotated[Path | None, Parameter(group=COMMON, help="TOML file of options (default: none)")] = None,
    dry_run: Annotated[
        bool,
        Parameter(
            group=COMMON,
            negative="",
            show_default=False,
            help="check, tell memory and time; write nothing (default: off)",
        ),
    ] = False,
    switches: Given,
) -> None:
    """Train a network, or resume a run bit for bit.

    Parameters
    ----------
    model
        a name (see `reslab list`)
    """
    from reslab.api.runs import train as run
    from reslab.show.terminal.console import teller

    merged: dict[str, Any] = {}
    net: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    if config is not None:
        from reslab.runs.config import read

        merged = read(config)
        net, fields = merged.pop("net", {}), merged.pop("set", {})
    name = model or merged.pop("model", None)
    merged.pop("model", None)
    if name is None:
        raise UserError("train: which model? `reslab train cifar_resnet20`, or model = … in --config")
    if options.keys() & {"iterations", "epochs"}:  # either flag wins over either key of the file
        merged = {k: v for k, v in merged.items() if k not in ("iterations", "epochs")}
    choices = {**merged, **options, "set": {**fields, **options.get("set", {})}, **net, **switches}
    if dry_run:
        from reslab.api.runs import rehearse
        from reslab.show.terminal.rehearsal import lines

        show("\n".join(lines(rehearse(name, **choices).to_dict())))
        return
    with teller() as tell:
        run(name, **choices, tell=tell, command=shlex.join(["reslab", *sys.argv[1:]]))


@command(options=EvaluateOptions)
def evaluate(paths: list[Path], /, *, options: Given, json_: Json = False) -> None:
    """Score runs exactly: every sample of the split once, with a 95 % interval.

    Parameters
    ----------
    paths
        run folders (their newest checkpoint) or step-… folders
    json_
        print JSON: n, top1_error, top5_error, loss, top1_interval, per_class …
    """
    from reslab.api.scores import evaluate as score
    from reslab.show.terminal.text import evaluation_text

    told = [r.to_dict() for r in score(paths, **options)]
    if json_:
        print_json(told)
    else:
        show("\n\n".join(map(evaluation_text, told)))


PROBE = ("only", "at", "samples", "data", "split", "device")


@command(options=ProbeOptions, switches=Switches, common=PROBE)
def probe(source: str, /, *, options: Given, json_: Json = False, switches: Given) -> None:
    """Look inside a network: layer responses (Fig. 7), activations, gradients, residual ratios, block Jacobians.

    Parameters
    ----------
    source
        a run folder (its newest checkpoint), a step-… folder, or a model's name: the net at initialisation
    json_
        print JSON: responses, responses_sorted, activations, gradients, layers, weight_gradients, residuals …
    """
    from reslab.api.probes import probe as look
    from reslab.show.terminal.text import probe_text

    told = look(source, **options, **switches).to_dict()
    if json_:
        print_json(told)
    else:
        show(probe_text(told))
