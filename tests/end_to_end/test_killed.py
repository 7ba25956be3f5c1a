"""Trainings that are really killed, in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from konvoi.run import load_run

SETTINGS = ["--set", "budget.checkpoint_seconds=0", "--set", "budget.ema=0.9", "--set", "budget.epochs=12"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "konvoi", "train", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def weights(run: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(run / "checkpoints" / "last.safetensors")
    (best,) = (run / "checkpoints").glob("best-*.safetensors")
    return tensors | {f"best/{name}": value for name, value in load_file(best).items()}


@pytest.fixture
def undisturbed(konvoi, tmp_path: Path) -> Path:
    done = konvoi("train", "small.yaml", "--run-dir", "undisturbed", *SETTINGS)
    assert done.returncode == 0, done.stderr
    return tmp_path / "undisturbed"


def test_killed_at_random_points_it_ends_with_the_same_weights(konvoi, undisturbed: Path, tmp_path: Path) -> None:
    stream = np.random.default_rng()
    process = start(tmp_path, "small.yaml", "--run-dir", "killed", *SETTINGS)
    kills = 0
    reached = []
    for _ in range(5):
        wait_for(tmp_path / "killed" / "checkpoints" / "last.safetensors", process)
        before = (tmp_path / "killed" / "checkpoints" / "last.safetensors").stat().st_mtime_ns
        while (tmp_path / "killed" / "checkpoints" / "last.safetensors").stat().st_mtime_ns == before:
            if process.poll() is not None:
                break
            time.sleep(0.001)
        time.sleep(float(stream.uniform(0, 0.25)))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        reached.append(len(load_run(tmp_path / "killed").history))
        process = start(tmp_path, "--resume", "killed")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert kills >= 2, "the training was over before it could be killed twice"
    expected, found = weights(undisturbed), weights(tmp_path / "killed")
    assert expected.keys() == found.keys()
    different = [name for name, value in expected.items() if not torch.equal(value, found[name])]
    assert not different, f"after kills at epochs {reached}"
    ours, theirs = load_run(tmp_path / "killed"), load_run(undisturbed)
    assert ours.evaluation is not None
    assert theirs.evaluation is not None
    assert ours.evaluation.test == theirs.evaluation.test
    assert ours.evaluation.test_reads == 1
    assert not list((tmp_path / "killed" / "checkpoints").glob(".*part"))


def test_killed_before_the_first_checkpoint_it_starts_again(konvoi, tmp_path: Path) -> None:
    process = start(tmp_path, "small.yaml", "--run-dir", "early", *SETTINGS)
    wait_for(tmp_path / "early" / "run.json", process)
    process.kill()
    process.communicate()
    (tmp_path / "early" / "checkpoints" / "last.safetensors").unlink(missing_ok=True)
    resumed = konvoi("train", "--resume", "early")
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_resume(number: signal.Signals, konvoi, tmp_path: Path) -> None:
    process = start(tmp_path, "small.yaml", "--run-dir", "a run", "--set", "budget.epochs=500")
    wait_for(tmp_path / "a run" / "history.json", process)
    time.sleep(0.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "everything is saved" in errors
    assert "Resume with: konvoi train --resume 'a run'" in errors
    assert "Traceback" not in errors
    run = load_run(tmp_path / "a run")
    assert run.facts.state == "interrupted"
    assert run.evaluation is None
    for command in (["evaluate", "a run"], ["predict", "a run", "small.yaml"]):
        refused = konvoi(*command)
        assert refused.returncode == 2
        assert "has not come to its end (interrupted), so it has no result yet" in refused.stderr
    assert not run.test_log.exists()
    again = konvoi("train", "--resume", "a run", "--set", "budget.epochs=2")
    assert again.returncode == 2
    assert "with its own recipe" in again.stderr


def test_a_seal_survives_an_interruption(konvoi, tmp_path: Path) -> None:
    process = start(tmp_path, "small.yaml", "--run-dir", "sealed", "--seal-test", "--set", "budget.epochs=60")
    wait_for(tmp_path / "sealed" / "history.json", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    resumed = konvoi("train", "--resume", "sealed")
    assert resumed.returncode == 0, resumed.stderr
    assert "test split: sealed, never read" in resumed.stdout
    assert not (tmp_path / "sealed" / "test_reads.jsonl").exists()


def test_a_finished_run_is_not_resumed(konvoi, undisturbed: Path) -> None:
    again = konvoi("train", "--resume", "undisturbed")
    assert again.returncode == 2
    assert "has finished; there is nothing to resume" in again.stderr
    assert os.path.exists(undisturbed / "report.html")
