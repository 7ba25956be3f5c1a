"""From a synthetic scene to a report, by the commands alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from konvoi.data.synthetic.cube import generate_cube
from konvoi.run import load_run

RECIPE = """
name: fields
source: {kind: cube, cube: scene.hdr, ground_truth: ground_truth.hdr, window: 5, drop_bands: [1, 2-3]}
split: {test: 0.4, pixels: {method: blocks, size: 20}}
input: {augment: {symmetries: true}}
network:
  kind: cnn
  blocks: [{maps: 16, kernel: 1, norm: batch}, {maps: 16, padding: valid}]
  global_pool: average
optim: {kind: adamw, lr: 0.01}
schedule: {kind: one-cycle}
budget: {epochs: 2, batch: 64}
compute: {precision: float32}
"""


def konvoi(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "konvoi", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=180, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scene, a recipe and a finished run."""
    folder = tmp_path_factory.mktemp("cubes")
    (folder / "fields.yaml").write_text(RECIPE)
    for arguments in (
        ("data", "generate-cube", "scene", "--height", 140, "--width", 150, "--bands", 24, "--seed", 1),
        ("train", "fields.yaml", "--data-dir", "scene", "--run-dir", "run"),
    ):
        done = konvoi(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_a_scene_is_trained_on_and_judged_like_any_other_images(folder: Path) -> None:
    run = load_run(folder / "run")
    assert run.evaluation is not None
    assert run.evaluation.test is not None
    # Eight crops, in fields of their own.
    assert run.evaluation.test.accuracy > 0.5
    assert run.facts.data.image_shape == (len(run.bands), 5, 5)
    assert run.bands.names[0] == "b4"
    assert len(run.bands.mean) == len(run.bands)
    assert "synthetic" in run.facts.data.caution
    assert any("marks as bad" in sentence for sentence in run.facts.data.left_out)
    page = (folder / "run" / "report.html").read_text()
    assert "synthetic" in page
    assert f"{run.bands.names[0]}, {run.bands.names[1]}, …, {run.bands.names[-1]} ({len(run.bands)} bands)" in page
    assert "<dt>copies</dt>" not in page


def test_it_is_shown_beside_baselines_that_see_single_spectra(folder: Path) -> None:
    run = load_run(folder / "run")
    assert run.evaluation is not None
    assert run.evaluation.test is not None
    assert [entry.name for entry in run.baselines] == ["rbf-svm", "mlp"]
    for entry in run.baselines:
        assert entry.test is not None
        assert entry.test.samples == run.evaluation.test.samples
        assert entry.test.accuracy > 0.5
        assert entry.training_samples == run.facts.data.split_sizes["train"]
    assert run.evaluation.test_reads == 1
    report = (folder / "run" / "report.html").read_text()
    assert "RBF SVM on spectra" in report
    assert "3-fold cross-validation" in report


def test_an_ensemble_over_windows_shows_its_members_and_a_seal_needs_no_baselines(folder: Path) -> None:
    section = "{kind: svmnet, layers: [{maps: 8}], scales: [{window: 3}, {window: 5}], fusion: majority}"
    overrides = (
        "network=" + section,
        "optim={kind: linear-svms, costs: [0.1]}",
        "input={}",
        "schedule={kind: constant}",
    )
    settings = [part for override in (*overrides, "budget={}") for part in ("--set", override)]
    done = konvoi(
        "train", "fields.yaml", "--data-dir", "scene", "--run-dir", "scales", "--seal-test", *settings, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    run = load_run(folder / "scales")
    names = [entry.name for entry in run.members]
    assert names == ["scale 1: window 3", "scale 2: window 5", "fused by average", "fused by majority"]
    assert [entry.own for entry in run.members] == [False, False, False, True]
    assert run.evaluation is not None
    assert run.members[3].validation.accuracy == run.evaluation.validation.accuracy  # type: ignore[union-attr]
    assert all(entry.test is None for entry in run.members)
    assert run.baselines == []
    assert "fused by majority (this network)" in done.stdout
    assert 'id="beside"' in (folder / "scales" / "report.html").read_text()


def test_evaluating_refuses_another_scene(folder: Path) -> None:
    generate_cube(folder / "other", 140, 150, 24, seed=2)
    done = konvoi("evaluate", "run", "--again", "--data-dir", "other", cwd=folder)
    assert done.returncode == 2
    assert "The data are not those that run was trained on" in done.stderr


def test_a_look_at_the_file_says_what_is_in_it(folder: Path) -> None:
    done = konvoi("data", "info", "scene/scene.hdr", "--ground-truth", "scene/ground_truth.hdr", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "140 × 150 pixels, 24 bands of uint16" in done.stdout
    assert "caution: scene.img is synthetic" in done.stdout
    assert "420 to 2400 nm" in done.stdout
    truth = np.fromfile(folder / "scene" / "ground_truth.img", dtype=np.uint8)
    assert f"{np.count_nonzero(truth == 4):,}" in done.stdout
