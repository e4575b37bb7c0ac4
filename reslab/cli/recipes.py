"""Verbs on recipes: list, show."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from reslab.cli.app import app
from reslab.cli.options import countable, pairs
from reslab.cli.output import print_json, show

recipe_app = App(name="recipe", help="The named recipes.")
app.command(recipe_app)


@recipe_app.command(name="list")
def recipe_list() -> None:
    """List the recipes."""
    from reslab.runs.recipes import RECIPES

    for name, make in RECIPES.items():
        show(f"{name:18}  {(make.__doc__ or '').strip().splitlines()[0]}")


@recipe_app.command(name="show")
def recipe_show(
    name: str = "paper-cifar",
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
        see `reslab recipe list`; default: paper-cifar
    scale
        as in `reslab train`
    set_
        as in `reslab train`
    json_
        print JSON
    """
    from reslab.runs.naming import resolve_recipe
    from reslab.runs.recipes import RECIPES
    from reslab.show.terminal.text import recipe_text

    found = resolve_recipe("", name, scale=countable("--scale", scale), set=pairs(set_ or []))
    if json_:
        print_json(found.to_dict())
    else:
        show(recipe_text(found, RECIPES[name].__doc__ or ""))
