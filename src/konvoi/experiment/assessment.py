"""Scoring a trained network: on train and validation, and once on the sealed test split."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from konvoi.data.dataset import Dataset
from konvoi.data.patch_arrays import PatchArrays
from konvoi.data.seal import logged_openings
from konvoi.data.split import Split
from konvoi.errors import RunError
from konvoi.evaluation.categories import category_scores
from konvoi.evaluation.inference import predict_logits, sigmoid, softmax
from konvoi.evaluation.scores import Scores, score
from konvoi.evaluation.several_labels import SeveralLabelScores, score_several
from konvoi.evaluation.thresholds import tune_thresholds
from konvoi.experiment.beside import fit_baselines, score_baselines, score_members
from konvoi.experiment.categories import categories_of
from konvoi.experiment.material import Material, prepare_again
from konvoi.experiment.scene_map import scene_map
from konvoi.models.fusion import FusedNetwork
from konvoi.parallel.meeting import join
from konvoi.parallel.ranks import Ranks
from konvoi.randomness import numpy_stream
from konvoi.recipe import Recipe
from konvoi.run import Evaluation, Examples, Predictions, Run
from konvoi.training.checkpoint import load_weights
from konvoi.training.precision import choose_device

_MISTAKES_SHOWN = 32
_SAMPLES_SHOWN = 16
_MOST_PROBABILITIES = 20_000_000
"""Of the training split, whose scores only show how far the others are behind: 80 MB in float32."""


def evaluate(
    run: Run,
    *,
    data_dir: str | Path | None = None,
    again: bool = False,
    material: Material | None = None,
    test: bool = True,
) -> Evaluation:
    """Score the kept weights on train, validation and test, and write the scores, predictions and examples.

    A test split that was read before is not read again; the stored evaluation is returned.

    Args:
        run: a run whose training came to its end.
        data_dir: where the source's files are, if they have moved.
        again: read the test split once more, which the log and the report will show.
        material: what the run was trained on, if it is at hand.
        test: False leaves the test split sealed.

    Raises:
        RunError: the training has not come to its end, or the data are no longer the same.
    """
    ranks = join()
    kept = run.kept_weights()
    stored = run.evaluation
    if stored is not None and stored.test is not None and not again:
        return stored
    material = material or prepare_again(run, data_dir)
    network = material.network
    load_weights(network, kept.weights, run.checkpoints)
    # Before the test split is opened: what is interrupted here has not read it.
    baselines = fit_baselines(run.recipe, material) if test and ranks.is_first else []
    started = time.perf_counter()
    dataset, split, recipe = material.dataset, material.split, run.recipe
    place = data_dir if data_dir is not None else run.facts.data.data_dir
    members, hierarchy = categories_of(recipe, dataset, None if place is None else Path(place))
    # Not the recipe's own device: a network may be trained on a GPU and scored where there is none.
    network.to(choose_device("cpu" if recipe.compute.device == "cpu" else "auto", ranks.local_rank))
    train = _predict(network, material, _sample(split.train, len(dataset.class_names)), recipe, ranks)
    validation = _predict(network, material, split.validation, recipe, ranks)
    parts = {"validation": validation}
    if test:
        positions = np.array(ranks.from_first(lambda: _open_test(run, split).tolist()), dtype=np.int64)
        parts["test"] = _predict(network, material, positions, recipe, ranks)
    # Thresholds are part of what is learned; the test split has no say in them.
    thresholds = tune_thresholds(validation.probabilities, validation.labels) if dataset.several_labels else None
    judged = parts["test" if test else "validation"]
    evaluation = Evaluation(
        epoch=kept.epoch,
        weights=_weights_in_words(run.recipe, kept.epoch, dataset.several_labels),
        train=_score(train, dataset, thresholds),
        validation=_score(validation, dataset, thresholds),
        test=_score(parts["test"], dataset, thresholds) if test else None,
        categories=category_scores(judged.probabilities, judged.labels, members) if members else (),
        hierarchy=hierarchy,
        test_reads=len(logged_openings(run.test_log)),
        evaluated=datetime.now(UTC),
        seconds=time.perf_counter() - started,
    )
    if not ranks.is_first:
        return evaluation
    run.write_predictions(parts)
    opened = parts["test"].positions if test else None
    if baselines:
        run.write_baselines(score_baselines(baselines, material, opened))
    if isinstance(network, FusedNetwork):
        run.write_members(score_members(network, recipe, material, opened))
    run.write_examples((_patch_examples if dataset.several_labels else _examples)(dataset, judged, validation))
    scene = scene_map(material, test)
    if scene is not None:
        run.write_scene_map(scene)
    run.write_evaluation(evaluation)
    run.write_state("evaluated" if test else "trained")
    return evaluation


def _sample(train: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The training samples that are scored: all, or as many as fit into memory with all their probabilities."""
    most = max(1000, _MOST_PROBABILITIES // classes)
    if len(train) <= most:
        return train
    return train[np.sort(numpy_stream(0, "train scores", len(train)).permutation(len(train))[:most])]


def _open_test(run: Run, split: Split) -> NDArray[np.int64]:
    try:
        return split.test.open("evaluation", run.test_log)
    except OSError as error:
        raise RunError(
            f"{run.test_log} cannot be written: {error.strerror}. The test split stays sealed; mend this, then run "
            f"`konvoi evaluate {run.folder}`."
        ) from error


def _predict(
    network: nn.Module, material: Material, indices: NDArray[np.int64], recipe: Recipe, ranks: Ranks
) -> Predictions:
    dataset = material.dataset
    logits = predict_logits(network, dataset.images, material.bands, indices, recipe.input.resample, ranks=ranks)
    probabilities = sigmoid(logits) if dataset.several_labels else softmax(logits)
    return Predictions(positions=indices, labels=dataset.labels[indices], probabilities=probabilities)


def _score(
    predictions: Predictions, dataset: Dataset, thresholds: NDArray[np.float64] | None
) -> Scores | SeveralLabelScores:
    if thresholds is None:
        return score(predictions.probabilities, predictions.labels, dataset.class_names)
    return score_several(predictions.probabilities, predictions.labels, dataset.class_names, thresholds)


def _weights_in_words(recipe: Recipe, epoch: int, several_labels: bool) -> str:
    if recipe.network.kind == "svmnet":
        last = "those at the end classifiers" if recipe.network.scales else "the last a classifier"
        return f"{epoch} layers fitted forward, {last}"
    average = ", averaged weights" if recipe.budget.ema else ""
    best = "highest validation mAP" if several_labels else "highest validation accuracy"
    return f"epoch {epoch} of {recipe.budget.epochs}, {best if recipe.budget.keep == 'best' else 'the last'}{average}"


# ---- pictures for the report -------------------------------------------------------------------------------------


def _examples(dataset: Dataset, judged: Predictions, validation: Predictions) -> Examples:
    """The most confident mistakes among `judged`, and one typical validation image that was classified correctly."""
    predicted = judged.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != judged.labels)
    wrong = wrong[np.argsort(-judged.probabilities[wrong].max(axis=1), kind="stable")][:_MISTAKES_SHOWN]
    right = np.flatnonzero(validation.probabilities.argmax(axis=1) == validation.labels)
    specimen = validation.positions[right[0] if len(right) else 0]
    drawn = _drawn(judged) if isinstance(dataset.images, PatchArrays) else np.empty(0, np.int64)
    return _pictures(dataset, judged, wrong, drawn, int(specimen))


