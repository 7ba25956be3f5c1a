"""How many labels does it take? The same test score over the number of labelled images, for several ways to use them.

`scratch` trains the recipe's network from random weights and `finetune` from pretrained ones; `linear`, `svm` and `knn`
put a classifier on the pretrained network's features, which stay as they are (`studies.probes`). Subsets are nested and
stratified; each seed draws another order of them, other first weights and another order of batches. Validation has no
say: every training ends with its last epoch. So the test split, which is scored once a run, chooses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.stratify import nested_order
from konvoi.errors import RecipeError
from konvoi.evaluation.inference import predict_logits
from konvoi.evaluation.several_labels import SeveralLabelScores, average_precisions
from konvoi.experiment import prepare, train_or_resume
from konvoi.experiment.start import contract_of, pretraining_recipe, start_from_pretrained
from konvoi.models.stages import FeatureExtractor
from konvoi.recipe import Recipe
from konvoi.recipe.schema import Pretrained
from konvoi.record import Record
from konvoi.studies.folder import claim, read_results, write_results
from konvoi.studies.probes import PROBES
from konvoi.training.display import Display, Silence

TRAINED = ("scratch", "finetune")
METHODS = (*TRAINED, *PROBES)

Tell = Callable[[str], None]


class LabelResult(Record):
    """One point: a method, a share of the labels, a seed.

    Attributes:
        labelled: images whose labels were used.
        measure: accuracy, or macro mAP where an image may have several labels.
        score: on the test split.
    """

    method: str
    share: float
    seed: int
    labelled: int
    measure: str
    score: float


def study_labels(
    recipe: Recipe,
    folder: Path,
    *,
    data_dir: Path | None = None,
    weights: str | None = None,
    methods: Sequence[str] = METHODS,
    shares: Sequence[float] = (0.01, 0.1, 1.0),
    seeds: int = 3,
    tell: Tell = lambda line: None,
    display: Display | None = None,
) -> list[LabelResult]:
    """Run the study, or the rest of one that was stopped.

    Args:
        recipe: source, split, network and training.
        folder: results.json, and a run for each training, go there; what is there already is not made again.
        data_dir: where the source's files are.
        weights: a public set's name, a file, or a run; default: the recipe's `pretrained` or `pretraining`.
        methods: some of `METHODS`.
        shares: of the training split, each in (0, 1].
        seeds: how many, from 0 on.
        tell: is given a line for each result.
        display: shows each training's progress; default: silence.

    Raises:
        RecipeError: a method is not known, or needs pretrained weights and there are none.
        RunError: the folder holds another study.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise RecipeError(f"There is no method {', '.join(unknown)}. There are {', '.join(METHODS)}.")
    if not all(0 < share <= 1 for share in shares) or seeds < 1:
        raise RecipeError(f"Shares are above 0 and at most 1, and seeds at least 1; found {list(shares)} and {seeds}.")
    display = display or Silence()
    claim(folder, {"recipe": recipe.model_dump(mode="json"), "weights": weights})
    pretrained = None
    if set(methods) - {"scratch"}:
        pretrained = _pretrained(recipe, folder, data_dir, weights, display)
    results = read_results(folder, LabelResult)
    done = {(result.method, result.share, result.seed) for result in results}

    def keep(result: LabelResult) -> None:
        results.append(result)
        write_results(folder, results)
        tell(
            f"{result.method}, {result.labelled:,} labelled images, seed {result.seed}: {result.measure} "
            f"{result.score:.4f}"
        )

    wanted = [(share, seed) for share in sorted(shares) for seed in range(seeds)]
    probes = [name for name in methods if name in PROBES]
    missing = [point for point in wanted if any((name, *point) not in done for name in probes)]
    if missing:
        assert pretrained is not None
        _probe(recipe, folder, data_dir, pretrained, probes, missing, done, keep)
    for method in methods:
        for share, seed in wanted:
            if method in TRAINED and (method, share, seed) not in done:
                start = pretrained if method == "finetune" else None
                keep(_trained(recipe, folder, data_dir, start, method, share, seed, display))
    return results


