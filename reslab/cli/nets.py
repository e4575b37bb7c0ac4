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
from reslab.options.pages import DrawOptions, TextOptions

if TYPE_CHECKING:
    from reslab.nets.spec import Spec


@command()
def list_(glob: str | None = None, /, *, json_: Json = False) -> None:
    """List the networks, with depth, parameters and multiply-adds.

    Parameters
    ----------
    glob
        a pattern such as 'cifar_*'; default: all
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


@command(switches=Switches, text=TextOptions, common=("shortcut", "block", "lang"))
def describe(model: str, /, *, switches: Given, text: Given, json_: Json = False) -> None:
    """Describe a network stage by stage, from image to softmax.

    Parameters
    ----------
    model
        a name from `reslab list`, or of any depth: cifar_resnetN, cifar_plainN (N = 6n+2, or 9n+2 with --block
        bottleneck), mlp_resnetN, mlp_plainN (N = 2n+2)
    json_
        print JSON: name, depth, parameters, macs, rows …
    """
    from reslab.api.networks import spec
    from reslab.show.terminal.walk import describe_json, describe_text

    network = spec(model, **switches)
    if json_:
        print_json(describe_json(network))
    else:
        show(describe_text(network, TextOptions.of(text).lang))


@command(options=DrawOptions, switches=Switches, common=("out", "blocks", "overwrite", "shortcut"))
def draw(*models: str, options: Given, switches: Given) -> None:
    """Draw networks side by side (Fig. 3), or two kinds of block (Fig. 5).

    Parameters
    ----------
    models
        names from `reslab list`; default: vgg19 plain34 resnet34, without those that lack a given switch
    """
    from reslab.api.networks import spec
    from reslab.nets.paper import FIG_3
    from reslab.show.drawings.blocks import FILE, draw_blocks
    from reslab.show.drawings.nets import draw_nets, file_name
    from reslab.show.pages.files import check_target, write

    target = DrawOptions.of(options)
    out, blocks, overwrite = target.out, target.blocks, target.overwrite
    if blocks and models:
        raise UserError(f"draw: --blocks draws Fig. 5, not {models[0]}; give models or --blocks")
    nets = {} if blocks else {m: spec(m, **switches) for m in models} if models else _with_switches(FIG_3, switches)
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


def _with_switches(names: Sequence[str], switches: dict[str, Any]) -> dict[str, Spec]:
    """Return the named nets with these switches, without nets that do not have them; those are named on stderr.

    Raises UserError if no net has them.
    """
    from reslab.api.networks import spec

    nets: dict[str, Spec] = {}
    errors: dict[str, UserError] = {}
    for name in names:
        try:
            nets[name] = spec(name, **switches)
        except UserError as error:
            errors[name] = error
    if not nets:
        raise errors[names[-1]]
    for name, reason in errors.items():
        say(f"reslab: {name} is left out; {reason}")
    return nets
