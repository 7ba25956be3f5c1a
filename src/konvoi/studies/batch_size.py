"""Which batch? Samples a second, and the error on validation, over the size of the batch.

Too small a batch leaves the machine idle between kernels; too large a one takes few steps in the same epochs, and may
generalise worse (N. S. Keskar et al., "On large-batch training for deep learning: generalization gap and sharp minima",
ICLR 2017). All sizes get the same number of epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from konvoi.errors import RecipeError
from konvoi.recipe import Recipe
from konvoi.studies.folder import claim
from konvoi.studies.variants import Tell, VariantResult, run_variants, to_its_last_epoch
from konvoi.training.display import Display
from konvoi.training.schedule import peak_learning_rate


def study_batch_size(
    recipe: Recipe,
    folder: Path,
    batches: Sequence[int],
    *,
    seeds: int = 3,
    epochs: int | None = None,
    keep_lr: bool = False,
    data_dir: Path | None = None,
    tell: Tell = lambda line: None,
    display: Display | None = None,
) -> list[VariantResult]:
    """Run the study, or the rest of one that was stopped.

    Args:
        recipe: all but the batch, and the learning rate that goes with it.
        folder: study.json, results.json and a run for each training go there.
        batches: samples of an optimiser step.
        seeds: how many, from 0 on.
        epochs: fewer than the recipe's.
        keep_lr: the same learning rate for all, instead of one in proportion to the batch.
        data_dir: where the source's files are.
        tell: is given a line for each result.
        display: shows each training's progress; default: silence.

    Raises:
        RecipeError: a batch is none.
        RunError: the folder holds another study.
    """
    if not batches or min(batches) < 1 or len(set(batches)) < len(batches):
        raise RecipeError(f"--batches: whole numbers from 1 on, each once, were expected; found {list(batches)}.")
    base = to_its_last_epoch(recipe, epochs)
    variants = {str(batch): with_batch(base, batch, keep_lr) for batch in sorted(batches)}
    claim(folder, {"question": "batch", "recipe": base.model_dump(mode="json"), "keep_lr": keep_lr})
    return run_variants(folder, variants, seeds, data_dir=data_dir, tell=tell, display=display)


def with_batch(recipe: Recipe, batch: int, keep_lr: bool) -> Recipe:
    """The recipe with one batch throughout, its learning rate in proportion to it, or kept.

    The rule is that of P. Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677. Where the recipe does not
    say for which batch its rate is meant, it is for its own.
    """
    budget = recipe.budget.model_copy(update={"batch": batch, "batch_schedule": ()})
    if keep_lr:
        optim = recipe.optimiser.model_copy(update={"lr": peak_learning_rate(recipe), "lr_reference_batch": None})
    else:
        reference = recipe.optimiser.lr_reference_batch or recipe.budget.batch
        optim = recipe.optimiser.model_copy(update={"lr_reference_batch": reference})
    return Recipe.model_validate(recipe.model_copy(update={"budget": budget, "optim": optim}).model_dump())
