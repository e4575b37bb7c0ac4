"""The verbs, each a thin skin over `reslab.api`: parse, call, print."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from reslab.cli.options import DATA, MACHINE, NO_SWITCHES, TRAINING, Switches, numbers, pairs, whole
from reslab.errors import UserError
from reslab.version import VERSION

app = App(
    name="reslab",
    help="Build, train, examine and trust residual networks (He et al. 2015).",
    version=VERSION,
    result_action="return_value",
)


@app.command(name="list")
def list_(glob: str | None = None, /, *, json_: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """List the networks, with depth, parameters and multiply-adds.

    Parameters
    ----------
    glob
        a pattern such as 'cifar_*'
    json_
        print JSON
    """
    from reslab.nets.names import matching
    from reslab.show.walk import list_rows, list_text

    rows = list_rows(matching(glob))
    print(json.dumps(rows, indent=2) if json_ else list_text(rows))


@app.command
def describe(
    model: str,
    /,
    *,
    switches: Switches = NO_SWITCHES,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Walk through a network, from RGB to softmax: channels, map sizes, strides, shortcuts, parameters, MACs.

    Parameters
    ----------
    model
        a name (see `reslab list`), or any cifar_resnetN with N = 6n+2
    json_
        print JSON: name, depth, parameters, macs, rows …
    """
    from reslab.api import spec
    from reslab.show.walk import describe_json, describe_text

    found = spec(model, **switches.given())
    print(json.dumps(describe_json(found), indent=2, ensure_ascii=False) if json_ else describe_text(found))


@app.command
def draw(
    *models: str,
    out: Path | None = None,
    blocks: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    switches: Switches = NO_SWITCHES,
) -> None:
    """Draw networks side by side (Fig. 3), or two kinds of block (Fig. 5): SVG, PNG or HTML.

    Parameters
    ----------
    models
        names (see `reslab list`); default: vgg19 plain34 resnet34
    out
        a file: .svg, .png or .html; default: SVG to a pipe, or MODEL-MODEL.svg here
    blocks
        the basic block beside the bottleneck, with what each costs
    overwrite
        replace the file if it exists
    """
    from reslab.api import spec
    from reslab.show.blocks import FILE, draw_blocks
    from reslab.show.drawing import FIG_3, draw_nets, file_name
    from reslab.show.svg import check_target, write

    if blocks and models:
        raise UserError(f"draw: --blocks draws Fig. 5, not {models[0]}; give models or --blocks")
    if out is None and sys.stdout.isatty():
        out = Path(FILE) if blocks else file_name(models or FIG_3)
    if out is not None:
        check_target(out, overwrite)
    given = switches.given()
    picture = draw_blocks(given) if blocks else draw_nets([spec(model, **given) for model in models or FIG_3])
    if out is None:
        print(picture.svg, end="")
        return
    write(picture.svg, picture.title, picture.width, out, overwrite)
    print(out.resolve())


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
    bad_images: Annotated[Literal["error", "skip"], Parameter(group=DATA)] = "error",
    workers: Annotated[int | None, Parameter(group=DATA, converter=whole)] = None,
    device: Annotated[str | None, Parameter(group=MACHINE)] = None,
    precision: Annotated[Literal["auto", "fp32", "bf16"] | None, Parameter(group=MACHINE)] = None,
    compile: Annotated[Literal["auto", "on", "off"] | None, Parameter(group=MACHINE)] = None,
    threads: Annotated[int | None, Parameter(group=MACHINE, converter=whole)] = None,
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
        error: refuse; skip: leave damaged files out, counted
    workers
        processes that decode image files; default: one a core
    device
        auto, cpu, cuda, cuda:1
    precision
        auto, fp32, bf16
    compile
        auto, on, off
    threads
        CPU threads (0: all)
    """
    from reslab.api import train as run
    from reslab.show.console import teller

    flags: dict[str, Any] = {
        "data": data, "recipe": recipe, "out": out, "seed": seed, "iterations": iterations, "epochs": epochs,
        "scale": scale, "device": device, "precision": precision, "compile": compile, "threads": threads,
        "workers": workers,
    }  # fmt: skip
    merged: dict[str, Any] = {}
    net: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    if config is not None:
        from reslab.training.config import read

        merged = read(config)
        net, fields = merged.pop("net", {}), merged.pop("set", {})
    name = model or merged.pop("model", None)
    merged.pop("model", None)
    if name is None:
        raise UserError("train: which model? `reslab train cifar_resnet20`, or model = … in --config")
    if iterations is not None or epochs is not None:  # either flag wins over either key of the file
        merged = {k: v for k, v in merged.items() if k not in ("iterations", "epochs")}
    merged |= {k: v for k, v in flags.items() if v is not None}
    with teller() as tell:
        run(
            name,
            **merged,
            set={**fields, **pairs(set_ or [])},
            download=download,
            val_share=val_share,
            bad_images=bad_images,
            tell=tell,
            command=shlex.join(["reslab", *sys.argv[1:]]),
            **{**net, **switches.given()},
        )


@app.command
def evaluate(
    paths: list[Path],
    /,
    *,
    data: Annotated[str | None, Parameter(group=DATA)] = None,
    split: Annotated[str | None, Parameter(group=DATA)] = None,
    ensemble: Literal["softmax", "logits"] | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    device: Annotated[str, Parameter(group=MACHINE)] = "auto",
    precision: Annotated[Literal["fp32", "bf16"], Parameter(group=MACHINE)] = "fp32",
    threads: Annotated[int, Parameter(group=MACHINE, converter=whole)] = 0,
    workers: Annotated[int | None, Parameter(group=DATA, converter=whole)] = None,
    download: Annotated[bool, Parameter(group=DATA, negative="")] = False,
    val_share: Annotated[float | None, Parameter(group=DATA)] = None,
    bad_images: Annotated[Literal["error", "skip"], Parameter(group=DATA)] = "error",
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
    json_
        print JSON: n, top1_error, top5_error, loss, top1_interval, per_class …
    """
    from reslab.api import evaluate as score
    from reslab.show.text import evaluation_text

    results = score(
        paths, data, split=split, ensemble=ensemble, device=device, precision=precision, threads=threads,
        workers=workers, download=download, val_share=val_share, bad_images=bad_images,
    )  # fmt: skip
    told = [r.to_dict() for r in results]
    print(json.dumps(told, indent=2, ensure_ascii=False) if json_ else "\n\n".join(map(evaluation_text, told)))


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
    device: Annotated[str, Parameter(group=MACHINE)] = "auto",
    threads: Annotated[int, Parameter(group=MACHINE, converter=whole)] = 0,
    workers: Annotated[int | None, Parameter(group=DATA, converter=whole)] = None,
    download: Annotated[bool, Parameter(group=DATA, negative="")] = False,
    val_share: Annotated[float | None, Parameter(group=DATA)] = None,
    bad_images: Annotated[Literal["error", "skip"], Parameter(group=DATA)] = "error",
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
        print JSON: responses, responses_sorted, activations, gradients, weight_gradients, residuals, jacobians …
    """
    from reslab.api import probe as look
    from reslab.show.text import probe_text

    parts = {} if only is None else {"what": tuple(w.strip() for w in only.split(","))}
    told = look(
        source, data, split=split, samples=samples, seed=seed, block=at, device=device, threads=threads,
        workers=workers, download=download, val_share=val_share, bad_images=bad_images, switches=switches.given(),
        **parts,
    ).to_dict()  # fmt: skip
    print(json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) if json_ else probe_text(told))


recipe_app = App(name="recipe", help="The named recipes.")
app.command(recipe_app)


@recipe_app.command(name="list")
def recipe_list() -> None:
    """List the recipes."""
    from reslab.training.recipes import RECIPES

    for name, make in RECIPES.items():
        print(f"{name:18}  {(make.__doc__ or '').strip().splitlines()[0]}")


@recipe_app.command(name="show")
def recipe_show(
    name: str,
    /,
    *,
    scale: float | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Show every field of a recipe, and which of them the paper leaves open.

    Parameters
    ----------
    name
        see `reslab recipe list`
    scale
        as in `reslab train`
    set_
        as in `reslab train`
    json_
        print JSON
    """
    from reslab.show.text import recipe_text
    from reslab.training.naming import resolve_recipe
    from reslab.training.recipes import RECIPES

    found = resolve_recipe("", name, scale=scale, set=pairs(set_ or []))
    print(json.dumps(found.to_dict(), indent=2) if json_ else recipe_text(found, RECIPES[name].__doc__ or ""))


