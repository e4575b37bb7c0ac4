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
    """Show every field of a recipe, and what the paper leaves open.

    Parameters
    ----------
    name
        a name from `reslab recipe list`
    json_
        print JSON
    """
    from reslab.runs.naming import resolve_recipe
    from reslab.runs.recipes import RECIPES
    from reslab.show.terminal.text import recipe_text

    changes = RecipeOptions.of(options)
    recipe = resolve_recipe("", name, scale=changes.scale, set=changes.set)
    if json_:
        print_json(recipe.to_dict())
    else:
        show(recipe_text(recipe, RECIPES[name].__doc__ or ""))


recipe = App(name="recipe", result_action="return_value")
recipe.command(list_)
recipe.command(show_)
