"""Cubes as data sets: samples, classes, bands and every complaint; and the real SalinasA."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from konvoi.data.dataset import Dataset
from konvoi.data.images import statistics
from konvoi.data.known_scenes import KNOWN_SCENES, KnownScene
from konvoi.data.sources.cube import read_cube_source
from konvoi.data.sources.cube_file import read_cube, read_cube_for
from konvoi.data.sources.cube_findings import look_at_cube
from konvoi.data.sources.ground_truth import read_ground_truth
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError, RecipeError
from konvoi.recipe import parse_recipe
from konvoi.recipe.source import CubeSource

TRUTH = np.array(
    [[0, 0, 4, 4, 9], [0, 2, 4, 4, 9], [2, 2, 2, 0, 9], [2, 2, 0, 0, 0], [2, 2, 9, 9, 4], [0, 0, 9, 9, 4]],
    dtype=np.uint8,
)
HEIGHT, WIDTH = TRUTH.shape
BANDS = 12


def made_cube(seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(0, 5000, (HEIGHT, WIDTH, BANDS), dtype=np.int16)


def read(folder: Path, cube: NDArray[Any] | None = None, truth: NDArray[Any] = TRUTH, **section: Any) -> Dataset:
    savemat(folder / "cube.mat", {"cube": made_cube() if cube is None else cube})
    savemat(folder / "truth.mat", {"truth": truth})
    source = CubeSource(kind="cube", cube="cube.mat", ground_truth="truth.mat", **{"window": 5, **section})
    return read_cube_source(source, folder)


def test_every_labelled_pixel_is_a_sample_in_the_order_of_rows(tmp_path: Path) -> None:
    dataset = read(tmp_path)
    pixels = np.argwhere(TRUTH > 0)
    assert isinstance(dataset.images, CubeWindows)
    np.testing.assert_array_equal(dataset.images.pixels, pixels)
    np.testing.assert_array_equal(dataset.labels, [{2: 0, 4: 1, 9: 2}[TRUTH[r, c]] for r, c in pixels.tolist()])
    np.testing.assert_array_equal(dataset.images[:][:, :, 2, 2], made_cube()[TRUTH > 0])
    assert dataset.class_names == ("class 2", "class 4", "class 9")
    assert dataset.image_shape == (BANDS, 5, 5)
    assert dataset.sample_names is not None
    assert dataset.sample_names[0] == "row 0, column 2"
    assert dataset.scene is not None
    np.testing.assert_array_equal(dataset.scene.ground_truth == -1, TRUTH == 0)
    np.testing.assert_array_equal(dataset.scene.ground_truth[TRUTH > 0], dataset.labels)


def test_the_fingerprint_knows_values_labels_bands_and_window(tmp_path: Path) -> None:
    other = made_cube()
    other[0, 0, 0] += 1
    variants = [
        read(tmp_path),
        read(tmp_path, other),
        read(tmp_path, truth=np.where(TRUTH == 9, 4, TRUTH)),
        read(tmp_path, window=3),
        read(tmp_path, drop_bands=(1,)),
    ]
    assert len({dataset.fingerprint for dataset in variants}) == len(variants)
    assert read(tmp_path).fingerprint == variants[0].fingerprint


def test_bands_are_dropped_by_number_range_and_name(tmp_path: Path) -> None:
    dataset = read(tmp_path, drop_bands=(1, "4-6", "b12"))
    kept = [1, 2, 6, 7, 8, 9, 10]
    assert dataset.bands.names == tuple(f"b{number + 1}" for number in kept)
    assert isinstance(dataset.images, CubeWindows)
    np.testing.assert_array_equal(dataset.images.cube, made_cube().transpose(2, 0, 1)[kept])
    for wrong, message in (
        (13, "13 is not within the 12 bands"),
        ("6-4", "6-4 is not within"),
        ("red", "'red' is no band"),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path, drop_bands=(wrong,))
    with pytest.raises(DataError, match="leaves none of the 12 bands"):
        read(tmp_path, drop_bands=("1-12",))


def test_constant_bands_are_refused_dropped_or_kept_as_the_recipe_says(tmp_path: Path) -> None:
    cube = made_cube()
    cube[:, :, 3] = 7
    with pytest.raises(DataError, match=r"1 of 12 bands have one value everywhere, or none: b4\..*source\.drop_bands"):
        read(tmp_path, cube)
    dropped = read(tmp_path, cube, constant_bands="drop")
    assert "b4" not in dropped.bands.names
    assert dropped.excluded == ("1 bands with one value everywhere, or none, are left out: b4",)
    assert read(tmp_path, cube, constant_bands="keep").image_shape[0] == BANDS


def test_pixels_that_were_not_measured_are_no_samples_and_are_filled_in_windows(tmp_path: Path) -> None:
    cube = made_cube().astype(np.float32) + 0.5
    cube[0, 2, 5] = np.nan
    cube[3, 4, 0] = np.inf
    dataset = read(tmp_path, cube)
    assert len(dataset) == int((TRUTH > 0).sum()) - 1
    assert dataset.excluded[0].startswith("1 labelled pixels: without a value in some band")
    assert dataset.scene is not None
    assert dataset.scene.ground_truth[0, 2] == -1
    mean, deviation = statistics(dataset.images, np.arange(len(dataset)))
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()
    assert isinstance(dataset.images, CubeWindows)
    assert np.isfinite(dataset.images.filled_with(mean.tolist())[:]).all()


def test_ground_truths_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows and columns exchanged"):
        read(tmp_path, truth=TRUTH.T)
    with pytest.raises(DataError, match=r"the ground truth has 4 × 5 pixels .* not of one scene"):
        read(tmp_path, truth=TRUTH[:4])
    with pytest.raises(DataError, match="labels no pixel"):
        read(tmp_path, truth=np.zeros_like(TRUTH))
    negative = TRUTH.astype(np.int16)
    negative[0, 0] = -1
    with pytest.raises(DataError, match=r"negative values: -1 \(1\), 2 \(8\).*source\.unlabelled"):
        read(tmp_path, truth=negative)
    assert len(read(tmp_path, truth=negative, unlabelled=(0, -1))) == int((TRUTH > 0).sum())
    with pytest.raises(DataError, match=r"2 names, and .* 3 values \(pixels\): 2 \(8\), 4 \(6\), 9 \(7\)"):
        read(tmp_path, classes=("rye", "oats"))
    assert read(tmp_path, classes=("rye", "oats", "maize")).class_names == ("rye", "oats", "maize")


def test_a_recipe_says_where_the_scene_is_and_has_an_odd_window() -> None:
    recipe = "name: x\nnetwork: {kind: mlp}\noptim: {kind: adam}\n"
    with pytest.raises(RecipeError, match="an even window has no centre pixel; use 9"):
        parse_recipe(f"{recipe}source: {{kind: cube, scene: salinas-a, window: 8}}", "here")
    with pytest.raises(RecipeError, match="name a well-known scene, or both cube and ground_truth"):
        parse_recipe(f"{recipe}source: {{kind: cube, cube: x.mat}}", "here")


def test_windows_are_turned_and_not_warped() -> None:
    recipe = "name: x\nnetwork: {kind: mlp}\noptim: {kind: adam}\nsource: {kind: cube, scene: salinas-a}\n"
    with pytest.raises(RecipeError, match="Of windows, use symmetries or flip"):
        parse_recipe(recipe + "input: {augment: {shift: 1, symmetries: true}}", "here")
    assert parse_recipe(recipe + "input: {augment: {flip: true, symmetries: true}}", "here").input.augment.flip


# ---- well-known scenes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", KNOWN_SCENES.values(), ids=lambda scene: scene.name)
def test_the_published_ground_truths_are_what_is_known_of_them(scene: KnownScene, shared_data: Path) -> None:
    path = shared_data / "hyperspectral" / scene.ground_truth_file
    if not path.is_file():
        pytest.skip(f"no ground truth of {scene.title} at hand")
    truth = read_ground_truth(path)
    assert truth.size == scene.size
    values, counts = np.unique(truth.values[truth.values > 0], return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
        value: count for value, (_, count) in scene.classes.items()
    }


def test_a_trained_networks_bands_are_picked_by_number_from_the_whole_cube_and_the_corrected_one(
    tmp_path: Path,
) -> None:
    scene = KNOWN_SCENES["salinas-a"]
    values = np.random.default_rng(0).integers(0, 99, (6, 7, scene.bands), dtype=np.int16)
    numbers = scene.band_numbers(204)
    assert numbers is not None
    corrected = values[:, :, [number - 1 for number in numbers]]
    savemat(tmp_path / "SalinasA.mat", {"salinasA": values})
    savemat(tmp_path / "SalinasA_corrected.mat", {"salinasA_corrected": corrected})
    bands = read_cube(tmp_path / "SalinasA.mat").bands.chosen([f"b{number}" for number in numbers])
    for name in ("SalinasA.mat", "SalinasA_corrected.mat"):
        np.testing.assert_array_equal(read_cube_for(bands, tmp_path / name).values, corrected.transpose(2, 0, 1))
    savemat(tmp_path / "other.mat", {"other": values[:, :, :100]})
    with pytest.raises(DataError, match=r"trained on b1, b2, …, b223 \(204 bands\); .*without b101"):
        read_cube_for(bands, tmp_path / "other.mat")


def test_a_cube_of_another_sensor_is_refused_by_its_wavelengths(tmp_path: Path) -> None:
    waves = np.linspace(400, 900, BANDS)
    savemat(tmp_path / "one.mat", {"one": made_cube(), "wavelengths": waves})
    savemat(tmp_path / "near.mat", {"near": made_cube(), "wavelengths": waves + 4})
    savemat(tmp_path / "far.mat", {"far": made_cube(), "wavelengths": waves + 6})
    bands = read_cube(tmp_path / "one.mat").bands
    assert read_cube_for(bands, tmp_path / "near.mat").size == (HEIGHT, WIDTH)
    with pytest.raises(DataError, match=r"Wavelengths differ in band b1: the network was trained on 400 nm; .* 406 nm"):
        read_cube_for(bands, tmp_path / "far.mat")


@pytest.mark.parametrize(("name", "corrected"), [("indian-pines", 200), ("salinas", 204), ("salinas-a", 204)])
def test_a_corrected_cube_keeps_the_numbers_of_its_bands(name: str, corrected: int) -> None:
    scene = KNOWN_SCENES[name]
    numbers = scene.band_numbers(corrected)
    assert numbers is not None
    assert len(numbers) == corrected
    assert not set(numbers) & set(scene.water_absorption)
    assert set(scene.colour_bands) <= set(numbers)
    assert scene.band_numbers(corrected + 1) is None


def test_the_real_salinas_a(shared_data: Path) -> None:
    folder = shared_data / "hyperspectral"
    source = CubeSource(kind="cube", scene="salinas-a", drop_bands=("water-absorption",), window=9)
    dataset = read_cube_source(source, folder)
    assert dataset.name == "SalinasA"
    assert np.bincount(dataset.labels).tolist() == [391, 1343, 616, 1525, 674, 799]
    assert dataset.class_names[0] == "Broccoli green weeds 1"
    assert dataset.image_shape == (204, 9, 9)
    assert dataset.bands.ground_sampling_distance[0] == 3.7
    raw = loadmat(folder / "SalinasA.mat")["salinasA"]
    kept = [int(name[1:]) - 1 for name in dataset.bands.names]
    padded = np.pad(raw[:, :, kept], ((4, 4), (4, 4), (0, 0)), mode="reflect")
    assert isinstance(dataset.images, CubeWindows)
    row, column = dataset.images.pixels[0].tolist()
    np.testing.assert_array_equal(dataset.images[0], padded[row : row + 9, column : column + 9].transpose(2, 0, 1))
    assert dataset.scene is not None
    assert [dataset.bands.names[position] for position in dataset.scene.colour_bands] == ["b30", "b19", "b9"]


def test_a_scene_that_is_not_what_the_recipe_names(shared_data: Path) -> None:
    folder = shared_data / "hyperspectral"
    with pytest.raises(DataError, match=r"512 × 217 pixels, and SalinasA 83 × 86"):
        read_cube_source(CubeSource(kind="cube", scene="salinas-a", ground_truth="Salinas_gt.mat"), folder)
    with pytest.raises(DataError, match=r"--data-dir .* does not hold the files of pavia-university"):
        read_cube_source(CubeSource(kind="cube", scene="pavia-university"), folder)


def test_a_look_at_the_file_finds_the_scene_its_classes_and_its_absorption(shared_data: Path) -> None:
    found = look_at_cube(shared_data / "hyperspectral" / "SalinasA.mat")
    assert found.known is KNOWN_SCENES["salinas-a"]
    assert found.classes[0] == (0, "without a label", 1790)
    assert found.classes[-1] == (14, "Lettuce romaine 7 weeks", 799)
    assert found.examination.constant == ()
    assert found.examination.gaps is None
