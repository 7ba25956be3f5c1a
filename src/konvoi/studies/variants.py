"""One recipe, changed in a single thing, over several seeds: what each variant scores on validation, and its speed.

The question, and so the thing that is changed, is that of `studies.batch_size` or `studies.precisions`. Every training
runs all its epochs and is scored by its last, so that validation chooses nothing; the test split stays sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from konvoi.errors import RecipeError, TrainingDiverged
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.experiment import train_or_resume
from konvoi.recipe import Recipe
from konvoi.record import Record
from konvoi.run import Evaluation, load_run
from konvoi.studies.folder import read_results, write_results
from konvoi.training.display import Display, Silence
from konvoi.training.history import EpochRecord

Tell = Callable[[str], None]


class VariantResult(Record):
    """One training.

    Attributes:
        variant: its name: a batch size, a precision.
        lr: the peak learning rate.
        epochs: that were trained.
        measure: accuracy, or macro mAP where an image may have several labels.
        score: of the last epoch's weights on validation; None where the training diverged.
        interval: 95 % of it.
        samples_per_second: the median over epochs but the first, which warms up; of training alone. None where not one
            epoch was finished.
        precision: the arithmetic that was used.
        device: cpu or cuda.
        threads: of the processor.
    """

    variant: str
    seed: int
    lr: float
    epochs: int
    measure: str
    score: float | None
    interval: tuple[float, float] | None
    samples_per_second: float | None
    precision: str
    device: str
    threads: int


@dataclass(frozen=True)
class Variant:
    """Mean and range over the seeds.

    Attributes:
        name: of the variant.
        lr: the peak learning rate.
        seeds: how many were trained.
        diverged: how many of them diverged.
        mean: score of those that did not; None where all diverged. `lowest` and `highest` likewise.
        deviation: the sample's standard deviation; None of fewer than two.
        speed: samples a second, the mean over seeds.
    """

    name: str
    lr: float
    seeds: int
    diverged: int
    mean: float | None
    lowest: float | None
    highest: float | None
    deviation: float | None
    speed: float | None


def run_variants(
    folder: Path,
    variants: Mapping[str, Recipe],
    seeds: int,
    *,
    data_dir: Path | None = None,
    tell: Tell = lambda line: None,
    display: Display | None = None,
) -> list[VariantResult]:
    """Train every variant with every seed, or what is left of them; seed by seed, so that drift strikes all alike.

    Args:
        folder: of the study, claimed.
        variants: recipes by name.
        seeds: how many, from 0 on.
        data_dir: where the source's files are.
        tell: is given a line for each result.
        display: shows each training's progress; default: silence.
    """
    from konvoi.training.schedule import peak_learning_rate

    if seeds < 1:
        raise RecipeError(f"A study needs at least one seed; found {seeds}.")
    results = read_results(folder, VariantResult)
    done = {(result.variant, result.seed) for result in results}
    for seed in range(seeds):
        for name, recipe in variants.items():
            if (name, seed) in done:
                continue
            place = folder / "runs" / f"{name}-{seed}"
            own = recipe.model_copy(update={"seed": seed})
            evaluation = None
            try:
                run = train_or_resume(own, place, data_dir=data_dir, evaluate_test=False, display=display or Silence())
                evaluation = run.evaluation
            except TrainingDiverged:
                # That is an answer, too.
                run = load_run(place)
            measure, score, interval = validation_score(evaluation, run.facts.data.several_labels)
            results.append(
                VariantResult(
                    variant=name,
                    seed=seed,
                    lr=peak_learning_rate(own),
                    epochs=len(run.history),
                    measure=measure,
                    score=score,
                    interval=interval,
                    samples_per_second=speed_of(run.history),
                    precision=run.facts.precision.partition(":")[0],
                    device=run.facts.device,
                    threads=int(run.facts.environment["threads"]),
                )
            )
            write_results(folder, results)
            said = "diverged" if score is None else f"validation {measure} {score:.4f}"
            tell(f"{name}, seed {seed}: {said}, {results[-1].samples_per_second or 0:,.0f} samples/s")
    return [result for result in results if result.variant in variants and result.seed < seeds]


def validation_score(
    evaluation: Evaluation | None, several_labels: bool
) -> tuple[str, float | None, tuple[float, float] | None]:
    """The measure's name, the score on validation, and its 95 % interval."""
    measure = "macro mAP" if several_labels else "accuracy"
    if evaluation is None:
        return measure, None, None
    scores = evaluation.validation
    if isinstance(scores, SeveralLabelScores):
        return measure, scores.macro_map, scores.macro_map_interval
    return measure, scores.accuracy, scores.interval


def speed_of(history: Sequence[EpochRecord]) -> float | None:
    """Samples a second: the median over all epochs but the first, or the first where it is the only one."""
    if not history:
        return None
    return float(np.median([record.samples_per_second for record in (history[1:] or history)]))


def to_its_last_epoch(recipe: Recipe, epochs: int | None = None) -> Recipe:
    """The recipe without early stopping, keeping the last weights, over no more than so many epochs.

    Raises:
        RecipeError: it has no epochs, because its network is fitted forward; or a section needs more of them.
    """
    from konvoi.recipe import parse_recipe, recipe_yaml

    limit = min(epochs or recipe.budget.epochs, recipe.budget.epochs)
    changes = tuple(change for change in recipe.budget.batch_schedule if change.epoch < limit)
    budget = recipe.budget.model_copy(
        update={"epochs": limit, "batch_schedule": changes, "keep": "last", "early_stopping": None}
    )
    # Read back, so that a section that no longer fits, as a longer warm-up, is an error in words.
    changed = recipe.model_copy(update={"budget": budget, "optim": recipe.optimiser})
    return parse_recipe(recipe_yaml(changed), recipe.name)


def summarise(results: Sequence[VariantResult]) -> list[Variant]:
    """By variant, in the order in which they first come."""
    variants = []
    for name in dict.fromkeys(result.variant for result in results):
        own = [result for result in results if result.variant == name]
        scores = [result.score for result in own if result.score is not None]
        speeds = [result.samples_per_second for result in own if result.samples_per_second is not None]
        variants.append(
            Variant(
                name=name,
                lr=own[0].lr,
                seeds=len(own),
                diverged=len(own) - len(scores),
                mean=float(np.mean(scores)) if scores else None,
                lowest=min(scores, default=None),
                highest=max(scores, default=None),
                deviation=float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
                speed=float(np.mean(speeds)) if speeds else None,
            )
        )
    return variants
