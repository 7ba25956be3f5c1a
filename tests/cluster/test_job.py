"""A job is checked before anybody waits in a queue for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from konvoi.cli import app
from konvoi.cluster.job import plan_job
from konvoi.errors import LaunchError, RecipeError


def test_one_rank_a_gpu_on_every_node() -> None:
    job = plan_job("bigearthnet-resnet50", nodes=4, gpus_per_node=4)
    assert (job.ranks, job.batch, job.share) == (16, 256, 16)
    assert job.run_dir == Path("runs/bigearthnet-resnet50")
    assert job.overrides == ("compute.device=cuda",)
    assert job.notes == ("A step takes 256 samples over all ranks (budget.batch), and a rank 16 of them at a time.",)


def test_the_smallest_batch_of_all_budgets_counts() -> None:
    schedule = "budget.batch_schedule=[{epoch: 2, batch: 40}, {epoch: 4, batch: 256}]"
    job = plan_job("digits-cnn", gpus_per_node=0, tasks_per_node=8, overrides=[schedule, "budget.accumulate=2"])
    assert (job.batch, job.share) == (40, 2)
    assert "sees only these 2" in job.notes[1]
    before = "pretraining={budget: {epochs: 1, batch: 24}}"
    assert plan_job("digits-cnn", gpus_per_node=8, overrides=[before]).share == 3


def test_synchronised_normalisation_sees_the_whole_batch_so_that_nothing_is_noted() -> None:
    job = plan_job("digits-cnn", gpus_per_node=8, overrides=["parallel.batch_norm=synchronised"])
    assert job.share == 8
    assert len(job.notes) == 1


def test_a_batch_that_is_just_large_enough() -> None:
    assert plan_job("digits-cnn", nodes=8, gpus_per_node=8).share == 1
    with pytest.raises(RecipeError, match=r"16 × 8 ranks .* need 128\. .* --set budget\.batch=128 or more.*batch=64 "):
        plan_job("digits-cnn", nodes=16, gpus_per_node=8)
    with pytest.raises(RecipeError, match=r"each of 2 micro-batches need 128"):
        plan_job("digits-cnn", nodes=8, gpus_per_node=8, overrides=["budget.accumulate=2"])
    with pytest.raises(RecipeError, match=r"^pretraining\.budget\.batch 63 is"):
        plan_job("digits-cnn", nodes=8, gpus_per_node=8, overrides=["pretraining={budget: {batch: 63}}"])


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"nodes": 0}, "--nodes is 0"),
        ({"cpus_per_task": 0}, "--cpus-per-task is 0"),
        ({"gpus_per_node": -1}, "--gpus-per-node is -1"),
        ({"gpus_per_node": 4, "tasks_per_node": 8}, "every GPU gets one rank"),
        ({"gpus_per_node": 0}, "say how many ranks a node runs"),
        ({"gpus_per_node": 0, "tasks_per_node": 0}, "say how many ranks a node runs"),
    ],
)
def test_counts_that_make_no_sense(counts: dict[str, int], says: str) -> None:
    with pytest.raises(LaunchError, match=says):
        plan_job("digits-cnn", **counts)  # type: ignore[arg-type]


def test_device_and_gpus_fit_together() -> None:
    with pytest.raises(RecipeError, match=r"compute\.device is cpu"):
        plan_job("digits-cnn", overrides=["compute.device=cpu"])
    with pytest.raises(RecipeError, match=r"compute\.device is cuda"):
        plan_job("digits-cnn", gpus_per_node=0, tasks_per_node=1, overrides=["compute.device=cuda"])
    assert plan_job("digits-cnn", overrides=["compute.device=cuda"]).overrides == ("compute.device=cuda",)


def test_the_command_writes_a_file_once(tmp_path: Path) -> None:
    script = tmp_path / "train.sbatch"
    arguments = ["slurm", "digits-cnn", "--nodes", "2", "--gpus-per-node", "4", "--time", "00:30:00"]
    printed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert printed.stdout.startswith("#!/bin/bash\n")
    written = CliRunner().invoke(app, [*arguments, "--out", str(script)], catch_exceptions=False)
    assert written.stdout == ""
    assert f"sbatch {script}" in written.stderr
    assert script.read_text() == printed.stdout
    with pytest.raises(LaunchError, match="exists, and may have been changed by hand"):
        CliRunner().invoke(app, [*arguments, "--out", str(script)], catch_exceptions=False)
    with pytest.raises(LaunchError, match="cannot be written"):
        CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "no" / "folder")], catch_exceptions=False)


def test_the_command_for_open_mpi() -> None:
    arguments = ["slurm", "digits-cnn", "--open-mpi", "--gpus-per-node", "2"]
    assert "mpirun" in CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    with pytest.raises(LaunchError, match="leave out --time"):
        CliRunner().invoke(app, [*arguments, "--time", "01:00:00"], catch_exceptions=False)


@pytest.mark.parametrize("recipe", ["digits-cn", "no/such.yaml"])
def test_a_recipe_that_does_not_exist(recipe: str) -> None:
    with pytest.raises(RecipeError, match="no recipe"):
        plan_job(recipe)
