"""Verbs on recipes: list, show."""

from __future__ import annotations

from cyclopts import App

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, show
from reslab.options.pages import RecipeOptions


@command()
def list_() -> None:
    """List the recipes."""
    from reslab.runs.recipes import RECIPES

    for name, make in RECIPES.items():
        show(f"{name:18}  {(make.__doc__ or '').strip().splitlines()[0]}")


@command(options=RecipeOptions)
def show_(name: str = "paper-cifar", /, *, options: Given, json_: Json = False) -> None:
    """Show every field of a recipe, and which of them the paper leaves open.

    Parameters
    ----------
    name
        see `reslab recipe list`; default: paper-cifar
    json_
        print JSON
    """
    from reslab.runs.naming import resolve_recipe
    from reslab.runs.recipes import RECIPES
    from reslab.show.terminal.text import recipe_text

    asked = RecipeOptions.of(options)
    found = resolve_recipe("", name, scale=asked.scale, set=asked.set)
    if json_:
        print_json(found.to_dict())
    else:
        show(recipe_text(found, RECIPES[name].__doc__ or ""))


recipe = App(name="recipe", help="The named recipes.", result_action="return_value")
recipe.command(list_)
recipe.command(show_)
