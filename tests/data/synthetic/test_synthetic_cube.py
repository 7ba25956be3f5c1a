"""The synthetic scene: what is written is what a source reads, and its fields are as fields are."""

from pathlib import Path

import numpy as np
import pytest

from konvoi.data.dataset import Dataset
from konvoi.data.sources.cube import read_cube_source
from konvoi.data.synthetic.cube import CROPS, generate_cube
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError
from konvoi.recipe.source import CubeSource


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    generate_cube(folder, 150, 131, 40, seed=3)
    return folder


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    source = CubeSource(kind="cube", cube="scene.hdr", ground_truth="ground_truth.hdr", window=5)
    return read_cube_source(source, folder)


def test_a_source_reads_it_and_calls_it_synthetic(dataset: Dataset) -> None:
    assert dataset.name == "scene (synthetic)"
    assert "synthetic" in dataset.caution
    assert dataset.class_names == tuple(CROPS)
    assert dataset.scene is not None
    assert dataset.scene.ground_truth.shape == (150, 131)
    assert dataset.scene.crs == "EPSG:32632"
    assert dataset.bands.units[0] == "reflectance"


def test_bands_in_water_vapour_are_marked_as_bad_and_left_out(dataset: Dataset) -> None:
    every = np.linspace(420, 2400, 40)
    dark = ((every >= 1350) & (every <= 1440)) | ((every >= 1800) & (every <= 1960))
    assert 0 < dark.sum() < 8
    np.testing.assert_allclose(dataset.bands.wavelength, every[~dark], atol=0.006)
    assert dataset.excluded[-1].startswith(f"{dark.sum()} bands that scene.hdr marks as bad")


def test_the_seed_and_nothing_else_decides(folder: Path, tmp_path: Path) -> None:
    generate_cube(tmp_path / "again", 150, 131, 40, seed=3)
    generate_cube(tmp_path / "other", 150, 131, 40, seed=4)
    for name in ("scene.img", "scene.hdr", "ground_truth.img", "ground_truth.hdr"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert (tmp_path / "other" / "scene.img").read_bytes() != (folder / "scene.img").read_bytes()


def test_pixels_of_a_field_are_more_alike_than_those_of_fields_of_one_crop(dataset: Dataset) -> None:
    from scipy.ndimage import label

    scene, images = dataset.scene, dataset.images
    assert scene is not None
    assert isinstance(images, CubeWindows)
    values = images.cube.astype(np.float64)
    for crop in range(len(CROPS)):
        fields, number = label(scene.ground_truth == crop)
        assert number >= 2
        means = [values[:, fields == field].mean(axis=1) for field in range(1, number + 1)]
        within = np.mean([values[:, fields == field].std(axis=1).mean() for field in range(1, number + 1)])
        # A mean over n independent pixels would stray by within / √n; fields stray by far more.
        between = np.std(means, axis=0).mean()
        pixels = min(int((fields == field).sum()) for field in range(1, number + 1))
        assert between > 3 * within / np.sqrt(pixels)


def test_a_scene_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"room for \d+ fields, and each of the 8 crops needs two"):
        generate_cube(tmp_path, 40, 40)
