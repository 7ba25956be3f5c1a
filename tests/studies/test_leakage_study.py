"""The leakage study on a small scene: what is equal between splits, what is called leaking, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from konvoi.console.studies import print_leakage_study
from konvoi.data.pixels.parts import TEST, TRAIN
from konvoi.data.sources import read_source
from konvoi.errors import RecipeError, RunError
from konvoi.recipe import Recipe, parse_recipe
from konvoi.run import load_run
from konvoi.studies.folder import leaking_runs
from konvoi.studies.leakage import LeakageResult, panels, recipes_of, study_leakage, summarise
from konvoi.studies.leakage_figure import RIGHT, errors_picture, leakage_figure
from made_cubes import RECIPE, field_map, write_cube

SPLITS = ("random", "blocks", "guarded")


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE, "a test")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cube")
    write_cube(folder, field_map(), noise=2.0)
    return folder


def test_a_study_from_splits_to_figure(
    recipe: Recipe, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    results = study_leakage(recipe, folder, splits=SPLITS, seeds=2, data_dir=data)
    assert [(result.split, result.seed) for result in results] == [(name, seed) for seed in (0, 1) for name in SPLITS]
    for seed in (0, 1):
        own = {result.split: result for result in results if result.seed == seed}
        # Where training pixels lie is all that differs, and blocks differ from guarded ones in the guard alone.
        assert len({result.train for result in own.values()}) == 1
        assert own["blocks"].test == own["guarded"].test
        assert {name: result.leaks for name, result in own.items()} == {
            "random": True,
            "blocks": True,
            "guarded": False,
        }
        assert own["random"].holding > own["blocks"].holding > own["guarded"].holding == 0
        assert own["random"].holding == pytest.approx(own["random"].expected, abs=0.05)
    run = load_run(folder / "runs" / "random-1")
    assert (run.recipe.seed, run.recipe.split.seed, run.recipe.budget.keep) == (1, 1, "last")
    assert run.facts.data.leaks
    assert run.evaluation is not None
    assert run.evaluation.test_reads == 1
    assert results[3].overall_accuracy == run.evaluation.test.accuracy  # type: ignore[union-attr]

    assert leaking_runs(folder)
    assert not leaking_runs(tmp_path)

    maps = panels(recipe, folder, SPLITS, data_dir=data)
    for panel, result in zip(maps, results[:3], strict=True):
        assert (panel.parts == TRAIN).sum() == result.train
        assert np.array_equal(panel.wrong >= 0, panel.parts == TEST)
        assert (panel.wrong == 0).sum() == round(result.overall_accuracy * result.test)
    figure = leakage_figure(maps, results, "fields")
    words = [text.get_text() for text in figure.texts]
    assert words.count("leaking") == 2
    assert "100% of test windows hold training pixels" in words[words.index("random") :][:4]

    print_leakage_study(results)
    table = capsys.readouterr().out
    assert "random (leaking)" in table
    assert "guarded (leaking)" not in table

    # Stopped after two results and in the middle of a run, the rest is made again and is the same.
    path = folder / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:2]))
    (folder / "runs" / "guarded-0" / "evaluation.json").unlink()
    assert study_leakage(recipe, folder, splits=SPLITS, seeds=2, data_dir=data) == results
    with pytest.raises(RunError, match="holds another study: its splits differ"):
        study_leakage(recipe, folder, splits=("random",), data_dir=data)


def test_labelled_limits_all_splits_alike(recipe: Recipe, data: Path) -> None:
    dataset = read_source(recipe.source, data)
    half = recipe.model_copy(update={"split": recipe.split.model_copy(update={"labelled": 0.5})})
    whole, few = (recipes_of(some, dataset, SPLITS, 0) for some in (recipe, half))
    fewest = {len(split.train) for _, split in whole.values()}
    assert len(fewest) == 1
    assert {len(split.train) for _, split in few.values()} == {round(0.5 * fewest.pop())}


def test_what_cannot_be_studied_is_said(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"There is no split magic\. There are random, stratified, blocks"):
        study_leakage(recipe, tmp_path / "a", splits=("magic",), data_dir=data)
    with pytest.raises(RecipeError, match="at least one seed"):
        study_leakage(recipe, tmp_path / "a", seeds=0, data_dir=data)
    digits = Recipe.model_validate(
        {**recipe.model_dump(), "source": {"kind": "digits"}, "split": {}, "network": {"kind": "mlp"}}
    )
    with pytest.raises(RecipeError, match=r"of kind digits, .* needs a recipe with a cube, for example cube-cnn"):
        study_leakage(digits, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_summaries_are_means_and_spreads() -> None:
    results = [
        LeakageResult(
            split="random", seed=seed, method="", leaks=True, train=10, test=20, holding=1.0, pixels=0.25, expected=1.0,
            overall_accuracy=oa, average_accuracy=0.5, kappa=None,
        )
        for seed, oa in enumerate((0.8, 0.9, 1.0))
    ]  # fmt: skip
    (summary,) = summarise(results)
    assert summary.name == "random (leaking)"
    assert summary.scores[0] == (pytest.approx(0.9), pytest.approx(0.1))
    assert np.isnan(summary.scores[2][0])
    picture = errors_picture(np.array([[-1, 0, 1]], dtype=np.int8))
    assert picture.shape == (1, 3, 3)
    assert np.allclose(picture[0, 1] * 255, [int(RIGHT[place : place + 2], 16) for place in (1, 3, 5)])
