"""`konvoi train --ranks`, torchrun, and what happens when ranks die, fail or are interrupted: real processes."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from konvoi.parallel.launch import cores
from konvoi.run import load_run

RECIPE = """
name: ranks
source: {kind: digits}
input: {normalise: unit, augment: {shift: 1}}
network: {kind: cnn, blocks: [{maps: 8, norm: batch, pool: max}, {maps: 16, dropout: 0.2}], dropout: 0.3}
optim: {kind: sgd, lr: 0.05, momentum: 0.9}
budget: {epochs: 25, batch: 32, keep: last, checkpoint_seconds: 0.2}
compute: {precision: float32, device: cpu}
"""
SECONDS = 240


def konvoi(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "recipe.yaml").write_text(RECIPE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "konvoi", *arguments], cwd=folder, text=True, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def weights(run: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(run / "checkpoints" / "last.safetensors")
    return {name: value for name, value in tensors.items() if name.startswith("network/")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    process = konvoi(folder, "train", "recipe.yaml", "--ranks", "2", "--run-dir", "run")
    said, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert said.count("report: run/report.html") == 1
    return folder / "run"


def test_a_run_of_two_ranks_is_a_run(undisturbed: Path) -> None:
    run = load_run(undisturbed)
    assert run.facts.ranks == 2
    assert run.facts.environment["ranks"] == "2 ranks on one host, started by --ranks"
    assert len(run.history) == 25
    assert run.test_log.read_text().count("\n") == 1
    page = run.report_path.read_text()
    listed = re.findall(r'<li><a href="#(\w+)"', page)
    assert listed == ["result", *re.findall(r'<section id="(\w+)"', page)]
    assert "ranks" in listed
    assert run.evaluation is not None
    assert run.evaluation.test is not None
    assert run.evaluation.test.accuracy > 0.95


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the ranks through /proc")
def test_ranks_that_are_killed_again_and_again_end_with_the_same_weights(undisturbed: Path, tmp_path: Path) -> None:
    stream = random.Random(0)
    process = konvoi(tmp_path, "train", "recipe.yaml", "--ranks", "2", "--run-dir", "run", "--restarts", "4")
    killed = 0
    while killed < 3:
        time.sleep(stream.uniform(2.5, 5.0))
        ranks = children(process.pid)
        if process.poll() is not None:
            break
        if len(ranks) == 2:
            os.kill(stream.choice(ranks), signal.SIGKILL)
            killed += 1
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert killed >= 2, "it ended before it was killed"
    assert "defect" not in errors
    assert "Traceback" not in errors
    assert errors.count("konvoi:") <= killed
    expected, found = weights(undisturbed), weights(tmp_path / "run")
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    run, whole = load_run(tmp_path / "run"), load_run(undisturbed)
    assert [entry.train_loss for entry in run.history] == [entry.train_loss for entry in whole.history]
    assert run.test_log.read_text().count("\n") == 1


def test_an_interrupt_saves_and_the_run_goes_on_with_one_rank(tmp_path: Path) -> None:
    process = konvoi(tmp_path, "train", "recipe.yaml", "--ranks", "2", "--run-dir", "run")
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / "run" / "checkpoints" / "last.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=SECONDS)
    # The agent would wait half a minute for ranks that wait for it.
    assert time.monotonic() - asked < 15
    assert process.returncode == 128 + signal.SIGINT
    assert errors.count("everything is saved") == 1
    assert "defect" not in errors
    assert load_run(tmp_path / "run").facts.state == "interrupted"
    resumed = konvoi(tmp_path, "train", "--resume", "run")
    _, errors = resumed.communicate(timeout=SECONDS)
    assert resumed.returncode == 0, errors
    run = load_run(tmp_path / "run")
    assert run.facts.ranks == 1
    assert "; from step" in run.facts.environment["ranks"]
    assert len(run.history) == 25


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "optim.lr=10000", "--set", "input.normalise=standard"], "Training diverged"),
        (["--set", "budget.batch=1"], "budget.batch 1 is too small for 2 ranks"),
        (["--set", "optim.momentums=1"], "momentums"),
    ],
)
def test_an_error_of_the_user_is_shown_once(arguments: list[str], says: str, tmp_path: Path) -> None:
    process = konvoi(tmp_path, "train", "recipe.yaml", "--ranks", "2", "--run-dir", "run", *arguments)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 2, errors
    assert errors.count(says) == 1
    assert errors.count("konvoi:") == 1
    assert "Traceback" not in errors


def test_without_an_agent_an_error_is_shown_once_as_well(tmp_path: Path) -> None:
    """As srun starts ranks: nobody watches them, and the store in which they agree who speaks ends with the first."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "konvoi", "train", "recipe.yaml", "--run-dir", "run", "--set", "optim.lrr=1"]
    job = {
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_JOB_ID": str(os.getpid()), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    ranks = [
        subprocess.Popen(
            command, cwd=tmp_path, text=True, stderr=subprocess.PIPE,
            env={**os.environ, **job, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    errors = "".join(rank.communicate(timeout=SECONDS)[1] for rank in ranks)
    assert errors.count("Did you mean 'lr'") == 1, errors
    assert errors.count("konvoi:") == 1
    assert [rank.returncode for rank in ranks] == [2, 2]


def test_torchrun_starts_the_same(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "konvoi"]
    said = subprocess.run(
        [*command, "train", "recipe.yaml", "--run-dir", "run", "--set", "budget.epochs=1"],
        cwd=tmp_path, text=True, capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("report: run/report.html") == 1
    assert load_run(tmp_path / "run").facts.ranks == 2


def test_the_ranks_of_a_machine_share_its_cores(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    said = subprocess.run(
        [sys.executable, "-m", "konvoi", "train", "recipe.yaml", "--ranks", "2", "--set", "budget.epochs=1",
         "--run-dir", "run", "--seal-test"],
        cwd=tmp_path, text=True, capture_output=True, timeout=SECONDS, check=False,
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert int(load_run(tmp_path / "run").facts.environment["threads"]) == max(1, cores() // 2)


def test_ranks_within_ranks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    said = subprocess.run(
        [sys.executable, "-m", "konvoi", "train", "recipe.yaml", "--ranks", "2"],
        cwd=tmp_path, text=True, capture_output=True, timeout=SECONDS, check=False,
        env={**os.environ, "RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"},
    )  # fmt: skip
    assert said.returncode == 2
    assert "Use one of the two" in said.stderr
