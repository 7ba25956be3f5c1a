"""`konvoi recipes`: the shipped recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from konvoi.cli.options import RecipeArgument, SetOption

recipes_app = typer.Typer(help="List the shipped recipes, or show one.", invoke_without_command=True)


@recipes_app.callback()
def recipes(context: typer.Context) -> None:
    """List the shipped recipes."""
    if context.invoked_subcommand is None:
        from konvoi.console.networks import print_recipes
        from konvoi.recipe import load_recipe, shipped_recipes

        print_recipes([load_recipe(name) for name in shipped_recipes()])


@recipes_app.command("show")
def recipes_show(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    full: Annotated[bool, typer.Option("--full", help="With all defaults.")] = False,
) -> None:
    """Print a recipe's YAML, ready to be saved and changed."""
    from konvoi.recipe import load_recipe, recipe_text, recipe_yaml

    loaded = load_recipe(recipe, overrides or ())
    typer.echo(recipe_yaml(loaded) if full or overrides else recipe_text(recipe), nl=False)
