"""Which arithmetic? Samples a second, and the score on validation, in every precision that the machine can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from konvoi.errors import RecipeError
from konvoi.recipe import Recipe
from konvoi.recipe.compute import ComputeSection
from konvoi.studies.folder import claim
from konvoi.studies.variants import Tell, VariantResult, run_variants, to_its_last_epoch
from konvoi.training.display import Display

PRECISIONS = tuple(name for name in get_args(ComputeSection.model_fields["precision"].annotation) if name != "auto")


def study_precisions(
    recipe: Recipe,
    folder: Path,
    precisions: Sequence[str] = PRECISIONS,
    *,
    seeds: int = 3,
    epochs: int | None = None,
    data_dir: Path | None = None,
    tell: Tell = lambda line: None,
    display: Display | None = None,
) -> tuple[list[VariantResult], dict[str, str]]:
    """Run the study, or the rest of one that was stopped.

    Args:
        recipe: all but the precision.
        folder: study.json, results.json and a run for each training go there.
        precisions: some of `PRECISIONS`.
        seeds: how many, from 0 on.
        epochs: fewer than the recipe's.
        data_dir: where the source's files are.
        tell: is given a line for each result.
        display: shows each training's progress; default: silence.

    Returns:
        The results, and for each precision that this machine cannot do, why not.

    Raises:
        RecipeError: a precision is not known, or none of those asked for can be done here.
        RunError: the folder holds another study.
    """
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown or not precisions:
        raise RecipeError(f"There is no precision {', '.join(unknown) or ''!r}. There are {', '.join(PRECISIONS)}.")
    base = to_its_last_epoch(recipe, epochs)
    impossible = why_not(base, precisions)
    variants = {name: with_precision(base, name) for name in precisions if name not in impossible}
    if not variants:
        raise RecipeError(" ".join(impossible.values()))
    question = base.model_copy(update={"compute": base.compute.model_copy(update={"precision": "auto"})})
    claim(folder, {"question": "precision", "recipe": question.model_dump(mode="json")})
    results = run_variants(folder, variants, seeds, data_dir=data_dir, tell=tell, display=display)
    return results, impossible


def why_not(recipe: Recipe, precisions: Sequence[str]) -> dict[str, str]:
    """Those that the recipe's device cannot do, with the reason."""
    from konvoi.training.precision import choose_device, choose_precision

    device = choose_device(recipe.compute.device)
    reasons = {}
    for name in precisions:
        try:
            choose_precision(name, device)
        except RecipeError as error:
            reasons[name] = str(error)
    return reasons


def with_precision(recipe: Recipe, name: str) -> Recipe:
    """The recipe in one precision."""
    compute = recipe.compute.model_copy(update={"precision": name})
    return recipe.model_copy(update={"compute": compute})
