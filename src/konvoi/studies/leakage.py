"""How much of a score is leakage? The same network under several splits of one scene, over several seeds.

Each split gets as many training pixels as the one that has fewest, drawn by class, so that the networks differ in where
their training pixels lie and not in how many there are. Every training runs all its epochs and is scored by its last
weights: validation chooses nothing. What the audit finds stands beside each score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.dataset import Dataset
from konvoi.data.pixels.leakage import percent
from konvoi.data.pixels.parts import PartsMap
from konvoi.data.scene_split import parts_map
from konvoi.data.sources import read_source
from konvoi.data.split import Split, make_split
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError, RecipeError
from konvoi.evaluation.scores import Scores
from konvoi.experiment import train_or_resume
from konvoi.recipe import Recipe
from konvoi.recipe.pixel_split import (
    GrownPixels,
    PixelBlocks,
    PixelRegions,
    PixelsSection,
    RandomPixels,
    StratifiedPixels,
    WholeFields,
)
from konvoi.recipe.split import SplitSection
from konvoi.record import Record
from konvoi.run import load_run
from konvoi.studies.folder import claim, read_results, write_results
from konvoi.studies.variants import to_its_last_epoch
from konvoi.training.display import Display, Silence

Tell = Callable[[str], None]

SPLITS = ("random", "stratified", "blocks", "guarded", "regions", "growing", "fields", "recipe")
"""`blocks` have no guard band, and `guarded` are the same with it; `recipe` is the recipe's own split."""

USUAL = ("random", "blocks", "guarded")


class LeakageResult(Record):
    """One training.

    Attributes:
        split: one of `SPLITS`.
        method: of the split, in words.
        leaks: whether windows of a later part hold pixels of an earlier one.
        train: training pixels, the same number for all splits of a seed.
        test: test pixels.
        holding: share of the test windows that contain training pixels.
        pixels: mean share of a test window's pixels that train.
        expected: `holding`, were as many training pixels drawn at random; see `data.pixels.leakage.Expectation`.
        overall_accuracy, average_accuracy, kappa: on the test split.
    """

    split: str
    seed: int
    method: str
    leaks: bool
    train: int
    test: int
    holding: float
    pixels: float
    expected: float
    overall_accuracy: float
    average_accuracy: float
    kappa: float | None


@dataclass(frozen=True)
class SplitSummary:
    """One split over its seeds: means, and the sample's standard deviations (None of a single seed).

    Attributes:
        name: of the split, with the word "leaking" where it leaks.
        scores: (mean, deviation) of overall accuracy, average accuracy and κ.
    """

    name: str
    seeds: int
    train: float
    test: float
    holding: float
    pixels: float
    expected: float
    scores: tuple[tuple[float, float | None], tuple[float, float | None], tuple[float, float | None]]


@dataclass(frozen=True)
class Panel:
    """What the figure shows of one split: the maps of its first seed.

    Attributes:
        name: of the split.
        data: name of the data.
        leaks: whether it leaks.
        parts: `(H, W)`.
        wrong: `(H, W)`: 1 where a test pixel was classified wrongly, 0 where rightly, -1 elsewhere.
    """

    name: str
    data: str
    leaks: bool
    parts: PartsMap
    wrong: NDArray[np.int8]


def study_leakage(
    recipe: Recipe,
    folder: Path,
    *,
    splits: Sequence[str] = USUAL,
    seeds: int = 3,
    epochs: int | None = None,
    data_dir: Path | None = None,
    tell: Tell = lambda line: None,
    display: Display | None = None,
) -> list[LeakageResult]:
    """Run the study, or the rest of one that was stopped.

    Args:
        recipe: source, network and training; of its split, the shares, the size of blocks, and `labelled`.
        folder: study.json, results.json and a run for each training go there.
        splits: some of `SPLITS`.
        seeds: how many, from 0 on; of the split, the first weights and the order of batches.
        epochs: fewer than the recipe's.
        data_dir: where the source's files are.
        tell: is given a line for each result.
        display: shows each training's progress; default: silence.

    Raises:
        RecipeError: there is no such split, no seed, or no cube in the recipe.
        DataError: the scene cannot be divided in one of these ways.
        RunError: the folder holds another study.
    """
    unknown = [name for name in splits if name not in SPLITS]
    if unknown or not splits:
        raise RecipeError(f"There is no split {', '.join(unknown) or 'named'}. There are {', '.join(SPLITS)}.")
    if seeds < 1:
        raise RecipeError(f"A study needs at least one seed; found {seeds}.")
    if recipe.source.kind != "cube":
        raise RecipeError(
            f"{recipe.name} reads a source of kind {recipe.source.kind}, and only windows of one scene can hold each "
            "other's pixels: this study needs a recipe with a cube, for example cube-cnn."
        )
    base = to_its_last_epoch(recipe, epochs)
    dataset = read_source(base.source, data_dir)
    # All splits are made before anything is trained: one that cannot be made is known at once.
    recipes = {seed: recipes_of(base, dataset, splits, seed) for seed in range(seeds)}
    # Which splits there are decides how many pixels all of them train on.
    claim(folder, {"question": "leakage", "recipe": base.model_dump(mode="json"), "splits": sorted(splits)})
    results = read_results(folder, LeakageResult)
    done = {(result.split, result.seed) for result in results}
    for seed in range(seeds):
        for name, (own, split) in recipes[seed].items():
            if (name, seed) in done:
                continue
            place = folder / "runs" / f"{name}-{seed}"
            run = train_or_resume(own, place, data_dir=data_dir, display=display or Silence())
            evaluation, leakage = run.evaluation, split.leakage
            assert evaluation is not None
            assert leakage is not None
            test = evaluation.test
            assert isinstance(test, Scores)
            of_train = leakage.overlaps[0]
            result = LeakageResult(
                split=name,
                seed=seed,
                method=split.method,
                leaks=leakage.leaks,
                train=len(split.train),
                test=test.samples,
                holding=of_train.share,
                pixels=of_train.pixels,
                expected=leakage.expected.of_windows,
                overall_accuracy=test.accuracy,
                average_accuracy=test.average_accuracy,
                kappa=test.kappa,
            )
            results.append(result)
            write_results(folder, results)
            tell(
                f"{called(name, result.leaks)}, seed {seed}: OA {test.accuracy:.2%}, AA {test.average_accuracy:.2%}; "
                f"{result.train:,} training pixels, in {percent(result.holding)} of {result.test:,} test windows"
            )
    return [result for result in results if result.split in splits and result.seed < seeds]


