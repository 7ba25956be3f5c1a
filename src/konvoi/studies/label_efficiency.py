"""How many labels does it take? The same test score over the number of labelled images, for several ways to use them.

`scratch` trains the recipe's network from random weights and `finetune` from pretrained ones; `linear`, `svm` and `knn`
put a classifier on the pretrained network's features, which stay as they are (`studies.probes`). `svmnet` fits a
convolutional SVM network forward (`studies.forward_recipe`), and `rbf-svm` is a support vector machine on the spectrum
of a cube's pixel, or on all pixels of a small image. Subsets are nested and stratified, and the same for all methods;
each seed draws another order of them, other first weights and another order of batches. Validation has no say: every
training ends with its last epoch. So the test split, which is scored once a run, chooses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.patch_arrays import PatchArrays
from konvoi.data.split import labelled_part
from konvoi.data.windows import CubeWindows
from konvoi.errors import RecipeError
from konvoi.evaluation.baselines import fit_baseline
from konvoi.evaluation.inference import predict_logits
from konvoi.evaluation.several_labels import SeveralLabelScores, average_precisions
from konvoi.experiment import prepare, train_or_resume
from konvoi.experiment.beside import spectra_of
from konvoi.experiment.start import contract_of, pretraining_recipe, start_from_pretrained
from konvoi.models.stages import FeatureExtractor
from konvoi.recipe import Recipe
from konvoi.recipe.network import Pretrained
from konvoi.recipe.split import SplitSection
from konvoi.record import Record
from konvoi.studies.folder import claim, read_results, write_results
from konvoi.studies.forward_recipe import forward_recipe
from konvoi.studies.probes import PROBES
from konvoi.training.display import Display, Silence

NEEDING_WEIGHTS = ("finetune", *PROBES)
METHODS = ("scratch", *NEEDING_WEIGHTS, "svmnet", "rbf-svm")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Point:
    """How many labels, in which order.

    Attributes:
        share: of the training split; of a number a class None.
        per_class: training images of each class; of a share None.
        seed: of the order, the first weights and the batches.
    """

    share: float | None
    per_class: int | None
    seed: int

    def of(self, split: SplitSection) -> SplitSection:
        """A split with so many labels."""
        share = 1.0 if self.share is None else self.share
        update = {"labelled": share, "labelled_per_class": self.per_class, "labelled_seed": self.seed}
        return split.model_copy(update=update)

    @property
    def in_words(self) -> str:
        """For the names of folders, "0.1-0" or "5-a-class-0"."""
        return f"{self.share:g}-{self.seed}" if self.per_class is None else f"{self.per_class}-a-class-{self.seed}"


class LabelResult(Record):
    """One point: a method, a number of labels, a seed.

    Attributes:
        share: of the training split's labels; None where labels were counted a class.
        per_class: labels a class; None where a share of all was used.
        labelled: images whose labels were used.
        measure: accuracy, or macro mAP where an image may have several labels; with a word where the split leaks.
        score: on the test split.
    """

    method: str
    share: float | None = None
    per_class: int | None = None
    seed: int
    labelled: int
    measure: str
    score: float


@dataclass(frozen=True)
class Study:
    """What all points of a study share; see `study_labels`."""

    recipe: Recipe
    folder: Path
    data_dir: Path | None
    weights: str | None
    forward: Recipe | None
    least_steps: int | None
    display: Display
    keep: Callable[[LabelResult], None]


def study_labels(
    recipe: Recipe,
    folder: Path,
    *,
    data_dir: Path | None = None,
    weights: str | None = None,
    methods: Sequence[str] | None = None,
    shares: Sequence[float] = (0.01, 0.1, 1.0),
    per_class: Sequence[int] = (),
    seeds: int = 3,
    forward: Recipe | None = None,
    least_steps: int | None = None,
    tell: Tell = lambda line: None,
    display: Display | None = None,
) -> list[LabelResult]:
    """Run the study, or the rest of one that was stopped.

    Args:
        recipe: source, split, network and training.
        folder: results.json, and a run for each training, go there; what is there already is not made again.
        data_dir: where the source's files are.
        weights: a public set's name, a file, or a run; default: the recipe's `pretrained` or `pretraining`.
        methods: some of `METHODS`; default: those for which all is there that they need.
        shares: of the training split, each in (0, 1].
        per_class: numbers of labels a class, beside or instead of shares.
        seeds: how many, from 0 on.
        forward: whose network, optim and input the method `svmnet` takes; default: see `studies.forward_recipe`.
        least_steps: optimiser steps that every training by gradients gets at least: where labels are few, an epoch is
            a step or two, and a recipe's epochs would end before anything is learned.
        tell: is given a line for each result.
        display: shows each training's progress; default: silence.

    Raises:
        RecipeError: a method is not known, or needs pretrained weights and there are none.
        RunError: the folder holds another study.
    """
    if not (shares or per_class) or not all(0 < share <= 1 for share in shares) or seeds < 1:
        raise RecipeError(f"Shares are above 0 and at most 1, and seeds at least 1; found {list(shares)} and {seeds}.")
    if not all(count >= 1 for count in per_class):
        raise RecipeError(f"Labels a class are whole numbers of 1 or more; found {list(per_class)}.")
    methods = _chosen(methods, recipe, weights, data_dir)
    question = {"recipe": recipe.model_dump(mode="json"), "weights": weights}
    if forward is not None:
        question["forward"] = forward.model_dump(mode="json")
    if least_steps is not None:
        question["least steps"] = str(least_steps)
    claim(folder, question)
    results = read_results(folder, LabelResult)
    done = {(result.method, result.share, result.per_class, result.seed) for result in results}

    def keep(result: LabelResult) -> None:
        results.append(result)
        write_results(folder, results)
        tell(
            f"{result.method}, {result.labelled:,} labelled images, seed {result.seed}: {result.measure} "
            f"{result.score:.4f}"
        )

    study = Study(recipe, folder, data_dir, weights, forward, least_steps, display or Silence(), keep)
    points = [Point(share, None, seed) for share in sorted(shares) for seed in range(seeds)]
    points += [Point(None, count, seed) for count in sorted(per_class) for seed in range(seeds)]
    missing = {
        method: [point for point in points if (method, point.share, point.per_class, point.seed) not in done]
        for method in methods
    }
    pretrained = _pretrained(study) if any(method in NEEDING_WEIGHTS for method in methods) else None
    probes = {method: wanted for method, wanted in missing.items() if method in PROBES and wanted}
    if probes:
        assert pretrained is not None
        _probe(study, pretrained, probes)
    for method in methods:
        for point in missing[method] if method not in (*PROBES, "rbf-svm") else ():
            _train(study, pretrained, method, point)
    if missing.get("rbf-svm"):
        _classify_spectra(study, missing["rbf-svm"])
    return results


def _chosen(methods: Sequence[str] | None, recipe: Recipe, weights: str | None, data_dir: Path | None) -> Sequence[str]:
    if methods is not None:
        unknown = [method for method in methods if method not in METHODS]
        if unknown:
            raise RecipeError(f"There is no method {', '.join(unknown)}. There are {', '.join(METHODS)}.")
        if recipe.network.kind == "svmnet" and set(methods) & {"scratch", "finetune"}:
            raise RecipeError(
                f"{recipe.name} is fitted forward, and scratch and finetune train by gradient steps. Study a recipe "
                "that is trained so, with --svmnet for this one."
            )
        return methods
    with_weights = weights is not None or recipe.pretrained is not None or recipe.pretraining is not None
    forward = recipe.network.kind == "svmnet"
    several = recipe.loss.kind not in ("cross-entropy", "mse")
    return [
        *(["scratch"] if not forward else []),
        *(NEEDING_WEIGHTS if with_weights and not forward else ()),
        *([] if several else ["svmnet"]),
        *(["rbf-svm"] if recipe.source.kind == "cube" else []),
    ]


def _train(study: Study, pretrained: Pretrained | None, method: str, point: Point) -> None:
    if method == "svmnet":
        recipe = forward_recipe(study.recipe, study.forward, study.data_dir)
    else:
        recipe = study.recipe
    own = _with(recipe, pretrained if method == "finetune" else None, point)
    if study.least_steps is not None and method != "svmnet":
        own = _with_steps(own, study.least_steps, study.data_dir)
    place = study.folder / "runs" / f"{method}-{point.in_words}"
    run = train_or_resume(own, place, data_dir=study.data_dir, display=study.display)
    evaluation = run.evaluation
    assert evaluation is not None
    assert evaluation.test is not None
    if isinstance(evaluation.test, SeveralLabelScores):
        measure, score = "macro mAP", evaluation.test.macro_map
    else:
        measure, score = f"accuracy{', leaking' if run.facts.data.leaks else ''}", evaluation.test.accuracy
    study.keep(_result(method, point, run.facts.data.split_sizes["train"], measure, score))


def _probe(study: Study, pretrained: Pretrained, wanted: Mapping[str, Sequence[Point]]) -> None:
    """Features of all images once, then a classifier for each method, number of labels and seed."""
    whole = _with(study.recipe, pretrained, Point(1.0, None, 0))
    contract = contract_of(pretrained) if whole.input.normalise == "weights" else None
    material = prepare(whole, study.data_dir, contract)
    dataset, split = material.dataset, material.split
    start_from_pretrained(material.network, pretrained, material.bands)
    extractor = FeatureExtractor(material.network)

    def features_of(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        return predict_logits(extractor, dataset.images, material.bands, positions, whole.input.resample)

    test = split.test.open("label study", study.folder / "test_reads.jsonl")
    known, asked = features_of(split.train), features_of(test)
    labels, truth = dataset.labels[split.train], dataset.labels[test]
    for point in dict.fromkeys(point for points in wanted.values() for point in points):
        chosen = labelled_part(labels, point.of(whole.split))
        for method, points in wanted.items():
            if point in points:
                scores = PROBES[method](known[chosen], labels[chosen], asked, len(dataset.class_names))
                measure, score = _score(scores, truth)
                leaks = split.leakage is not None and split.leakage.leaks
                study.keep(_result(method, point, len(chosen), measure + ", leaking" * leaks, score))


def _classify_spectra(study: Study, wanted: Sequence[Point]) -> None:
    """The RBF machine, which sees no more than the spectrum of a pixel, or all pixels of a small image."""
    # Whatever the network, it is not used.
    material = prepare(study.recipe, study.data_dir)
    dataset, split = material.dataset, material.split
    images = dataset.images
    if dataset.several_labels or isinstance(images, PatchArrays):
        raise RecipeError("The method rbf-svm is for cubes and small images with one label each. Leave it out.")

    def values_of(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        if isinstance(images, CubeWindows):
            return spectra_of(images, positions)
        return images[positions].reshape(len(positions), -1).astype(np.float32)

    test = split.test.open("label study", study.folder / "test_reads.jsonl")
    known, asked = values_of(split.train), values_of(test)
    labels, truth = dataset.labels[split.train].astype(np.int64), dataset.labels[test]
    leaks = split.leakage is not None and split.leakage.leaks
    for point in wanted:
        chosen = labelled_part(labels, point.of(study.recipe.split))
        fitted = fit_baseline("rbf-svm", known[chosen], labels[chosen], point.seed)
        score = float((fitted.predict(asked) == truth).mean())
        study.keep(_result("rbf-svm", point, len(chosen), "accuracy" + ", leaking" * leaks, score))


def _result(method: str, point: Point, labelled: int, measure: str, score: float) -> LabelResult:
    return LabelResult(
        method=method,
        share=point.share,
        per_class=point.per_class,
        seed=point.seed,
        labelled=labelled,
        measure=measure,
        score=score,
    )


def _score(scores: NDArray[np.float64], truth: NDArray[np.int64] | NDArray[np.uint8]) -> tuple[str, float]:
    if truth.ndim == 1:
        return "accuracy", float((scores.argmax(axis=1) == truth).mean())
    precisions = [value for value in average_precisions(scores.astype(np.float32), truth > 0) if value is not None]
    return "macro mAP", float(np.mean(precisions))


def _with(recipe: Recipe, pretrained: Pretrained | None, point: Point) -> Recipe:
    """The recipe of one point; it ends with its last epoch, whatever validation says."""
    budget = recipe.budget.model_copy(update={"keep": "last", "early_stopping": None})
    update = {
        "split": point.of(recipe.split),
        "budget": budget,
        "seed": point.seed,
        "pretrained": pretrained,
        "pretraining": None,
        "baselines": (),
    }
    if pretrained is None and recipe.input.normalise == "weights":
        update["input"] = recipe.input.model_copy(update={"normalise": "standard"})
    return Recipe.model_validate(recipe.model_copy(update=update).model_dump())


def _with_steps(recipe: Recipe, least: int, data_dir: Path | None) -> Recipe:
    """The recipe with so many epochs that it has at least so many optimiser steps."""
    samples = len(prepare(recipe, data_dir).split.train)
    epochs = max(recipe.budget.epochs, -(-least // -(-samples // recipe.budget.batch)))
    return recipe.model_copy(update={"budget": recipe.budget.model_copy(update={"epochs": epochs})})


def _pretrained(study: Study) -> Pretrained:
    recipe = study.recipe
    if study.weights is not None:
        return Pretrained(weights=study.weights)
    if recipe.pretrained is not None:
        return recipe.pretrained.model_copy(update={"freeze": False})
    if recipe.pretraining is None:
        raise RecipeError(
            f"{recipe.name} names no pretrained weights, which {', '.join(NEEDING_WEIGHTS)} need. Give --weights, or a "
            "pretrained or pretraining section; or leave these methods out."
        )
    place = study.folder / "pretraining"
    train_or_resume(
        pretraining_recipe(recipe), place, data_dir=study.data_dir, evaluate_test=False, display=study.display
    )
    return Pretrained(weights=str(place))
