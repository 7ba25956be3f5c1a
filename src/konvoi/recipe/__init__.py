"""What an experiment is: typed, validated, YAML in and out. Imports no torch."""

from konvoi.recipe.files import (
    load_recipe,
    parse_recipe,
    recipe_fingerprint,
    recipe_text,
    recipe_yaml,
    shipped_recipes,
)
from konvoi.recipe.recipe import Recipe

__all__ = [
    "Recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_fingerprint",
    "recipe_text",
    "recipe_yaml",
    "shipped_recipes",
]
