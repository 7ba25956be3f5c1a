"""From a run folder to a map, also through the command, and on a real Sentinel-2 patch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

rasterio = pytest.importorskip("rasterio", reason="scenes need rasterio")

from made_scenes import RGB10, fitted_bands, reflectances, write_scene  # noqa: E402

from konvoi.data.bands import RGB, Bands  # noqa: E402
from konvoi.errors import DataError, RunError  # noqa: E402
from konvoi.evaluation.inference import predict_logits, sigmoid, softmax  # noqa: E402
from konvoi.evaluation.several_labels import score_several  # noqa: E402
from konvoi.models.build import build_network  # noqa: E402
from konvoi.predict.scenes import predict_scene  # noqa: E402
from konvoi.recipe import parse_recipe  # noqa: E402
from konvoi.run import DataFacts, Evaluation, Run, RunFacts  # noqa: E402
from konvoi.training.checkpoint import Progress, save_checkpoint  # noqa: E402

NAMES = ("water", "forest", "town")
RECIPE = """
name: scene-for-tests
about: A network that was never trained.
source: {kind: digits}
network: {kind: cnn, blocks: [{maps: 6, pool: max}, {maps: 8}]}
optim: {kind: sgd, lr: 0.1}
budget: {epochs: 1}
"""


def write_run(folder: Path, bands: Bands, size: int, several: bool = False, finished: bool = True) -> Run:
    run = Run(folder)
    run.checkpoints.mkdir(parents=True)
    recipe = parse_recipe(RECIPE, "tests")
    shape = (len(bands), size, size)
    data = DataFacts(
        name="tests",
        origin="tests",
        data_dir=None,
        fingerprint="0" * 64,
        samples=30,
        image_shape=shape,
        class_names=NAMES,
        several_labels=several,
        skipped=(),
        split_method="none",
        split_fingerprint="0" * 64,
        split_sizes={"train": 10, "validation": 10, "test": 10},
        class_counts={},
        duplicates={},
        bands=bands.to_json(),
    )
    facts = RunFacts(
        konvoi_version="0",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        command="",
        state="trained",
        data=data,
        environment={},
        precision="float32",
        device="cpu",
        parameters=1,
    )
    run.write_recipe(recipe)
    run.write_facts(facts)
    torch.manual_seed(0)
    network = build_network(recipe, shape, len(NAMES))
    weights = {f"network/{name}": value for name, value in network.state_dict().items()}
    save_checkpoint(run.checkpoints, weights, Progress(epoch=1, finished=finished))
    return run


def write_thresholds(run: Run, thresholds: tuple[float, ...]) -> None:
    stream = np.random.default_rng(0)
    labels = (stream.random((40, 3)) < 0.5).astype(np.uint8)
    probabilities = stream.random((40, 3)).astype(np.float32)
    scores = score_several(probabilities, labels, NAMES, np.array(thresholds))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    run.write_evaluation(
        Evaluation(
            epoch=1, weights="", train=scores, validation=scores, test=None, test_reads=0, evaluated=now, seconds=0.0
        )
    )


def test_a_real_patch_is_a_scene_of_one_window(tmp_path: Path, shared_data: Path) -> None:
    patch = sorted((shared_data / "bigearthnet-v1" / "s2").iterdir())[0]
    bands = []
    for name in RGB10:
        with rasterio.open(patch / f"{patch.name}_{name}.tif") as file:
            bands.append(file.read(1))
            place = {"crs": file.crs, "transform": file.transform}
    stored = np.stack(bands)
    scene = write_scene(tmp_path / "scene.tif", stored, **place)
    run = write_run(tmp_path / "run", fitted_bands(mean=0.06, deviation=0.04), 120, several=True)
    write_thresholds(run, (0.5, 0.5, 0.5))
    result = predict_scene(run, scene, tmp_path / "map.tif")
    assert (result.rows, result.columns, result.cell) == (2, 2, (60, 60))
    expected = sigmoid(predict_logits(run.network(), stored[None].astype(np.float32), run.bands))[0]
    with rasterio.open(result.map) as made, rasterio.open(scene) as seen:
        np.testing.assert_allclose(made.read(), np.broadcast_to(expected[:, None, None], (3, 2, 2)), atol=1e-6)
        assert made.bounds == seen.bounds
        assert made.crs == seen.crs


def test_thresholds_come_from_the_validation(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", fitted_bands(), 16, several=True)
    scene = write_scene(tmp_path / "scene.tif", reflectances(64, 64))
    plain = predict_scene(run, scene, tmp_path / "map.tif", output="class")
    assert "no thresholds were tuned" in plain.cautions[0]
    with rasterio.open(predict_scene(run, scene, tmp_path / "p.tif").map) as made:
        probabilities = made.read()
    tuned = tuple(float(np.median(band)) + 1e-6 for band in probabilities)
    write_thresholds(run, tuned)
    result = predict_scene(run, scene, tmp_path / "map.tif", output="class")
    assert result.cautions == ()
    with rasterio.open(result.map) as made:
        expected = probabilities > np.array(tuned)[:, None, None]
        assert 0.3 < expected.mean() < 0.6
        np.testing.assert_array_equal(made.read(), expected)


def test_an_unfinished_training_maps_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", fitted_bands(), 16, finished=False)
    scene = write_scene(tmp_path / "scene.tif", reflectances(32, 32))
    with pytest.raises(RunError, match="has not come to its end"):
        predict_scene(run, scene, tmp_path / "map.tif")


def test_the_command(tmp_path: Path) -> None:
    from konvoi.cli.commands import app

    run = write_run(tmp_path / "run", fitted_bands(), 16)
    stored = reflectances(40, 32)
    scene = write_scene(tmp_path / "scene.tif", stored[::-1].copy(), None)
    out = tmp_path / "map.tif"
    options = ["--out", str(out), "--bands", "B04, B03,B02", "--overlap", "0", "--output", "probabilities"]
    told = CliRunner().invoke(app, ["predict", str(run.folder), str(scene), *options], catch_exceptions=False)
    assert told.exit_code == 0
    assert f"map: {out}: 3 × 2 cells of 16 × 16 pixels" in told.stdout
    first = softmax(predict_logits(run.network(), stored[None, :, :16, :16].astype(np.float32), run.bands))[0]
    with rasterio.open(out) as made:
        np.testing.assert_allclose(made.read()[:, 0, 0], first, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{scene}"], "say where to write it, for example --out map.tif"),
        (["{scene}", "{scene}", "--out", "map.tif"], "one scene at a time, .* and not 2 inputs"),
        (["{folder}", "--out", "map.tif"], "and not a folder"),
        (["{scene}", "--invert"], "--format and --invert are for image files"),
    ],
)
def test_what_the_command_refuses(tmp_path: Path, arguments: list[str], message: str) -> None:
    from konvoi.cli.commands import app

    run = write_run(tmp_path / "run", fitted_bands(), 16)
    scene = write_scene(tmp_path / "scene.tif", reflectances(40, 32))
    given = [argument.format(scene=scene, folder=tmp_path) for argument in arguments]
    told = CliRunner().invoke(app, ["predict", str(run.folder), *given])
    assert isinstance(told.exception, DataError)
    with pytest.raises(DataError, match=message):
        raise told.exception


def test_bands_belong_to_scenes(tmp_path: Path) -> None:
    from konvoi.cli.commands import app

    run = write_run(tmp_path / "run", RGB.fitted("unit", np.full(3, 100.0), np.full(3, 50.0)), 16)
    told = CliRunner().invoke(app, ["predict", str(run.folder), "a.png", "--bands", "B02"])
    assert isinstance(told.exception, DataError)
    assert "--bands and --scale are for scenes" in str(told.exception)
