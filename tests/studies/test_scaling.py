"""The scaling study: a real one on two ranks that is killed and goes on, its runs collected, and its arithmetic."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

from konvoi.cli import app
from konvoi.errors import LaunchError, RecipeError, RunError
from konvoi.parallel.launch import cores
from konvoi.recipe import load_recipe, parse_recipe
from konvoi.run import load_run
from konvoi.studies.folder import read_results
from konvoi.studies.scale_results import EpochTime, Mode, ScaleResult, compare
from konvoi.studies.scaling import collect, study_scaling, with_batch_times
from konvoi.studies.scaling_figure import scaling_figure

RECIPE = """
name: scaled
source: {kind: digits}
input: {normalise: unit}
network: {kind: cnn, blocks: [{maps: 8, norm: batch, pool: max}, {maps: 16}]}
optim: {kind: sgd, lr: 0.1, momentum: 0.9, lr_reference_batch: 64}
budget: {epochs: 40, batch: 64, early_stopping: 1, checkpoint_seconds: 0.2}
compute: {precision: float32, device: cpu}
"""
SECONDS = 240


def scale(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "recipe.yaml").write_text(RECIPE)
    return subprocess.Popen(
        [sys.executable, "-m", "konvoi", "scale", *arguments, "--out", "study"],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A weak scaling study on one and two ranks, killed in the second training and started again; and what it said."""
    folder = tmp_path_factory.mktemp("scaling")
    arguments = ["recipe.yaml", "--ranks", "1,2", "--mode", "weak", "--epochs", "12", "--threads", "1"]
    process = scale(folder, *arguments)
    second = folder / "study" / "runs" / "weak-2"
    deadline = time.monotonic() + SECONDS
    while not (second / "checkpoints" / "last.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    ranks = [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()
    process.communicate(timeout=SECONDS)
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (second / "evaluation.json").exists(), "it ended before it was killed"
    first = (folder / "study" / "runs" / "1" / "evaluation.json").stat().st_mtime_ns
    process = scale(folder, *arguments)
    said, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert (folder / "study" / "runs" / "1" / "evaluation.json").stat().st_mtime_ns == first
    return folder / "study", said


needs_processes = pytest.mark.skipif(
    not Path("/proc/self/task").exists() or cores() < 2, reason="needs two cores, and finds the ranks through /proc"
)


@needs_processes
def test_a_study_that_was_killed_goes_on_to_table_and_figure(study: tuple[Path, str]) -> None:
    folder, said = study
    one, two = read_results(folder, ScaleResult)
    assert [(entry.mode, entry.ranks, entry.batch, entry.lr) for entry in (one, two)] == [
        ("weak", 1, 64, pytest.approx(0.1)),
        ("weak", 2, 128, pytest.approx(0.2)),
    ]
    assert {entry.threads for entry in (one, two)} == {1}
    assert all(entry.score is not None and entry.score > 0.9 and len(entry.epochs) == 11 for entry in (one, two))
    train = load_run(folder / "runs/1").facts.data.split_sizes["train"]
    assert {epoch.samples for entry in (one, two) for epoch in entry.epochs} == {train}
    assert two.epochs[0].steps == -(-train // 128)
    assert one.shares[1] == 0 < two.shares[1]
    # The test split stayed sealed, and nothing but the last epoch was chosen.
    run = load_run(folder / "runs/weak-2")
    assert not run.test_log.exists()
    assert (run.recipe.budget.keep, run.recipe.budget.early_stopping, run.facts.ranks) == ("last", None, 2)
    assert run.exchange is not None
    assert run.exchange.ranks == 2
    assert run.exchange.gradient_bytes == 4 * run.facts.parameters
    assert run.exchange.timings[-1].size == 64 * 2**20
    assert min(run.exchange.timings[-1].seconds) > min(run.exchange.timings[0].seconds)
    ring, tree = json.loads((folder / "model.json").read_text())
    assert (ring["network"]["algorithm"], tree["network"]["algorithm"]) == ("ring", "tree")
    assert ring["ranks"][-1] == 4096
    assert (folder / "scaling.png").exists()
    assert "learning rate: 0.1 for 64 samples a step, in proportion to the batch" in said
    assert "weak scaling by the ring: efficiency" in said
    assert "all ranks were on one host" in said
    assert "Sedona" in said
    assert "Goyal" in said
    # What the trainings print is in files, so that the table stands alone.
    assert "train loss" not in said
    assert "train loss" in (folder / "runs" / "weak-2.txt").read_text()


@needs_processes
def test_runs_that_exist_are_collected(study: tuple[Path, str], tmp_path: Path) -> None:
    one, two = study[0] / "runs/1", study[0] / "runs/weak-2"
    results = collect([two, one], ["strong", "weak"], tmp_path / "collected")
    assert [(entry.mode, entry.ranks) for entry in results] == [("weak", 1), ("weak", 2)]
    assert read_results(tmp_path / "collected", ScaleResult) == results
    with pytest.raises(RunError, match=r"Nothing to compare for strong scaling .*1 × 64, .*2 × 128"):
        collect([one, two], ["strong"], tmp_path / "other")
    with pytest.raises(RunError, match="are both of 1 rank and batch 64"):
        collect([one, one], ["strong"], tmp_path / "other")
    shutil.copytree(one, tmp_path / "changed")
    path = tmp_path / "changed" / "recipe.yaml"
    path.write_text(path.read_text().replace("momentum: 0.9", "momentum: 0.8"))
    with pytest.raises(RunError, match=r"in more than ranks and batch: optim\.momentum\."):
        collect([one, tmp_path / "changed"], ["weak"], tmp_path / "other")
    with pytest.raises(RunError, match="is not a run folder"):
        collect([one, tmp_path], ["weak"], tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["recipe.yaml", "--ranks", "1,x"], "whole numbers with commas between them"),
        (["recipe.yaml", "--ranks", "1,1"], "whole numbers from 1 on, each once"),
        (["recipe.yaml", "other.yaml"], "One recipe was expected, found 2"),
        (["runs/a", "--collect", "--epochs", "2"], "--collect compares runs as they are"),
    ],
)
def test_a_command_that_makes_no_sense_is_answered_in_words(arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    given = [str(tmp_path / "recipe.yaml") if part == "recipe.yaml" else part for part in arguments]
    with pytest.raises(RecipeError, match=says):
        get_command(app)(["scale", *given, "--out", str(tmp_path / "study")], standalone_mode=False)
    assert not (tmp_path / "study").exists()


def test_what_cannot_be_launched_is_refused_before_anything_runs(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, "a test")
    with pytest.raises(RecipeError, match=r"budget\.batch 64 is too small for 65 ranks"):
        study_scaling(recipe, tmp_path / "a", [1, 65], ["strong"], threads=1)
    assert not (tmp_path / "a").exists()
    with pytest.raises(LaunchError, match=f"{cores() + 1} ranks on {cores()} cores"):
        study_scaling(recipe, tmp_path / "b", [cores() + 1], ["weak"])


def test_the_batch_of_a_rank_stays_in_weak_scaling() -> None:
    recipe = load_recipe("digits-cnn", ["budget.batch_schedule=[{epoch: 10, batch: 96}]"])
    four = with_batch_times(recipe, 4, 1)
    assert (four.budget.batch, four.budget.batch_schedule[0].batch) == (256, 384)
    assert with_batch_times(recipe, 8, 2).budget.batch == 256
    with pytest.raises(RecipeError, match="a batch of 64 cannot be divided among 3 ranks"):
        with_batch_times(recipe, 4, 3)


def result(mode: Mode, ranks: int, seconds: float, score: float | None = 0.9) -> ScaleResult:
    epoch = EpochTime(steps=10, samples=1000, data=0.1 * seconds, step=0.7 * seconds, communication=0.2 * seconds)
    return ScaleResult(
        mode=mode, ranks=ranks, batch=100, lr=0.1, epochs=(epoch,), only_first=False, measure="accuracy", score=score,
        interval=None if score is None else (score - 0.01, score + 0.01), ranks_in_words="", device="a test",
        threads=1, run=f"{mode}-{ranks}",
    )  # fmt: skip


def test_speed_up_and_efficiency_by_hand() -> None:
    compared = compare([result("weak", 8, 3.0), result("weak", 2, 10.0), result("strong", 1, 4.0)])
    assert [(entry.result.mode, entry.result.ranks) for entry in compared] == [("strong", 1), ("weak", 2), ("weak", 8)]
    # Four times the ranks of the smallest size, in 3/10 of the time.
    assert compared[2].speed_up == pytest.approx(10 / 3)
    assert compared[2].efficiency == pytest.approx(10 / 12)
    assert compared[2].result.shares == pytest.approx((0.7, 0.2, 0.1))
    assert compared[2].result.samples_per_second == pytest.approx(1000 / 3)


def test_the_figure_says_where_a_training_diverged() -> None:
    figure = scaling_figure([result("weak", 1, 4.0), result("weak", 2, 2.0, score=None)])
    assert [text.get_text() for text in figure.axes[2].texts] == ["diverged"]
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["1", "2"]
