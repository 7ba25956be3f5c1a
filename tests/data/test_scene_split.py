"""The split of a scene as recipes ask for it: positions, what is left out, what is refused, what is called leaking."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from konvoi.data.dataset import Dataset
from konvoi.data.pixels.parts import GUARD, TEST, TRAIN, UNLABELLED, VALIDATION
from konvoi.data.scene_split import parts_map
from konvoi.data.sources import read_source
from konvoi.data.split import Split, make_split
from konvoi.errors import DataError
from konvoi.experiment import prepare
from konvoi.experiment.material import data_facts
from konvoi.recipe import Recipe, parse_recipe
from made_cubes import RECIPE, field_map, write_cube

TRUTH = field_map()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cube")
    write_cube(made, TRUTH)
    return made


def recipe_with(**split: object) -> Recipe:
    recipe = parse_recipe(RECIPE, "a test")
    section = {"test": 0.4, "validation": 0.25, **split}
    return Recipe.model_validate({**recipe.model_dump(), "split": section})


def divided(folder: Path, **split: object) -> tuple[Dataset, Split]:
    recipe = recipe_with(**split)
    dataset = read_source(recipe.source, folder)
    return dataset, make_split(dataset, recipe.split)


def parts_of(split: Split) -> dict[str, np.ndarray]:
    return {"train": split.train, "validation": split.validation, "test": split.test.indices_for_audit()}


@pytest.mark.parametrize("method", ["blocks", "regions", "growing", "fields"])
def test_every_labelled_pixel_is_in_one_part_or_left_out(folder: Path, method: str) -> None:
    dataset, split = divided(folder, pixels={"method": method})
    guard = np.concatenate(list(split.left_out.values())) if split.left_out else np.empty(0, np.int64)
    everything = np.concatenate([*parts_of(split).values(), guard])
    assert np.array_equal(np.sort(everything), np.arange((TRUTH > 0).sum()))
    assert all("guard band, no farther than 2 pixels" in reason for reason in split.left_out)
    parts = parts_map(dataset, parts_of(split))
    assert np.array_equal(parts == UNLABELLED, TRUTH == 0)
    assert (parts == GUARD).sum() == len(guard)
    assert split.leakage is not None
    assert not split.leakage.leaks
    assert "leaking" not in split.method


def test_without_a_word_a_scene_is_divided_in_guarded_blocks(folder: Path) -> None:
    _, split = divided(folder)
    assert split.method.startswith("blocks of 24 × 24 pixels, stratified, guard band of 2 pixels for windows of 5 × 5")


def test_a_leaking_split_is_refused_unless_allowed_and_then_says_so(folder: Path) -> None:
    recipe = recipe_with(pixels={"method": "random"})
    with pytest.raises(DataError) as refused:
        prepare(recipe, folder)
    message = str(refused.value)
    assert re.match(r"leaking split: [\d,]+ of [\d,]+ test windows \([^)]+%\) contain training pixels", message)
    assert "Were as many training pixels drawn at random, " in message
    assert "split.allow_leakage: true" in message

    material = prepare(recipe_with(pixels={"method": "random"}, allow_leakage=True), folder)
    facts = data_facts(material, folder)
    assert facts.leaks
    assert facts.caution.startswith("leaking split: ")
    assert facts.split_method.startswith("leaking: random pixels, no guard band")
    assert "contain training pixels" in facts.audit[0]
    # Blocks without a guard leak as well, though less.
    with pytest.raises(DataError, match="leaking split"):
        prepare(recipe_with(pixels={"method": "blocks", "size": 10, "guard": "none"}), folder)
    honest = data_facts(prepare(recipe_with(), folder), folder)
    assert (honest.leaks, honest.caution) == (False, "")


def test_statistics_are_those_of_the_training_pixels(folder: Path) -> None:
    material = prepare(recipe_with(), folder)
    dataset = material.dataset
    places = dataset.images.pixels[material.split.train]
    spectra = dataset.images.cube[:, places[:, 0], places[:, 1]].astype(np.float64)
    np.testing.assert_allclose(material.bands.mean, spectra.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(material.bands.deviation, spectra.std(axis=1), rtol=1e-6)
    assert len(places) < len(dataset)


def test_labels_that_are_not_used_are_no_training_pixels(folder: Path) -> None:
    _, whole = divided(folder, pixels={"method": "random"}, allow_leakage=True)
    _, few = divided(folder, pixels={"method": "random"}, allow_leakage=True, labelled=0.01)
    assert whole.leakage is not None
    assert few.leakage is not None
    assert few.leakage.overlaps[0].share < 0.7 < whole.leakage.overlaps[0].share
    assert sum(few.leakage.counts["train"]) == len(few.train) == round(0.01 * len(whole.train))


@pytest.mark.parametrize("kind", ["npy", "mat", "png"])
def test_a_map_of_ones_own(folder: Path, tmp_path: Path, kind: str) -> None:
    codes = np.zeros(TRUTH.shape, dtype=np.uint8)
    codes[:, :20], codes[:, 24:34], codes[:, 38:] = 7, 8, 9
    path = tmp_path / f"parts.{kind}"
    if kind == "npy":
        np.save(path, codes)
    elif kind == "mat":
        savemat(path, {"parts": codes})
    else:
        Image.fromarray(codes).save(path)
    own = {"method": "map", "file": str(path), "train": 7, "validation": 8, "test": 9}
    dataset, split = divided(folder, pixels=own)
    parts = parts_map(dataset, parts_of(split))
    labelled = TRUTH > 0
    for code, part in ((7, TRAIN), (8, VALIDATION), (9, TEST)):
        np.testing.assert_array_equal(parts == part, labelled & (codes == code))
    assert not split.leakage.leaks  # type: ignore[union-attr]
    assert split.method.startswith(f"the map {path}")

    with pytest.raises(DataError, match=r"does not exist|cannot be read"):
        divided(folder, pixels={**own, "file": str(tmp_path / f"other.{kind}")})


def test_what_cannot_be_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No pixel is left for training \(random pixels, guard band of 2 pixels"):
        divided(folder, pixels={"method": "random", "guard": "half-window"})
    with pytest.raises(DataError, match=r"split\.folds divides samples at random"):
        divided(folder, folds=5)
    with pytest.raises(Exception, match="folds and pixels are all ways to divide"):
        recipe_with(folds=5, pixels={"method": "blocks"})
    digits = parse_recipe(RECIPE, "a test").model_dump() | {"source": {"kind": "digits"}}
    with pytest.raises(DataError, match=r"split\.pixels divides the pixels of a scene, and .* is not one"):
        prepare(Recipe.model_validate(digits), None)
    rows = np.zeros((3, 4, 2), dtype=np.float32)
    np.save(tmp_path / "cube.npy", rows)
    with pytest.raises(DataError, match=r"holds float32 of shape \(3, 4, 2\); expected are whole numbers"):
        divided(folder, pixels={"method": "map", "file": str(tmp_path / "cube.npy")})


def test_a_class_that_cannot_train_is_named_or_allowed(tmp_path: Path) -> None:
    values = np.ones((20, 40), dtype=np.uint8)
    values[10:] = 2
    values[4:8, 30:34] = 3
    write_cube(tmp_path, values)
    codes = np.ones(values.shape, dtype=np.uint8)
    codes[:, 15:25], codes[:, 25:] = 2, 3
    np.save(tmp_path / "parts.npy", codes)
    pixels = {"method": "map", "file": str(tmp_path / "parts.npy")}
    with pytest.raises(
        DataError, match=r"'class 3' has 16 labelled pixels, of which 0 train, 0 validate, 16 are tested and 0 are in"
    ):
        prepare(recipe_with(pixels=pixels), tmp_path)
    facts = data_facts(prepare(recipe_with(pixels=pixels, allow_untrained_classes=True), tmp_path), tmp_path)
    assert facts.caution == "without training pixels, so that all their test pixels are mistakes: class 3"
    assert "validation lacks 1 of 3 classes: class 3" in facts.audit
