"""Verbs on one run: train, evaluate, probe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from reslab.cli.options import COMMON, Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.errors import RunError, UserError
from reslab.options.network import Switches
from reslab.options.scoring import EvaluateOptions, ProbeOptions
from reslab.options.training import OF_MANY_RUNS, SeedsOptions

TRAIN = ("data", "recipe", "out", "seed", "epochs", "set", "device")  # switches are all on --help-all


@command(options=SeedsOptions, switches=Switches, common=TRAIN)
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
            help="estimate memory and time; write nothing (default: off)",
        ),
    ] = False,
    switches: Given,
) -> None:
    """Train a network, or resume a run bit for bit.

    Parameters
    ----------
    model
        a name from `reslab list`; with --init-from it may be left out
    """
    from reslab.api import runs, seeds
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
    if name is None and options.get("init_from", merged.get("init_from")) is None:
        raise UserError(
            "train: which model? `reslab train cifar_resnet20`, or --init-from RUN, or model = … in --config"
        )
    if options.keys() & {"iterations", "epochs"}:  # either flag wins over either key of the file
        merged = {k: v for k, v in merged.items() if k not in ("iterations", "epochs")}
    choices = {**merged, **options, "set": {**fields, **options.get("set", {})}, **net, **switches}
    if "seeds" not in choices and (many := [key for key in OF_MANY_RUNS if key in choices]):
        flag = f"--{many[0].replace('_', '-')} {choices[many[0]]}"
        raise UserError(f"{flag}: is for several runs; give --seeds, or leave it out")
    if (processes := choices.get("processes", 1)) > 1 and "seeds" not in choices:
        from reslab.engines.shares import TIMEOUT, is_rank
        from reslab.training.launch import launch

        if not is_rank():
            launch(sys.argv[1:], processes, choices.get("max_restarts", 0), choices.get("timeout", TIMEOUT))
            return
    if dry_run:
        from reslab.engines.shares import is_first
        from reslab.show.terminal.rehearsal import lines

        if "seeds" in choices:
            study = seeds.rehearse_seeds(name, **choices).to_dict()
            show("\n".join(lines(study["one"], study)))
            return
        told = lines(runs.rehearse(name, **choices).to_dict())
        if is_first():
            show("\n".join(told))
        return
    if "seeds" not in choices:
        with teller() as tell:
            runs.train(name, **choices, tell=tell, command=shlex.join(["reslab", *sys.argv[1:]]))
        return
    from reslab.show.terminal.seeds import lines as seed_lines

    with teller() as tell:
        trained = seeds.train_seeds(name, **choices, tell=tell)
    show("\n".join(seed_lines(trained.to_dict())))
    if trained.failures:
        seed, reason = next(iter(trained.failures.items()))
        raise RunError(
            f"{len(trained.failures)} of {choices['seeds']} runs failed; the first, of seed {seed}: {reason}"
        )


EVALUATE = ("data", "split", "ensemble", "pictures", "device")


@command(options=EvaluateOptions, common=EVALUATE)
def evaluate(paths: list[Path], /, *, options: Given, json_: Json = False) -> None:
    """Score runs: error and loss over every sample of a split.

    Parameters
    ----------
    paths
        run folders (newest checkpoint) or step-… folders
    json_
        print JSON: n, top1_error, loss, confusion, calibration …
    """
    from reslab.api import scores
    from reslab.show.terminal.evaluated import comparison_text
    from reslab.show.terminal.text import evaluation_text

    results = [result.to_dict() for result in scores.evaluate(paths, **options)]
    if json_:
        print_json(results)
    else:
        show("\n\n".join([*map(evaluation_text, results), *comparison_text(results)]))


PROBE = ("only", "lesions", "similarity", "surface", "pictures", "samples", "data", "split")


@command(options=ProbeOptions, switches=Switches, common=PROBE)
def probe(source: str, /, *, options: Given, json_: Json = False, switches: Given) -> None:
    """Measure layer responses (Fig. 7), activations, gradients, residual ratios and block Jacobians.

    Parameters
    ----------
    source
        a run, checkpoint, weights; or a name: initial weights
    json_
        print JSON instead of tables
    """
    from reslab.api import probes
    from reslab.show.terminal.probed import probe_text

    result = probes.probe(source, **options, **switches, tell=say).to_dict()
    if json_:
        print_json(result)
    else:
        show(probe_text(result))