def _patch_examples(dataset: Dataset, judged: Predictions, validation: Predictions) -> Examples:
    """The samples of highest loss among `judged`, some drawn at random, and a validation sample of low loss."""
    losses = _binary_cross_entropy(judged)
    worst = np.argsort(-losses, kind="stable")[:_SAMPLES_SHOWN]
    specimen = validation.positions[int(np.argmin(_binary_cross_entropy(validation)))]
    return _pictures(dataset, judged, worst, _drawn(judged), int(specimen))


def _drawn(judged: Predictions) -> NDArray[np.int64]:
    order = numpy_stream(0, "examples", len(judged.labels)).permutation(len(judged.labels))
    return np.sort(order[:_SAMPLES_SHOWN])


def _binary_cross_entropy(predictions: Predictions) -> NDArray[np.float64]:
    chance = predictions.probabilities.astype(np.float64)
    of_truth = np.where(predictions.labels > 0, chance, 1 - chance)
    losses: NDArray[np.float64] = -np.log(np.clip(of_truth, 1e-38, None)).mean(axis=1)
    return losses


def _pictures(
    dataset: Dataset, judged: Predictions, mistakes: NDArray[np.int64], drawn: NDArray[np.int64], specimen: int
) -> Examples:
    names = dataset.sample_names
    content: dict[str, Any] = {}
    for kind, rows in (("mistake", mistakes), ("drawn", drawn)):
        positions = judged.positions[rows]
        content |= {
            "mistakes" if kind == "mistake" else "drawn": dataset.images[positions],
            f"{kind}_labels": judged.labels[rows],
            f"{kind}_probabilities": judged.probabilities[rows],
            f"{kind}_names": tuple(
                str(names[position]) if names is not None else f"sample {position}" for position in positions
            ),
        }
    return Examples(
        specimen=dataset.images[np.array([specimen])],
        specimen_labels=dataset.labels[specimen : specimen + 1],
        **content,
    )
