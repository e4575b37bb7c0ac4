"""Verbs on one run: train, evaluate, probe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from reslab.cli.app import app
from reslab.cli.options import (
    AS_TRAINED,
    DATA,
    MACHINE,
    NO_SWITCHES,
    TRAINING,
    Reading,
    Switches,
    countable,
    pairs,
    whole,
)
from reslab.cli.output import print_json, show
from reslab.errors import UserError


@app.command
def train(
    model: str | None = None,
    /,
    *,
    data: Annotated[str | None, Parameter(group=DATA)] = None,
    recipe: Annotated[str | None, Parameter(group=TRAINING)] = None,
    out: Annotated[Path | None, Parameter(group=TRAINING)] = None,
    seed: Annotated[int | None, Parameter(group=TRAINING, converter=whole)] = None,
    iterations: Annotated[int | None, Parameter(group=TRAINING, converter=whole)] = None,
    epochs: Annotated[float | None, Parameter(group=TRAINING)] = None,
    scale: Annotated[float | None, Parameter(group=TRAINING)] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", group=TRAINING, negative="")] = None,
    config: Annotated[Path | None, Parameter(group=TRAINING)] = None,
    download: Annotated[bool, Parameter(group=DATA, negative="")] = False,
    val_share: Annotated[float | None, Parameter(group=DATA)] = None,
    bad_images: Annotated[Literal["error", "skip"] | None, Parameter(group=DATA)] = None,
    workers: Annotated[int | None, Parameter(group=DATA, converter=whole)] = None,
    device: Annotated[str | None, Parameter(group=MACHINE)] = None,
    precision: Annotated[Literal["auto", "fp32", "bf16"] | None, Parameter(group=MACHINE)] = None,
    engine: Annotated[
        Literal["auto", "winograd", "fused", "compiled", "eager"] | None, Parameter(group=MACHINE)
    ] = None,
    threads: Annotated[int | None, Parameter(group=MACHINE, converter=whole)] = None,
    recompute: Annotated[Literal["auto", "on", "off"] | None, Parameter(group=MACHINE)] = None,
    dry_run: Annotated[bool, Parameter(group=MACHINE, negative="")] = False,
    switches: Switches = NO_SWITCHES,
) -> None:
    """Train a network. The same command again resumes where it stopped, bit for bit.

    Parameters
    ----------
    model
        a name (see `reslab list`)
    data
        digits (default), cifar10:PATH, cifar10 with --download, or a folder of class folders
    recipe
        see `reslab recipe list`; digits for digits, else paper-cifar
    out
        run folder; default: runs/ and a name made of model, data, recipe and seed
    seed
        of initial weights, order and augmentation (0)
    iterations
        stop after so many updates (drops of the rate stay where they are)
    epochs
        the same in passes over the training split
    scale
        shorten the schedule as a whole: 0.25 is a quarter, drops included
    set_
        change a field of the recipe: --set lr=0.05 --set drops=100,200
    config
        a TOML file with any of these; flags win over it
    download
        allow `--data cifar10` to fetch the archive
    val_share
        share of a folder without val/ that is held out for it
    bad_images
        error (default): refuse; skip: leave damaged files out, counted
    workers
        processes that decode image files; default: one a core
    device
        auto, cpu, cuda, cuda:1
    precision
        auto, fp32, bf16
    engine
        auto, winograd (fused, and our own 3x3 convolutions; CPU with AVX512-BF16), fused (batch norm, addition and
        ReLU in one pass; CPU), compiled (torch.compile), eager
    threads
        CPU threads (0: all)
    recompute
        auto, on, off: keep fewer activations, compute them again on the way back (less memory, a third more time)
    dry_run
        train nothing, write nothing: check configuration and data, tell memory and time
    """
    from reslab.api.runs import train as run
    from reslab.show.terminal.console import teller

    flags: dict[str, Any] = {
        "data": data, "recipe": recipe, "out": out, "seed": seed, "iterations": iterations, "epochs": epochs,
        "scale": scale, "device": device, "precision": precision, "engine": engine, "threads": threads,
        "workers": workers, "recompute": recompute, "val_share": val_share, "bad_images": bad_images,
        "download": download or None,
    }  # fmt: skip
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
    if iterations is not None or epochs is not None:  # either flag wins over either key of the file
        merged = {k: v for k, v in merged.items() if k not in ("iterations", "epochs")}
    merged |= {k: v for k, v in flags.items() if v is not None}
    for length in ("epochs", "scale"):  # as a flag or in the file
        countable(f"--{length}", merged.get(length))
    choices: dict[str, Any] = {
        **merged, "set": {**fields, **pairs(set_ or [])}, **net, **switches.given(),
    }  # fmt: skip
    if dry_run:
        from reslab.api.runs import rehearse
        from reslab.show.terminal.rehearsal import lines

        show("\n".join(lines(rehearse(name, **choices).to_dict())))
        return
    with teller() as tell:
        run(name, **choices, tell=tell, command=shlex.join(["reslab", *sys.argv[1:]]))


@app.command
def evaluate(
    paths: list[Path],
    /,
    *,
    data: Annotated[str | None, Parameter(group=DATA)] = None,
    split: Annotated[str | None, Parameter(group=DATA)] = None,
    ensemble: Literal["softmax", "logits"] | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    precision: Annotated[Literal["fp32", "bf16"], Parameter(group=MACHINE)] = "fp32",
    reading: Reading = AS_TRAINED,
) -> None:
    """Score checkpoints exactly: every sample of the split once, errors in percent, a 95 % binomial interval.

    Parameters
    ----------
    paths
        run folders (their newest checkpoint) or step-… folders
    data
        as in `reslab train`; default: what each was trained on
    split
        test, val or train; default: test, or val where there is no test split
    ensemble
        also score all of them as one: average their softmax probabilities (as the paper's release) or their logits
    precision
        fp32, or bf16: quicker on a CPU with bf16 units (batch norm folded; close calls are computed again in fp32)
    json_
        print JSON: n, top1_error, top5_error, loss, top1_interval, per_class …
    """
    from reslab.api.scores import evaluate as score
    from reslab.show.terminal.text import evaluation_text

    results = score(
        paths, data, split=split, ensemble=ensemble, precision=precision, **reading.given(),
    )  # fmt: skip
    told = [r.to_dict() for r in results]
    if json_:
        print_json(told)
    else:
        show("\n\n".join(map(evaluation_text, told)))


@app.command
def probe(
    source: str,
    /,
    *,
    only: str | None = None,
    at: str | None = None,
    samples: Annotated[int, Parameter(group=DATA, converter=whole)] = 500,
    data: Annotated[str | None, Parameter(group=DATA)] = None,
    split: Annotated[str, Parameter(group=DATA)] = "train",
    seed: Annotated[int, Parameter(converter=whole)] = 0,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    reading: Reading = AS_TRAINED,
    switches: Switches = NO_SWITCHES,
) -> None:
    """Look inside a network: layer responses (Fig. 7), activations, gradients, residual ratios, block Jacobians.

    Parameters
    ----------
    source
        a run folder (its newest checkpoint), a step-… folder, or a model's name: the net at initialisation
    only
        some of responses,gradients,residuals,jacobians (gradients: activations too); default: all
    at
        the block whose Jacobian is taken, such as conv3_2; default: first and last identity block
    samples
        the first so many of the split
    data
        as in `reslab train`; default: what the run was trained on, or digits
    split
        train, val or test
    seed
        of the initial weights, where a model's name is given
    json_
        print JSON: responses, responses_sorted, activations, gradients, layers, weight_gradients, residuals …
    """
    from reslab.api.probes import probe as look
    from reslab.show.terminal.text import probe_text

    parts: dict[str, Any] = {} if only is None else {"what": tuple(w.strip() for w in only.split(","))}
    told = look(
        source, data, split=split, samples=samples, seed=seed, block=at, switches=switches.given(), **reading.given(),
        **parts,
    ).to_dict()  # fmt: skip
    if json_:
        print_json(told)
    else:
        show(probe_text(told))
