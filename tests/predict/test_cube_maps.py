"""From a trained run to maps of cubes: its own scene, another one, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from scipy.io import loadmat, savemat
from typer.testing import CliRunner

import konvoi
from konvoi.cli.commands import app
from konvoi.data.pixels.parts import TEST, TRAIN, UNLABELLED
from konvoi.errors import KonvoiError
from konvoi.recipe import parse_recipe
from konvoi.run import Run
from konvoi.training.display import Silence
from made_cubes import BANDS, RECIPE, field_map, write_cube

HYBRID = RECIPE.replace(
    "{kind: cnn, blocks: [{maps: 8, kernel: 3, padding: valid, norm: batch}], global_pool: average}",
    "{kind: hybrid-cnn, components: 5, filters_3d: [4], spectral_kernels: [3], filters_2d: [8], hidden: [16]}",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    write_cube(folder, field_map())
    konvoi.train(parse_recipe(HYBRID, "test"), data_dir=folder, run_dir=folder / "run", display=Silence())
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return konvoi.load_run(folder / "run")


def predict(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    if isinstance(result.exception, KonvoiError):
        return str(result.exception)
    assert result.exception is None, result.exception
    return result.output


def test_the_stored_map_agrees_with_the_evaluation(run: Run) -> None:
    """Dense prediction over the scene, and windows of the test pixels, are two ways to one accuracy."""
    scene = run.scene_map
    assert scene is not None
    assert scene.how == "as a fully convolutional network"
    predictions = run.predictions("test")
    truth = field_map().astype(int) - 1
    np.testing.assert_array_equal(scene.ground_truth, truth)
    labelled = np.argwhere(truth >= 0)
    rows, columns = labelled[predictions.positions].T
    assert (scene.parts[rows, columns] == TEST).all()
    assert (scene.parts == TEST).sum() == len(rows)
    np.testing.assert_array_equal(scene.predicted[rows, columns], predictions.probabilities.argmax(axis=1))
    np.testing.assert_allclose(scene.probability[rows, columns], predictions.probabilities.max(axis=1), atol=1e-4)
    assert ((scene.parts == UNLABELLED) == (truth < 0)).all()


def test_the_spectra_are_those_of_training_pixels(run: Run, folder: Path) -> None:
    scene = run.scene_map
    assert scene is not None
    cube = loadmat(folder / "cube.mat")["cube"].astype(float)
    chosen = cube[(scene.parts == TRAIN) & (scene.ground_truth == 1)]
    np.testing.assert_allclose(scene.spectra[1], chosen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scene.deviations[1], chosen.std(axis=0), rtol=1e-5)


def test_the_components_are_fitted_on_training_pixels_and_kept(run: Run, folder: Path) -> None:
    from sklearn.decomposition import PCA

    scene = run.scene_map
    assert scene is not None
    cube = loadmat(folder / "cube.mat")["cube"].astype(float)
    chosen = cube[scene.parts == TRAIN]
    standard = (chosen - chosen.mean(axis=0)) / chosen.std(axis=0)
    expected = PCA(5, whiten=True).fit(standard)
    found = run.network().components.weight[:, :, 0, 0].numpy()
    wanted = expected.components_ / np.sqrt(expected.explained_variance_)[:, None]
    signs = np.sign((found * wanted).sum(axis=1))
    np.testing.assert_allclose(found, wanted * signs[:, None], rtol=1e-3, atol=1e-4)


def test_the_runs_own_scene_is_mapped_with_pictures(run: Run, folder: Path) -> None:
    out = folder / "own.tif"
    output = predict(run.folder, "--out", out)
    assert "as a fully convolutional network" in output
    scene = run.scene_map
    assert scene is not None
    with rasterio.open(out) as dataset:
        np.testing.assert_array_equal(dataset.read(1), scene.predicted)
        assert dataset.tags(1)["CLASS_0"] == "class 1"
        assert len(dataset.colormap(1)) >= 3
    with rasterio.open(folder / "own-uncertainty.tif") as dataset:
        np.testing.assert_allclose(dataset.read(1), 1 - scene.probability, atol=1e-5)
        assert dataset.descriptions == ("1 - probability of the most probable class", "entropy in nats")
    for name in ("own.png", "own-uncertainty.png", "own-errors.png"):
        assert Image.open(folder / name).size[0] > 500


def test_probabilities_sum_to_one_and_entropy_is_theirs(run: Run, folder: Path) -> None:
    predict(run.folder, folder / "cube.mat", "--out", folder / "shares.tif", "--output", "probabilities")
    with rasterio.open(folder / "shares.tif") as dataset:
        probabilities = dataset.read().astype(np.float64)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    with rasterio.open(folder / "shares-uncertainty.tif") as dataset:
        doubt, entropy = dataset.read()
    np.testing.assert_allclose(doubt, 1 - probabilities.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(entropy, -(probabilities * np.log(probabilities)).sum(axis=0), atol=1e-4)


def test_another_cube_keeps_its_place_and_is_judged_by_its_own_ground_truth(run: Run, folder: Path) -> None:
    values = field_map(rows=2, columns=3)
    write_cube(folder / "other", values, seed=0)
    cube = np.moveaxis(loadmat(folder / "other" / "cube.mat")["cube"], -1, 0)
    path = folder / "other" / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=cube.shape[2], height=cube.shape[1], count=BANDS, dtype="int16",
        crs="EPSG:32633", transform=from_origin(400_000, 5_800_000, 10, 10),
    ) as dataset:  # fmt: skip
        dataset.write(cube)
        for number, name in enumerate(run.bands.names, start=1):
            dataset.set_band_description(number, name)
    out = folder / "placed.tif"
    output = predict(run.folder, path, "--ground-truth", folder / "other" / "truth.mat", "--out", out)
    with rasterio.open(out) as dataset:
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform == from_origin(400_000, 5_800_000, 10, 10)
        right = (dataset.read(1) == values.astype(int) - 1)[values > 0].mean()
    assert f"right on {right:.2%} of {(values > 0).sum():,} labelled pixels" in output


def test_the_trained_scenes_labels_are_recognised_in_another_guise(run: Run, folder: Path) -> None:
    output = predict(
        run.folder, folder / "cube.mat", "--ground-truth", folder / "truth.mat", "--out", folder / "again.tif"
    )
    assert "right on" not in output
    assert "on which the network was trained" in output


def test_a_cube_of_other_bands_is_refused(run: Run, folder: Path) -> None:
    savemat(folder / "few.mat", {"cube": np.zeros((20, 20, BANDS - 1), np.int16)})
    assert f"without b{BANDS}" in predict(run.folder, folder / "few.mat", "--out", folder / "few.tif")
    names = ",".join(reversed(run.bands.names))
    message = predict(run.folder, folder / "few.mat", "--bands", names, "--out", folder / "few.tif")
    assert f"--bands names {BANDS} bands" in message
    assert not (folder / "few.tif").exists()


def test_bands_in_another_order_are_picked_by_the_names_that_are_given(run: Run, folder: Path) -> None:
    cube = loadmat(folder / "cube.mat")["cube"]
    savemat(folder / "turned.mat", {"cube": cube[..., ::-1]})
    names = ",".join(reversed(run.bands.names))
    predict(run.folder, folder / "turned.mat", "--bands", names, "--out", folder / "turned.tif")
    scene = run.scene_map
    assert scene is not None
    with rasterio.open(folder / "turned.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), scene.predicted)


def test_what_the_command_cannot_do_it_says(run: Run, folder: Path) -> None:
    assert "for example --out map.tif" in predict(run.folder)
    assert "must end with .tif" in predict(run.folder, "--out", folder / "map.png")
    assert "--scale for scenes" in predict(run.folder, "--scale", 2, "--out", folder / "map.tif")
    assert "one cube at a time" in predict(run.folder, "a.mat", "b.mat", "--out", folder / "map.tif")
    assert "go with a cube's file" in predict(run.folder, "--bands", "b1", "--out", folder / "map.tif")


def test_changed_files_of_the_runs_scene_are_refused(run: Run, folder: Path) -> None:
    write_cube(folder / "changed", field_map(), seed=9)
    message = predict(run.folder, "--data-dir", folder / "changed", "--out", folder / "changed.tif")
    assert "is not the scene that" in message


def test_a_sealed_test_split_shows_no_labels_of_its_own(folder: Path) -> None:
    sealed = konvoi.train(
        parse_recipe(RECIPE.replace("epochs: 2", "epochs: 1"), "test"),
        data_dir=folder,
        run_dir=folder / "sealed",
        evaluate_test=False,
        display=Silence(),
    )
    scene = sealed.scene_map
    assert scene is not None
    assert (scene.ground_truth[scene.parts == TEST] == -1).all()
    assert (scene.ground_truth[scene.parts == TRAIN] >= 0).all()
    assert "sealed, and its labels are not shown" in sealed.report_path.read_text(encoding="utf-8")


def test_a_padded_network_maps_a_small_scene_window_by_window(folder: Path) -> None:
    padded = konvoi.train(
        parse_recipe(RECIPE.replace("padding: valid", "padding: same").replace("epochs: 2", "epochs: 1"), "test"),
        data_dir=folder,
        run_dir=folder / "padded",
        display=Silence(),
    )
    scene = padded.scene_map
    assert scene is not None
    assert scene.how.startswith("window by window: conv1 pads")
    assert scene.mapped


def test_components_need_a_cube() -> None:
    recipe = konvoi.load_recipe("digits-cnn", ["network={kind: pca-cnn, components: 1}"])
    with pytest.raises(KonvoiError, match="principal components of the spectrum"):
        konvoi.train(recipe, display=Silence())
