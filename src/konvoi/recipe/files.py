"""Recipes in and out: by name, from YAML, with `--set` overrides, and errors that name the nearest key.

What a recipe may say is in `recipe.recipe` and its sections.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from konvoi.errors import RecipeError
from konvoi.recipe.recipe import Recipe

_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""What PyYAML raises for text that is no YAML: its own errors, impossible dates and numbers, and endless nesting."""


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, but a key that stands twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with Konvoi, sorted."""
    folder = resources.files("konvoi") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_text(name_or_path: str | Path) -> str:
    """The YAML text of a shipped recipe or of a file.

    Raises:
        RecipeError: no recipe has this name and no such file can be read.
    """
    text = str(name_or_path)
    if text in shipped_recipes():
        return (resources.files("konvoi") / "recipes" / f"{text}.yaml").read_text(encoding="utf-8")
    path = Path(text)
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError(f"The recipe {path} cannot be read as UTF-8 text: {error}") from error
    if path.suffix in {".yaml", ".yml"} or "/" in text:
        raise RecipeError(f"There is no recipe file {path}. `konvoi recipes` lists the shipped recipes.")
    raise RecipeError(
        f"There is no recipe named {text!r}.{_nearest(text, shipped_recipes())} `konvoi recipes` lists them."
    )


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or file, apply overrides, and validate it.

    Args:
        name_or_path: a shipped recipe's name, or a YAML file.
        overrides: `path.to.key=value`, the value in YAML (`optim.lr=0.05`, `network.hidden=[64, 64]`).

    Raises:
        RecipeError: the file, an override or a value is not what the schema allows.
    """
    return parse_recipe(recipe_text(name_or_path), str(name_or_path), overrides)


def parse_recipe(text: str, origin: str, overrides: Sequence[str] = ()) -> Recipe:
    """Validate YAML text; `origin` names it in error messages. See `load_recipe`."""
    try:
        content = yaml.load(text, _StrictLoader)
    except _NOT_YAML as error:
        raise RecipeError(f"{origin} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{origin} is not a recipe: expected keys such as name, source and network at its top level.")
    for override in overrides:
        _apply_override(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_readable(error, origin)) from error


def recipe_yaml(recipe: Recipe) -> str:
    """The whole recipe, defaults included, as YAML that `parse_recipe` reads back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def recipe_fingerprint(recipe: Recipe) -> str:
    """SHA-256 of all that decides what is learned: the whole recipe but name, words, `compute` and `baselines`."""
    content = recipe.model_dump_json(exclude={"name", "about", "compute", "baselines"})
    return hashlib.sha256(content.encode()).hexdigest()


def _apply_override(content: dict[str, Any], override: str) -> None:
    path, equals, value_text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set {override!r} is not of the form path.to.key=value, for example optim.lr=0.05.")
    try:
        value = yaml.load(value_text, _StrictLoader)
    except _NOT_YAML as error:
        raise RecipeError(f"--set {override!r}: the value is not valid YAML.") from error
    place: Any = content
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, list):
            if not (key.isascii() and key.isdigit()) or int(key) >= len(place):
                raise RecipeError(
                    f"--set {override!r}: {'.'.join(keys[:depth])} is a list of {len(place)}; expected a position "
                    f"from 0 to {len(place) - 1}, found {key!r}."
                )
            if last:
                place[int(key)] = value
            else:
                place = place[int(key)]
        elif isinstance(place, dict):
            if last:
                place[key] = value
            else:
                place = place.setdefault(key, {})
        else:
            raise RecipeError(f"--set {override!r}: {'.'.join(keys[:depth])} is {place!r}, which has no keys below it.")


def _readable(error: ValidationError, origin: str) -> str:
    lines = []
    problems = error.errors()
    for problem in problems:
        location = problem["loc"]
        # A list with a faulty entry is also reported as too short, which would only confuse.
        if any(other["loc"][: len(location)] == location and other is not problem for other in problems):
            continue
        path = ".".join(str(part) for part in _without_tags(location)) or "recipe"
        if problem["type"] == "extra_forbidden":
            known = [name for model in _models_at(Recipe, location[:-1]) for name in model.model_fields]
            hint = _nearest(str(location[-1]), known) or f" Known here: {', '.join(known)}."
            lines.append(f"{path}: there is no such key.{hint}")
        elif problem["type"] == "missing":
            lines.append(f"{path}: this key is required and missing.")
        elif problem["type"] == "union_tag_invalid":
            known = [tag.strip(" '") for tag in str(problem["ctx"]["expected_tags"]).split(",")]
            found = str(problem["ctx"]["tag"])
            lines.append(f"{path}.kind: found {found!r}, expected {' or '.join(known)}.{_nearest(found, known)}")
        elif problem["type"] == "union_tag_not_found":
            lines.append(f"{path}.kind: this key is required and missing.")
        elif problem["type"] == "value_error":
            lines.append(f"{path}: {problem['msg'].removeprefix('Value error, ')}.")
        else:
            found = problem["input"]
            lines.append(f"{path}: found {found!r}; {problem['msg'][0].lower()}{problem['msg'][1:]}.")
    head = f"The recipe {origin} has {len(lines)} problem{'s' if len(lines) > 1 else ''}."
    return "\n  ".join([head, *dict.fromkeys(lines)]) if len(lines) > 1 else f"The recipe {origin}: {lines[0]}"


def _nearest(word: str, known: Sequence[str]) -> str:
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""


def _without_tags(location: tuple[int | str, ...]) -> Iterator[int | str]:
    """Pydantic puts the chosen kind of a section into the path (`optim.sgd.lr`); a user never wrote it."""
    models: list[type[BaseModel]] = [Recipe]
    for part in location:
        tagged = [model for model in models if _kind_of(model) == part]
        if tagged and len(models) > 1:
            models = tagged
            continue
        yield part
        models = models if isinstance(part, int) else _field_models(models, str(part))


def _models_at(root: type[BaseModel], location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The section types that may stand at a location of a validation error."""
    models: list[type[BaseModel]] = [root]
    for part in location:
        tagged = [model for model in models if _kind_of(model) == part]
        if tagged and len(models) > 1:
            models = tagged
        elif not isinstance(part, int):
            models = _field_models(models, part)
    return models


def _field_models(models: Sequence[type[BaseModel]], key: str) -> list[type[BaseModel]]:
    return [
        found
        for model in models
        if key in model.model_fields
        for found in _models_in(model.model_fields[key].annotation)
    ]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _kind_of(model: type[BaseModel]) -> str | None:
    if "kind" not in model.model_fields:
        return None
    values = get_args(model.model_fields["kind"].annotation)
    return str(values[0]) if values else None
