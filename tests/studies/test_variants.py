"""The batch and the precision study on digits: what they change, what they leave, and that a stopped one goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from konvoi.errors import LaunchError, RecipeError, RunError
from konvoi.recipe import Recipe, parse_recipe
from konvoi.run import load_run
from konvoi.studies.batch_size import study_batch_size, with_batch
from konvoi.studies.precisions import study_precisions
from konvoi.studies.variant_figure import batch_figure, precision_figure
from konvoi.studies.variants import VariantResult, summarise, to_its_last_epoch
from konvoi.training.schedule import peak_learning_rate

RECIPE = """
name: quick
source: {kind: digits}
input: {normalise: unit}
network: {kind: mlp, hidden: [32]}
optim: {kind: sgd, lr: 0.05, momentum: 0.9}
budget: {epochs: 3, batch: 64, early_stopping: 1}
compute: {precision: float32, device: cpu}
"""


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE, "a test")


def result(variant: str, seed: int, score: float | None, speed: float = 100.0) -> VariantResult:
    return VariantResult(
        variant=variant, seed=seed, lr=0.1, epochs=2, measure="accuracy", score=score, interval=None,
        samples_per_second=speed, precision="float32", device="cpu", threads=1,
    )  # fmt: skip


def test_a_batch_study_stopped_and_continued(recipe: Recipe, tmp_path: Path) -> None:
    lines: list[str] = []
    results = study_batch_size(recipe, tmp_path / "study", [256, 32], seeds=2, tell=lines.append)
    assert [(entry.variant, entry.seed) for entry in results] == [("32", 0), ("256", 0), ("32", 1), ("256", 1)]
    assert [entry.lr for entry in results[:2]] == [pytest.approx(0.025), pytest.approx(0.2)]
    assert all(entry.epochs == 3 and entry.score is not None and entry.score > 0.5 for entry in results)
    assert len(lines) == 4
    run = load_run(tmp_path / "study/runs/256-1")
    assert run.recipe.seed == 1
    assert run.recipe.budget.batch == 256
    assert run.recipe.budget.early_stopping is None
    assert not run.test_log.exists()
    assert run.evaluation is not None
    assert (run.evaluation.validation.interval, run.evaluation.test) == (results[3].interval, None)

    # Stopped after the second result; the third run stands there already and is not made again.
    path = tmp_path / "study" / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:2]))
    again = study_batch_size(recipe, tmp_path / "study", [32, 256], seeds=2)
    assert again == results
    # Another batch is one more question to the same study; another recipe, or learning rate, is another study.
    assert len(study_batch_size(recipe, tmp_path / "study", [128], seeds=1)) == 1
    with pytest.raises(RunError, match="holds another study: its keep_lr differs"):
        study_batch_size(recipe, tmp_path / "study", [32], keep_lr=True)
    axes = batch_figure(results).axes
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["32", "256"]


def test_the_learning_rate_follows_the_batch_or_stays(recipe: Recipe) -> None:
    assert peak_learning_rate(with_batch(recipe, 256, keep_lr=False)) == pytest.approx(0.2)
    assert peak_learning_rate(with_batch(recipe, 256, keep_lr=True)) == 0.05
    meant = recipe.model_copy(update={"optim": recipe.optim.model_copy(update={"lr_reference_batch": 128})})
    assert peak_learning_rate(with_batch(meant, 256, keep_lr=False)) == pytest.approx(0.1)
    assert peak_learning_rate(with_batch(meant, 256, keep_lr=True)) == pytest.approx(0.025)


def test_a_training_that_diverges_is_an_answer(recipe: Recipe, tmp_path: Path) -> None:
    wild = parse_recipe(RECIPE.replace("lr: 0.05", "lr: 1.0e+30"), "a test")
    results = study_batch_size(wild, tmp_path / "study", [64], seeds=1)
    assert [entry.score for entry in results] == [None]
    assert study_batch_size(wild, tmp_path / "study", [64], seeds=1) == results
    assert "diverged" in [text.get_text() for text in batch_figure(results).axes[1].texts]


def test_precisions_that_cannot_be_done_are_named(recipe: Recipe, tmp_path: Path) -> None:
    results, impossible = study_precisions(recipe, tmp_path / "study", seeds=1, epochs=2)
    assert [entry.variant for entry in results] == ["float32", "bfloat16"]
    assert [entry.precision for entry in results] == ["float32", "bfloat16"]
    assert all(entry.epochs == 2 for entry in results)
    assert {name: "needs a GPU" in reason for name, reason in impossible.items()} == {"tf32": True, "float16": True}
    axes = precision_figure(results).axes
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ["float32", "bfloat16"]
    with pytest.raises(RecipeError, match="tf32 needs a GPU"):
        study_precisions(recipe, tmp_path / "other", ["tf32"])
    with pytest.raises(RecipeError, match="There is no precision 'float8'"):
        study_precisions(recipe, tmp_path / "other", ["float8"])


def test_means_and_spreads_over_seeds() -> None:
    results = [result("64", 0, 0.5), result("64", 1, 0.7), result("64", 2, None, speed=400.0), result("8", 0, None)]
    some, none = summarise(results)
    assert (some.seeds, some.diverged, some.mean, some.lowest, some.highest) == (3, 1, pytest.approx(0.6), 0.5, 0.7)
    assert some.deviation == pytest.approx(0.02**0.5)
    assert some.speed == pytest.approx(200)
    assert (none.mean, none.deviation, none.diverged) == (None, None, 1)


def test_what_cannot_be_studied_is_said(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for batches in ([], [0], [8, 8]):
        with pytest.raises(RecipeError, match="whole numbers from 1 on, each once"):
            study_batch_size(recipe, tmp_path / "study", batches)
    slow = parse_recipe(RECIPE + "schedule: {kind: cosine, warmup_epochs: 3}", "a test")
    with pytest.raises(RecipeError, match=r"warmup_epochs is 3 and budget\.epochs 2"):
        to_its_last_epoch(slow, 2)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29501"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError, match="rank 1 of 2, started by torchrun; a study is one process"):
        study_batch_size(recipe, tmp_path / "study", [8])