@app.command
def reproduce(
    what: str,
    /,
    *,
    data: Annotated[str, Parameter(group=DATA)] = "digits",
    depths: Annotated[str | None, Parameter(group=TRAINING)] = None,
    seeds: Annotated[int | None, Parameter(group=TRAINING, converter=whole)] = None,
    scale: Annotated[float | None, Parameter(group=TRAINING)] = None,
    recipe: Annotated[str | None, Parameter(group=TRAINING)] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", group=TRAINING, negative="")] = None,
    out: Annotated[Path | None, Parameter(group=TRAINING)] = None,
    processes: Annotated[int | None, Parameter(group=MACHINE, converter=whole)] = None,
    device: Annotated[str, Parameter(group=MACHINE)] = "auto",
    download: Annotated[bool, Parameter(group=DATA, negative="")] = False,
) -> None:
    """Run an experiment of the paper and write one HTML report; its path is the last word printed.

    Parameters
    ----------
    what
        degradation: plain and residual twins at several depths
    data
        digits (default: about two minutes on two cores), or cifar10:PATH
    depths
        such as 8,20,56
    seeds
        how many seeds: 0, 1, 2 …
    scale
        as in `reslab train`
    recipe
        as in `reslab train`
    set_
        as in `reslab train`
    out
        folder of the runs and the report; default: runs/degradation-DATA
    processes
        runs side by side; default: decided by the size of the nets
    device
        auto, cpu, cuda
    """
    from reslab.api import reproduce as run
    from reslab.show.console import teller

    with teller() as tell:
        path = run(
            what,
            data,
            depths=numbers("--depths", depths) if depths else None,
            seeds=seeds,
            scale=scale,
            recipe=recipe,
            set=pairs(set_ or []),
            out=out,
            processes=processes,
            device=device,
            download=download,
            tell=tell,
            command=shlex.join(["reslab", *sys.argv[1:]]),
        )
    print(path.resolve())
