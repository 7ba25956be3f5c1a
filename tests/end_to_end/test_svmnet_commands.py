"""Convolutional SVM networks by the commands: killed and continued, sealed, refused where they make no sense."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from konvoi.run import load_run

FORWARD = """
name: forward
source: {kind: digits}
network:
  kind: svmnet
  layers:
    - {maps: 6, pool: max}
    - {maps: 30, kernel: 2, padding: valid}
  scales: [{kernel: 3}, {kernel: 2}]
  fusion: majority
optim: {kind: linear-svms, costs: [0.1, 1.0], samples: 400, search_samples: 200}
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "konvoi", "train", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def layers_done(folder: Path) -> int:
    run = load_run(folder) if (folder / "recipe.yaml").exists() else None
    return 0 if run is None else len(run.layers)


def test_killed_it_goes_on_after_its_last_layer(konvoi, tmp_path: Path) -> None:
    (tmp_path / "forward.yaml").write_text(FORWARD)
    done = konvoi("train", "forward.yaml", "--run-dir", "whole")
    assert done.returncode == 0, done.stderr
    assert "scale 2: conv1" in done.stdout
    process = start(tmp_path, "forward.yaml", "--run-dir", "killed")
    while layers_done(tmp_path / "killed") < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= layers_done(tmp_path / "killed") < 6
    again = konvoi("train", "--resume", "killed")
    assert again.returncode == 0, again.stderr
    assert "scale 1: conv1" not in again.stdout
    whole, killed = load_run(tmp_path / "whole"), load_run(tmp_path / "killed")
    assert len(killed.layers) == 6
    expected = load_file(whole.last_checkpoint)
    found = load_file(killed.last_checkpoint)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert whole.evaluation is not None
    assert killed.evaluation is not None
    assert killed.evaluation.test == whole.evaluation.test
    assert killed.evaluation.test_reads == 1
    assert killed.evaluation.weights == "6 layers fitted forward, those at the end classifiers"


def test_a_signal_says_where_it_stopped_and_the_seal_holds(konvoi, tmp_path: Path) -> None:
    (tmp_path / "forward.yaml").write_text(FORWARD)
    process = start(tmp_path, "forward.yaml", "--run-dir", "sealed", "--seal-test", "--set", "optim.patches=2000")
    while layers_done(tmp_path / "sealed") < 1:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "of 6 (scale" in errors
    assert "the layers before it are saved. Resume with: konvoi train --resume sealed" in errors
    assert load_run(tmp_path / "sealed").facts.state == "interrupted"
    resumed = konvoi("train", "--resume", "sealed")
    assert resumed.returncode == 0, resumed.stderr
    assert "test split: sealed, never read" in resumed.stdout


def test_several_ranks_are_refused_before_any_is_started(konvoi, tmp_path: Path) -> None:
    (tmp_path / "forward.yaml").write_text(FORWARD)
    several = konvoi("train", "forward.yaml", "--ranks", "2", "--run-dir", "several")
    assert several.returncode == 2
    assert "which one process does on all of its cores" in several.stderr
    assert not (tmp_path / "several").exists()