def _trained(
    recipe: Recipe,
    folder: Path,
    data_dir: Path | None,
    pretrained: Pretrained | None,
    method: str,
    share: float,
    seed: int,
    display: Display,
) -> LabelResult:
    place = folder / "runs" / f"{method}-{share:g}-{seed}"
    run = train_or_resume(_with(recipe, pretrained, share, seed), place, data_dir=data_dir, display=display)
    evaluation = run.evaluation
    assert evaluation is not None
    assert evaluation.test is not None
    if isinstance(evaluation.test, SeveralLabelScores):
        measure, score = "macro mAP", evaluation.test.macro_map
    else:
        measure, score = "accuracy", evaluation.test.accuracy
    return LabelResult(
        method=method,
        share=share,
        seed=seed,
        labelled=run.facts.data.split_sizes["train"],
        measure=measure,
        score=score,
    )


def _probe(
    recipe: Recipe,
    folder: Path,
    data_dir: Path | None,
    pretrained: Pretrained,
    methods: Sequence[str],
    wanted: Sequence[tuple[float, int]],
    done: set[tuple[str, float, int]],
    keep: Callable[[LabelResult], None],
) -> None:
    """Features of all images once, then a classifier for each method, share and seed."""
    whole = _with(recipe, pretrained, 1.0, 0)
    contract = contract_of(pretrained) if whole.input.normalise == "weights" else None
    material = prepare(whole, data_dir, contract)
    dataset, split = material.dataset, material.split
    start_from_pretrained(material.network, pretrained, material.bands)
    extractor = FeatureExtractor(material.network)

    def features_of(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        return predict_logits(extractor, dataset.images, material.bands, positions, whole.input.resample)

    test = split.test.open("label study", folder / "test_reads.jsonl")
    known, asked = features_of(split.train), features_of(test)
    labels, truth = dataset.labels[split.train], dataset.labels[test]
    for share, seed in wanted:
        chosen = nested_order(labels, seed)[: max(1, round(share * len(labels)))]
        for method in methods:
            if (method, share, seed) not in done:
                scores = PROBES[method](known[chosen], labels[chosen], asked, len(dataset.class_names))
                measure, score = _score(scores, truth)
                keep(
                    LabelResult(
                        method=method, share=share, seed=seed, labelled=len(chosen), measure=measure, score=score
                    )
                )


def _score(scores: NDArray[np.float64], truth: NDArray[np.int64] | NDArray[np.uint8]) -> tuple[str, float]:
    if truth.ndim == 1:
        return "accuracy", float((scores.argmax(axis=1) == truth).mean())
    precisions = [value for value in average_precisions(scores.astype(np.float32), truth > 0) if value is not None]
    return "macro mAP", float(np.mean(precisions))


def _with(recipe: Recipe, pretrained: Pretrained | None, share: float, seed: int) -> Recipe:
    """The recipe of one point; it ends with its last epoch, whatever validation says."""
    split = recipe.split.model_copy(update={"labelled": share, "labelled_seed": seed})
    budget = recipe.budget.model_copy(update={"keep": "last", "early_stopping": None})
    update = {"split": split, "budget": budget, "seed": seed, "pretrained": pretrained, "pretraining": None}
    if pretrained is None and recipe.input.normalise == "weights":
        update["input"] = recipe.input.model_copy(update={"normalise": "standard"})
    return Recipe.model_validate(recipe.model_copy(update=update).model_dump())


def _pretrained(
    recipe: Recipe, folder: Path, data_dir: Path | None, weights: str | None, display: Display
) -> Pretrained:
    if weights is not None:
        return Pretrained(weights=weights)
    if recipe.pretrained is not None:
        return recipe.pretrained.model_copy(update={"freeze": False})
    if recipe.pretraining is None:
        raise RecipeError(
            f"{recipe.name} names no pretrained weights, which all methods but scratch need. Give --weights, or a "
            "pretrained or pretraining section; or --methods scratch."
        )
    place = folder / "pretraining"
    train_or_resume(pretraining_recipe(recipe), place, data_dir=data_dir, evaluate_test=False, display=display)
    return Pretrained(weights=str(place))
