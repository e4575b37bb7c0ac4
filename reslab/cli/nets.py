"""Verbs on networks: list, describe, draw."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.errors import UserError
from reslab.options.network import Switches
from reslab.options.pages import DrawOptions

if TYPE_CHECKING:
    from reslab.nets.spec import Spec


@command()
def list_(glob: str | None = None, /, *, json_: Json = False) -> None:
    """List the networks, with depth, parameters and multiply-adds.

    Parameters
    ----------
    glob
        a pattern such as 'cifar_*'
    json_
        print JSON
    """
    from reslab.nets.names import matching
    from reslab.show.terminal.walk import list_rows, list_text

    rows = list_rows(matching(glob))
    if json_:
        print_json(rows)
    else:
        show(list_text(rows))


COMMON_SWITCHES = ("shortcut", "block", "widths", "classes")


@command(switches=Switches, common=COMMON_SWITCHES)
def describe(model: str, /, *, switches: Given, json_: Json = False) -> None:
    """Walk through a network, from RGB to softmax.

    Parameters
    ----------
    model
        a name (see `reslab list`), or any cifar_resnetN, cifar_plainN with N = 6n+2 (9n+2 with --block bottleneck), or
        mlp_resnetN, mlp_plainN with N = 2n+2
    json_
        print JSON: name, depth, parameters, macs, rows …
    """
    from reslab.api.networks import spec
    from reslab.show.terminal.walk import describe_json, describe_text

    found = spec(model, **switches)
    if json_:
        print_json(describe_json(found))
    else:
        show(describe_text(found))


@command(options=DrawOptions, switches=Switches, common=("out", "blocks", "overwrite", "shortcut"))
def draw(*models: str, options: Given, switches: Given) -> None:
    """Draw networks side by side (Fig. 3), or two kinds of block (Fig. 5).

    Parameters
    ----------
    models
        names (see `reslab list`); default: those of vgg19 plain34 resnet34 that have the switches given
    """
    from reslab.api.networks import spec
    from reslab.nets.paper import FIG_3
    from reslab.show.drawings.blocks import FILE, draw_blocks
    from reslab.show.drawings.nets import draw_nets, file_name
    from reslab.show.pages.files import check_target, write

    asked = DrawOptions.of(options)
    out, blocks, overwrite = asked.out, asked.blocks, asked.overwrite
    if blocks and models:
        raise UserError(f"draw: --blocks draws Fig. 5, not {models[0]}; give models or --blocks")
    nets = {} if blocks else {m: spec(m, **switches) for m in models} if models else _those_that_take(switches, FIG_3)
    if out is None and sys.stdout.isatty():
        out = Path(FILE) if blocks else file_name(models or tuple(nets))
    if out is not None:
        check_target(out, overwrite)
    picture = (
        draw_blocks(switches) if blocks else draw_nets([nets[m] for m in models] if models else list(nets.values()))
    )
    if out is None:
        show(picture.svg, end="")
        return
    write(picture.svg, picture.title, picture.width, out, overwrite)
    show(out.resolve())


def _those_that_take(switches: dict[str, Any], names: Sequence[str]) -> dict[str, Spec]:
    """The nets that have these switches; the others are left out aloud, for nobody asked for them by name.

    Raises UserError where there is none.
    """
    from reslab.api.networks import spec

    found: dict[str, Spec] = {}
    refused: dict[str, UserError] = {}
    for name in names:
        try:
            found[name] = spec(name, **switches)
        except UserError as error:
            refused[name] = error
    if not found:
        raise refused[names[-1]]
    for name, why in refused.items():
        say(f"reslab: {name} is left out; {why}")
    return found
