"""The command line: a dict of verbs, each a thin skin over `reslab.api`. Imports what it needs when called.

Errors are one line on standard error: exit 2 for bad input, 1 for work that failed, 75 for interrupted and saved.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from reslab.errors import ReslabError, UserError, suggest
from reslab.version import VERSION

TRAINING = Group("Training", sort_key=1)
DATA = Group("Data", sort_key=2)
NET = Group("Network", sort_key=3)
MACHINE = Group("Machine", sort_key=4)

app = App(
    name="reslab",
    help="Build, train, examine and trust residual networks (He et al. 2015).",
    version=VERSION,
    result_action="return_value",
)


def whole(type_: Any, tokens: Sequence[Any]) -> int:
    """A whole number from the command line; the parser alone would round 1.5 to 2."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is no whole number") from None


@Parameter(name="*", group=NET)
@dataclass(frozen=True)
class Switches:
    """What may be changed about a network; None is the paper's value."""

    shortcut: Annotated[Literal["A", "B", "C"] | None, Parameter(help="zero padding, projection where needed, all")] = (
        None
    )
    stride_in: Annotated[Literal["1x1", "3x3"] | None, Parameter(help="bottleneck's stride: the paper, or v1.5")] = None
    block: Annotated[str | None, Parameter(help="basic, bottleneck, single, triple, or a comma list")] = None
    order: Annotated[Literal["post", "pre"] | None, Parameter(help="conv-BN-ReLU, or pre-activation")] = None
    activation: Annotated[Literal["relu", "tanh", "sigmoid", "identity"] | None, Parameter(help="everywhere")] = None
    stem: Annotated[Literal["3x3", "7x7"] | None, Parameter(help="7x7 with max-pooling, or 3x3")] = None
    downsample: Annotated[Literal["stride", "pool"] | None, Parameter(help="stride, or max-pooling")] = None
    batch_norm: Annotated[bool | None, Parameter(help="batch normalisation on or off")] = None
    zero_init: Annotated[bool | None, Parameter(help="last γ of each branch starts at 0")] = None
    fan: Annotated[Literal["in", "out"] | None, Parameter(help="of the He initialisation")] = None
    pad_at: Annotated[Literal["end", "both"] | None, Parameter(help="where option A's zeros stand")] = None
    widths: Annotated[str | None, Parameter(help="base width of each stage: 16,32,64")] = None
    classes: Annotated[int | None, Parameter(help="classes of the head", converter=whole)] = None
    in_channels: Annotated[int | None, Parameter(help="3 for RGB, 1 for grey", converter=whole)] = None
    image_size: Annotated[int | None, Parameter(help="side of the square images, pixels", converter=whole)] = None

    def given(self) -> dict[str, Any]:
        """The switches that were given, widths as numbers."""
        values = {k: v for k, v in asdict(self).items() if v is not None}
        if "widths" in values:
            values["widths"] = numbers("--widths", values["widths"])
        return values


NO_SWITCHES = Switches()


def numbers(option: str, text: str) -> tuple[int, ...]:
    """ "16,32,64" as (16, 32, 64)."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"{option}: {text!r}: whole numbers separated by commas are wanted, such as 16,32,64") from None


def pairs(texts: list[str]) -> dict[str, str]:
    """--set key=value … as a dict."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set: {text!r}: key=value is wanted")
        found[key.strip()] = value.strip()
    return found


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
    json_
        print JSON: n, top1_error, top5_error, loss, top1_interval, per_class …
    """
    from reslab.api import evaluate as score
    from reslab.show.text import evaluation_text

    results = score(
        paths, data, split=split, device=device, precision=precision, threads=threads, workers=workers,
        download=download, val_share=val_share, bad_images=bad_images,
    )  # fmt: skip
    told = [r.to_dict() for r in results]
    print(json.dumps(told, indent=2, ensure_ascii=False) if json_ else "\n\n".join(map(evaluation_text, told)))


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


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit status; errors are one line, unless --debug asks for the traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        app(words, exit_on_error=False, print_error=False)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except CycloptsError as error:
        return _fail(UserError(_told(error)), debug)
    except ReslabError as error:
        return _fail(error, debug)
    except KeyboardInterrupt:
        print("reslab: stopped at once", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _fail(_os_error(error), debug)
    return 0


def _drop_output() -> None:
    """What standard output could not take is dropped, or the interpreter would complain of it when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: ReslabError, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    from reslab.show.plain import clean

    print(f"reslab: {clean(error)}", file=sys.stderr)
    return error.exit_code


def _os_error(error: OSError) -> ReslabError:
    from reslab.errors import RunError

    return RunError(f"{error.filename or 'file'}: {error.strerror or error}")


def _told(error: CycloptsError) -> str:
    """The parser's message in one line, with the nearest verb where the verb is the mistake."""
    text = " ".join(str(error).split())
    verbs: tuple[str, ...] = ("list", "describe", "train", "evaluate", "recipe", "reproduce")
    if "recipe" in (error.command_chain or ()):
        verbs = ("list", "show")
    unused = list(getattr(error, "unused_tokens", None) or [])
    if type(error).__name__ == "UnknownCommandError" and unused:
        return f"unknown command {unused[0]!r}{suggest(unused[0], verbs)}; there are {', '.join(verbs)}"
    if type(error).__name__ == "UnusedCliTokensError" and unused:
        verb = " ".join(["reslab", *(error.command_chain or ())])
        return f"unexpected {shlex.join(unused)}; `{verb} --help` tells what may stand there"
    return text


if __name__ == "__main__":
    sys.exit(main())