def recipes_of(recipe: Recipe, dataset: Dataset, splits: Sequence[str], seed: int) -> dict[str, tuple[Recipe, Split]]:
    """For each split its recipe, and the split itself, with as many training pixels as the poorest of them has.

    Raises:
        DataError: one of the splits cannot be made; it is named.
    """
    sections = {name: split_section(recipe.split, name, seed) for name in splits}
    whole = {name: _made(dataset, section, name) for name, section in sections.items()}
    fewest = min(len(split.train) for split in whole.values())
    wanted = max(1, round(recipe.split.labelled * fewest))
    made = {}
    for name, section in sections.items():
        limited = section.model_copy(update={"labelled": wanted / len(whole[name].train), "labelled_seed": seed})
        own = recipe.model_copy(update={"split": limited, "seed": seed, "baselines": ()})
        made[name] = (Recipe.model_validate(own.model_dump()), _made(dataset, limited, name))
    return made


def split_section(section: SplitSection, name: str, seed: int) -> SplitSection:
    """The recipe's split section, dividing in the named way, with all its training labels."""
    own = section.pixels
    size = own.size if isinstance(own, PixelBlocks) else PixelBlocks(method="blocks").size
    ways: dict[str, PixelsSection | None] = {
        "random": RandomPixels(method="random"),
        "stratified": StratifiedPixels(method="stratified"),
        "blocks": PixelBlocks(method="blocks", size=size, guard="none"),
        "guarded": PixelBlocks(method="blocks", size=size),
        "regions": own if isinstance(own, PixelRegions) else PixelRegions(method="regions"),
        "growing": GrownPixels(method="growing"),
        "fields": WholeFields(method="fields"),
        "recipe": own,
    }
    update = {"pixels": ways[name], "allow_leakage": True, "seed": seed, "labelled": 1.0}
    return section.model_copy(update=update)


def panels(
    recipe: Recipe, folder: Path, splits: Sequence[str], *, epochs: int | None = None, data_dir: Path | None = None
) -> list[Panel]:
    """The maps of the first seed's runs, for the figure; arguments as of `study_leakage`, which was run before."""
    base = to_its_last_epoch(recipe, epochs)
    dataset = read_source(base.source, data_dir)
    assert isinstance(dataset.images, CubeWindows)
    found = []
    for name, (_, split) in recipes_of(base, dataset, splits, 0).items():
        positions = {"train": split.train, "validation": split.validation, "test": split.test.indices_for_audit()}
        predictions = load_run(folder / "runs" / f"{name}-0").predictions("test")
        wrong = np.full(dataset.images.cube.shape[1:], -1, dtype=np.int8)
        rows, columns = dataset.images.pixels[predictions.positions].T
        wrong[rows, columns] = predictions.probabilities.argmax(axis=1) != predictions.labels
        assert split.leakage is not None
        found.append(Panel(name, dataset.name, split.leakage.leaks, parts_map(dataset, positions), wrong))
    return found


def summarise(results: Sequence[LeakageResult]) -> list[SplitSummary]:
    """By split, in the order of `SPLITS`."""
    summaries = []
    for name in SPLITS:
        own = [result for result in results if result.split == name]
        if own:
            summaries.append(
                SplitSummary(
                    name=called(name, any(result.leaks for result in own)),
                    seeds=len(own),
                    train=float(np.mean([result.train for result in own])),
                    test=float(np.mean([result.test for result in own])),
                    holding=float(np.mean([result.holding for result in own])),
                    pixels=float(np.mean([result.pixels for result in own])),
                    expected=float(np.mean([result.expected for result in own])),
                    scores=(
                        _mean_and_deviation([result.overall_accuracy for result in own]),
                        _mean_and_deviation([result.average_accuracy for result in own]),
                        _mean_and_deviation([result.kappa for result in own if result.kappa is not None]),
                    ),
                )
            )
    return summaries


def called(name: str, leaks: bool) -> str:
    """A split's name in tables and figures."""
    return f"{name} (leaking)" if leaks else name


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    if not values:
        return float("nan"), None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _made(dataset: Dataset, section: SplitSection, name: str) -> Split:
    try:
        split = make_split(dataset, section)
    except DataError as error:
        raise DataError(f"Split {name}, seed {section.seed}: {error}") from error
    if split.leakage is None:
        raise DataError(f"{dataset.name} is no scene, and so has no windows that could overlap.")
    return split
