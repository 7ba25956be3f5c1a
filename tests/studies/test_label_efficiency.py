"""The label study: classifiers against values worked by hand, and a whole study on digits, stopped and continued."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from konvoi.errors import RecipeError, RunError
from konvoi.experiment import prepare
from konvoi.models.svmnet import svmnet
from konvoi.recipe import Recipe, parse_recipe
from konvoi.run import load_run
from konvoi.studies.forward_recipe import default_network
from konvoi.studies.label_efficiency import LabelResult, study_labels
from konvoi.studies.label_figure import label_figure, points_of
from konvoi.studies.probes import PROBES, nearest_neighbours

RECIPE = """
name: few
source: {kind: digits}
input: {normalise: unit}
network:
  kind: cnn
  blocks: [{maps: 12, norm: batch, pool: max}, {maps: 24, norm: batch}]
  global_pool: average
optim: {kind: adamw, lr: 0.01, layer_decay: 0.7}
budget: {epochs: 4, batch: 64}
compute: {precision: float32}
pretraining: {budget: {epochs: 6, batch: 64}}
"""


OF_WEIGHTS = ("scratch", "finetune", "linear", "svm", "knn")


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE, "a test")


class TestProbes:
    def test_the_votes_of_neighbours_by_hand(self) -> None:
        train = np.array([[1, 0], [0, 1]], np.float32)
        scores = nearest_neighbours(train, np.array([0, 1]), np.array([[3, 4]], np.float32), 2)
        weights = np.exp(np.array([0.6, 0.8]) / 0.07)
        np.testing.assert_allclose(scores[0], weights / weights.sum(), rtol=1e-6)

    @pytest.mark.parametrize("name", PROBES)
    @pytest.mark.parametrize("several", [False, True])
    def test_they_find_what_can_be_told_apart(self, name: str, several: bool) -> None:
        stream = np.random.default_rng(0)
        features = stream.normal(size=(300, 6)).astype(np.float32)
        truth = features[:, :3] + 0.1 * stream.normal(size=(300, 3))
        labels = (truth > 0.3).astype(np.uint8) if several else truth.argmax(axis=1)
        scores = PROBES[name](features[:200], labels[:200], features[200:], 3)
        if several:
            right = (
                (scores > np.median(scores, axis=0)) == (features[200:, :3] > np.median(features[200:, :3], axis=0))
            ).mean()
        else:
            right = (scores.argmax(axis=1) == labels[200:]).mean()
        assert right > (0.75 if name == "knn" else 0.85)

    @pytest.mark.parametrize("name", PROBES)
    def test_a_label_that_nobody_or_everybody_has_is_no_error(self, name: str) -> None:
        features = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
        features[0] += 6
        labels = np.zeros((12, 3), np.uint8)
        labels[:, 1] = 1
        labels[0, 2] = 1
        scores = PROBES[name](features, labels, features, 3)
        assert scores.shape == (12, 3)
        assert np.isfinite(scores).all()
        assert scores[:, 2].argmax() == 0


def test_a_study_from_pretraining_to_figure(recipe: Recipe, tmp_path: Path) -> None:
    lines: list[str] = []
    results = study_labels(
        recipe, tmp_path / "study", methods=OF_WEIGHTS, shares=(0.02, 0.3), seeds=2, tell=lines.append
    )
    assert len(results) == len(lines) == 5 * 2 * 2
    train = load_run(tmp_path / "study/pretraining").facts.data.split_sizes["train"]
    labelled = {result.share: result.labelled for result in results}
    assert abs(labelled[0.02] - 0.02 * train) <= 1
    assert abs(labelled[0.3] - 0.3 * train) <= 1
    best = {point.labelled: point.mean for point in points_of(results) if point.method == "linear"}
    scratch = {point.labelled: point.mean for point in points_of(results) if point.method == "scratch"}
    few = labelled[0.02]
    # The features were learned from all labels here, so 23 images say much more with them than without.
    assert best[few] > scratch[few] + 0.2
    assert scratch[labelled[0.3]] > scratch[few]
    # No training was allowed to look at validation, and each read the test once.
    run = load_run(tmp_path / "study/runs/finetune-0.02-1")
    assert run.recipe.budget.keep == "last"
    assert run.recipe.split.labelled == 0.02
    assert run.evaluation is not None
    assert run.evaluation.test_reads == 1
    assert "last layer new" in run.facts.start
    figure = label_figure(results)
    assert [text.get_text() for text in figure.axes[0].texts].count("linear probe") == 1

    # Stopped after five results, the rest is made again and is the same.
    path = tmp_path / "study" / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:5]))
    again = study_labels(recipe, tmp_path / "study", methods=OF_WEIGHTS, shares=(0.02, 0.3), seeds=2)
    assert sorted(again, key=repr) == sorted(results, key=repr)
    with pytest.raises(RunError, match="holds another study: its recipe differs"):
        study_labels(recipe.model_copy(update={"seed": 9}), tmp_path / "study")


def test_what_cannot_be_studied_is_said(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"There is no method magic\. There are scratch, finetune, linear, svm, knn, svmnet, rbf-svm"
    ):
        study_labels(recipe, tmp_path / "a", methods=["magic"])
    with pytest.raises(RecipeError, match="Shares are above 0"):
        study_labels(recipe, tmp_path / "a", shares=[0.0])
    plain = recipe.model_copy(update={"pretraining": None})
    with pytest.raises(RecipeError, match="names no pretrained weights, which finetune, linear, svm, knn need"):
        study_labels(plain, tmp_path / "b", methods=["scratch", "linear"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    with pytest.raises(RunError, match="is not empty and holds no study"):
        study_labels(recipe, tmp_path / "mine")


def test_points_are_means_and_spreads() -> None:
    results = [
        LabelResult(method="knn", share=0.1, seed=seed, labelled=10, measure="accuracy", score=score)
        for seed, score in enumerate((0.5, 0.6, 0.7))
    ]
    (point,) = points_of(results)
    assert (point.mean, point.lowest, point.highest, point.seeds) == (pytest.approx(0.6), 0.5, 0.7, 3)
    assert point.deviation == pytest.approx(0.1)


def test_labels_a_class_and_methods_without_weights(recipe: Recipe, tmp_path: Path) -> None:
    plain = recipe.model_copy(update={"pretraining": None})
    folder = tmp_path / "study"
    results = study_labels(
        plain, folder, methods=("scratch", "svmnet", "rbf-svm"), shares=(), per_class=(3, 12), seeds=1, least_steps=40
    )
    assert {(result.method, result.per_class, result.labelled) for result in results} == {
        (method, count, 10 * count) for method in ("scratch", "svmnet", "rbf-svm") for count in (3, 12)
    }
    score = {(result.method, result.per_class): result.score for result in results}
    assert score["svmnet", 12] > score["svmnet", 3] > 0.5
    assert score["rbf-svm", 12] > 0.8
    few, forward = (load_run(folder / f"runs/{method}-3-a-class-0") for method in ("scratch", "svmnet"))
    assert few.history[-1].steps == 40  # 30 images are one step an epoch
    assert set(few.facts.data.class_counts["train"]) == {3}
    # The same images for all methods, in a network that no recipe was written for.
    assert forward.facts.data.split_fingerprint == few.facts.data.split_fingerprint
    assert forward.recipe.network.kind == "svmnet"
    assert forward.layers[0].filters[0].patches > 4
    figure = label_figure(results)
    assert figure.axes[0].get_xlabel().startswith("labelled training images of each class")
    with pytest.raises(RecipeError, match="is fitted forward, and scratch and finetune train by gradient steps"):
        study_labels(forward.recipe, tmp_path / "other", methods=["scratch"])


def test_fewer_labels_a_class_lie_inside_more(recipe: Recipe) -> None:
    def positions(count: int, seed: int = 0) -> set[int]:
        split = recipe.split.model_copy(update={"labelled_per_class": count, "labelled_seed": seed})
        material = prepare(recipe.model_copy(update={"split": split}), None)
        return set(material.split.train.tolist())

    few, more, all_there_are = positions(5), positions(20), positions(100_000)
    assert few < more < all_there_are
    assert (len(few), len(more)) == (50, 200)
    assert positions(5, seed=1) != few
    assert len(all_there_are) == len(prepare(recipe, None).split.train)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 64, 64), (224, 9, 9), (103, 1, 1), (12, 120, 120)])
def test_the_network_for_any_image_fits_and_ends_small(shape: tuple[int, int, int]) -> None:
    network = svmnet(default_network(shape), shape, 7)
    logits = network.get_submodule("logits")
    assert logits.in_features <= 80 * 5 * 5  # type: ignore[operator]
    assert network(torch.zeros(2, *shape)).shape == (2, 7)
