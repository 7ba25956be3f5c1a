"""The section on a scene: its pictures' pixels, its words, and the word leaking."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from page import Page
from PIL import Image

import konvoi
from konvoi.colours import class_colours
from konvoi.recipe import parse_recipe
from konvoi.report.cube import cube_page
from konvoi.run import Run
from konvoi.training.display import Silence
from made_cubes import RECIPE, field_map, write_cube

LEAKING = RECIPE.replace(
    "split: {test: 0.4, validation: 0.25, pixels: {method: blocks, size: 10}}",
    "split: {test: 0.4, validation: 0.25, allow_leakage: true, pixels: {method: random, guard: none}}",
)


def trained(folder: Path, recipe: str) -> Run:
    write_cube(folder, field_map())
    return konvoi.train(parse_recipe(recipe, "test"), data_dir=folder, run_dir=folder / "run", display=Silence())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("guarded"), RECIPE)


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_pictures_show_the_scene_pixel_by_pixel(guarded: Run) -> None:
    page, scene = cube_page(guarded), guarded.scene_map
    assert page is not None
    assert scene is not None
    pictures = {panel.title: pixels(panel.uri) for panel in page.panels}
    assert list(pictures) == ["False colour", "Ground truth", "Split", "Prediction", "Errors", "Uncertainty"]
    assert all(picture.shape[:2] == scene.parts.shape for picture in pictures.values())
    colours = class_colours(3)
    truth = scene.ground_truth
    assert (pictures["Ground truth"][truth == 2][:, :3] == colours[2]).all()
    assert (pictures["Ground truth"][truth < 0][:, 3] == 0).all()
    assert (pictures["Prediction"][scene.predicted == 1][:, :3] == colours[1]).all()
    wrong = (truth >= 0) & (truth != scene.predicted)
    assert (pictures["Errors"][wrong][:, 3] == 255).all()
    assert (pictures["Errors"][(truth >= 0) & ~wrong][:, 3] < 255).all()
    assert (pictures["Errors"][truth < 0][:, 3] == 0).all()
    expected = np.round(255 * (1 - scene.probability) * 3 / 2)
    assert np.abs(pictures["Uncertainty"][..., 3].astype(float) - expected).max() <= 1
    assert sum(share for _, _, share in page.classes) == pytest.approx(1)


def test_the_page_has_a_map_and_spectra(guarded: Run) -> None:
    page = Page(guarded.report_path.read_text(encoding="utf-8"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {"map", "spectra"} <= ids
    assert "run as a fully convolutional network" in page.text
    assert "leaking" not in page.text
    scene = guarded.scene_map
    assert scene is not None
    assert f"guard, {(scene.parts == 4).sum():,}" in page.text


def test_every_picture_of_a_leaking_split_says_so(tmp_path: Path) -> None:
    run = trained(tmp_path, LEAKING)
    html = run.report_path.read_text(encoding="utf-8")
    section = html[html.index('<section id="map">') : html.index('<section id="spectra">')]
    assert section.count("<figcaption>") == 6
    assert section.count("leaking split") >= 7
    assert "leaking split" in html[html.index('<section id="spectra">') :].partition("</section>")[0]


def test_a_run_without_a_scene_has_no_map(make_run) -> None:
    assert cube_page(make_run().run) is None
