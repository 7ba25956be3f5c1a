"""From a generated archive to maps and transfer, by the commands alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from konvoi.data.store import Store
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.models.weights import contract_in
from konvoi.run import load_run

RECIPE = """
name: patches
source: {kind: store, bands: 10m, nomenclature: bigearthnet-19}
split: {blocks: {size: 4, buffer: 1.3}}
input: {augment: {symmetries: true}, repeat_rare: 0.1}
network:
  kind: cnn
  blocks:
    - {maps: 12, kernel: 5, stride: 3, norm: batch, pool: max}
    - {maps: 24, norm: batch, pool: max}
  global_pool: average
loss: {kind: bce, positive_weight: balanced}
optim: {kind: adamw, lr: 0.01}
schedule: {kind: cosine, warmup_steps: 3}
budget: {epochs: 3, batch: 32, checkpoint_seconds: 0}
compute: {precision: float32}
"""


def konvoi(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "konvoi", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=180, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an archive, a store of it, a recipe, and a finished run."""
    folder = tmp_path_factory.mktemp("patches")
    (folder / "recipe.yaml").write_text(RECIPE)
    for arguments in (
        ("data", "generate", "archive", "--patches", 260, "--seed", 7),
        ("data", "pack", "archive", "store", "--shard-size", 100, "--workers", 2),
        ("train", "recipe.yaml", "--data-dir", "store", "--run-dir", "run"),
    ):
        done = konvoi(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_run_knows_its_data_and_says_that_they_are_synthetic(folder: Path) -> None:
    run = load_run(folder / "run")
    facts, evaluation = run.facts, run.evaluation
    assert evaluation is not None
    assert isinstance(evaluation.test, SeveralLabelScores)
    assert "synthetic" in facts.data.caution
    assert facts.data.several_labels
    assert facts.data.bands["names"] == ["B02", "B03", "B04", "B08"]
    assert any("nearer than 1.3 km" in reason for reason in facts.data.left_out)
    assert any(sentence.startswith("test to train: the nearest") for sentence in facts.data.audit)
    # Better than guessing by frequency, which is what this short training is asked for.
    frequency = np.mean(
        [entry.samples / evaluation.train.samples for entry in evaluation.train.classes if entry.samples]
    )
    assert isinstance(evaluation.train, SeveralLabelScores)
    assert evaluation.train.macro_map > 1.5 * frequency
    # Thresholds are those of validation, in every split.
    parts = (evaluation.train, evaluation.validation, evaluation.test)
    assert len({tuple(entry.threshold for entry in part.classes) for part in parts}) == 1


def test_statistics_are_those_of_the_training_split_alone(folder: Path) -> None:
    run, store = load_run(folder / "run"), Store(folder / "store")
    places = run.places
    assert places is not None
    train = {tuple(place) for place in places.longitude_latitude[places.part == "train"].tolist()}
    rows = [row for row, place in enumerate(store.column("longitude_latitude").tolist()) if tuple(place) in train]
    assert len(rows) == run.facts.data.split_sizes["train"]
    pixels = np.concatenate(store.shards("10m"))[rows][:, 3].astype(np.float64) * 1e-4
    assert run.bands.mean[3] == pytest.approx(pixels.mean(), rel=1e-9)
    assert run.bands.deviation[3] == pytest.approx(pixels.std(), rel=1e-9)


def test_the_report_tells_of_labels_patches_and_places(folder: Path) -> None:
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    for words in ("macro mAP", "synthetic", "The split on a map", "Labels together", "drawn at random", "false colour"):
        assert words in page
    assert "Confusion matrix" not in page


def test_a_killed_training_ends_as_one_that_was_not(folder: Path) -> None:
    command = [sys.executable, "-m", "konvoi", "train", "recipe.yaml", "--data-dir", "store", "--run-dir", "killed"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not (folder / "killed" / "history.json").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if load_run(folder / "killed").facts.state != "evaluated":
        done = konvoi("train", "--resume", "killed", cwd=folder)
        assert done.returncode == 0, done.stderr
    one, other = (load_run(folder / name).kept_weights().weights for name in ("run", "killed"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_info_verifies_a_store_and_audits_a_split(folder: Path) -> None:
    done = konvoi("data", "info", "store", "--verify", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "all 22 files are as they were written" in done.stdout
    done = konvoi("data", "info", "recipe.yaml", "--data-dir", "store", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "caution: The patches of synthetic BigEarthNet v1 are synthetic" in done.stdout
    assert "test to train: the nearest" in done.stdout
    assert "nearer than 1.3 km to a later part" in done.stdout


def test_a_split_is_written_as_lists_and_read_again(folder: Path) -> None:
    done = konvoi("data", "split", "recipe.yaml", "lists", "--data-dir", "store", cwd=folder)
    assert done.returncode == 0, done.stderr
    lists = folder / "lists"
    train, tenth = ((lists / name).read_text().splitlines() for name in ("train.csv", "train-10.csv"))
    assert set(tenth) < set(train)
    override = f"split={{lists: {lists}}}"
    done = konvoi("data", "info", "recipe.yaml", "--data-dir", "store", "--set", override, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"lists in {lists}" in done.stdout


class TestTransfer:
    def test_a_run_is_where_another_starts_with_the_first_layer_adapted_and_the_rest_frozen(self, folder: Path) -> None:
        overrides = (
            "source.bands=rgb",
            "pretrained={weights: run, freeze: true}",
            "budget.epochs=1",
            "split.labelled=0.5",
        )
        sets = [part for override in overrides for part in ("--set", override)]
        done = konvoi("train", "recipe.yaml", "--data-dir", "store", "--run-dir", "frozen", *sets, cwd=folder)
        assert done.returncode == 0, done.stderr
        run = load_run(folder / "frozen")
        assert "first layer from 4 to 3 bands: B04, B03, B02 as trained" in run.facts.start
        assert "all but the last layer is frozen" in run.facts.start
        given, found = load_run(folder / "run").kept_weights().weights, run.kept_weights().weights
        assert torch.equal(found["conv2.weight"], given["conv2.weight"])
        assert torch.equal(found["norm2.running_mean"], given["norm2.running_mean"])
        torch.testing.assert_close(found["conv1.weight"], given["conv1.weight"][:, [2, 1, 0]] * 4 / 3)
        assert not torch.equal(found["logits.weight"], given["logits.weight"])

    def test_a_checkpoint_alone_carries_the_contract_of_its_bands(self, folder: Path) -> None:
        (weights,) = (folder / "run" / "checkpoints").glob("best-*.safetensors")
        shutil.copy(weights, folder / "weights.safetensors")
        contract = contract_in(folder / "weights.safetensors")
        assert contract is not None
        assert contract.bands == ("B02", "B03", "B04", "B08")
        assert contract.mean == load_run(folder / "run").bands.mean
        overrides = ("source.bands=[B08,B02]", "pretrained.weights=weights.safetensors", "budget.epochs=1")
        sets = [part for override in overrides for part in ("--set", override)]
        done = konvoi("train", "recipe.yaml", "--data-dir", "store", "--run-dir", "from-file", *sets, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "first layer from 4 to 2 bands: B08, B02 as trained" in load_run(folder / "from-file").facts.start

    def test_pretraining_and_fine_tuning_in_one_recipe(self, folder: Path) -> None:
        overrides = (
            "pretraining={source: {kind: store, bands: 10m}, budget: {epochs: 1, batch: 32}}",
            "input.normalise=weights",
            "optim.layer_decay=0.5",
            "budget.epochs=1",
        )
        sets = [part for override in overrides for part in ("--set", override)]
        done = konvoi("train", "recipe.yaml", "--data-dir", "store", "--run-dir", "tuned", *sets, cwd=folder)
        assert done.returncode == 0, done.stderr
        run = load_run(folder / "tuned")
        first = load_run(run.pretraining)
        assert len(first.facts.data.class_names) == 43
        assert first.evaluation is not None
        assert first.evaluation.test is None  # sealed
        assert "last layer new" in run.facts.start
        assert run.bands.mean == first.bands.mean


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("loss={kind: cross-entropy}",), "the samples of synthetic BigEarthNet v1 may have several. Use bce"),
        (("source.bands=all13",), "no B10. There are"),
        (("split.blocks.size=20000",), "need at least as many. Use smaller tiles"),
        (("network={kind: resnet, depth: 50}", "pretrained.weights=run"), "does not fit the network"),
        (("pretrained.weights=nothing.pth",), "there is no file, run folder or set of public weights"),
        (("input.normalise=weights",), "the recipe names no pretrained weights"),
    ],
)
def test_what_cannot_be_trained_is_said_with_exit_code_2(
    folder: Path, overrides: tuple[str, ...], message: str
) -> None:
    sets = [part for override in overrides for part in ("--set", override)]
    done = konvoi("train", "recipe.yaml", "--data-dir", "store", "--run-dir", "refused", *sets, cwd=folder)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_a_scene_is_mapped_and_a_wrong_one_refused(folder: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="scenes are read with rasterio")
    from rasterio.transform import from_origin

    store = Store(folder / "store")
    pixels = np.concatenate([np.asarray(store.shards("10m")[0][row]) for row in (0, 1)], axis=2)

    def write(name: str, values: np.ndarray, descriptions: tuple[str, ...]) -> None:
        with rasterio.open(
            folder / name, "w", driver="GTiff", count=4, height=120, width=240, dtype=values.dtype, crs="EPSG:32633",
            transform=from_origin(404_400, 5_342_400, 10, 10),
        ) as file:  # fmt: skip
            file.write(values)
            file.descriptions = descriptions

    names = ("B02", "B03", "B04", "B08")
    write("scene.tif", pixels, names)
    write("turned.tif", pixels[[2, 1, 0, 3]], ("B04", "B03", "B02", "B08"))
    write("percent.tif", (pixels * 1e-4).astype(np.float32), names)
    done = konvoi("predict", "run", "scene.tif", "--out", "map.tif", cwd=folder)
    assert done.returncode == 0, done.stderr
    with rasterio.open(folder / "map.tif") as made:
        assert made.count == 19
        assert made.crs.to_epsg() == 32633
        assert made.bounds.left == 404_400
        probabilities = made.read()
    assert (folder / "map.png").exists()
    # The file says in which order its bands lie, so they are reordered; the same pixels give the same map.
    done = konvoi("predict", "run", "turned.tif", "--out", "turned-map.tif", cwd=folder)
    if done.returncode == 0:
        with rasterio.open(folder / "turned-map.tif") as made:
            np.testing.assert_allclose(made.read(), probabilities, atol=1e-5)
    else:
        assert "Band order differs" in done.stderr
    done = konvoi("predict", "run", "percent.tif", "--out", "percent-map.tif", cwd=folder)
    assert done.returncode == 2
    assert "--scale" in done.stderr
    assert not (folder / "percent-map.tif").exists()
