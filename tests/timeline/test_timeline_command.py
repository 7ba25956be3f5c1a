"""`konvoi timeline` on real steps: the trace, the sums, the figure; on one rank and on two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from konvoi.recipe import load_recipe
from konvoi.timeline.figure import bands_of, timeline_figure
from konvoi.timeline.recording import Recording, record_steps
from konvoi.timeline.slices import Slice, slices_of
from konvoi.timeline.summary import TimelineSummary, summarise_slices

STEPS = 3


@pytest.fixture(scope="module")
def recorded() -> Recording:
    found = record_steps(load_recipe("digits-cnn", ["compute.device=cpu", "compute.precision=float32"]), STEPS)
    assert found is not None
    return found


def test_a_real_trace_is_accounted_for_to_its_last_microsecond(recorded: Recording) -> None:
    marks = [event for event in recorded.trace["traceEvents"] if event["name"] in ("konvoi: data", "konvoi: step")]
    assert len(marks) == 2 * STEPS
    slices = slices_of(recorded.trace)
    start = min(event["ts"] for event in marks)
    total = sum(entry.duration for entry in slices)
    # What follows the last step is the end of the recording, and empty on a processor.
    assert slices[0].start == start
    assert total == pytest.approx(slices[-1].end - start, abs=1e-3)
    assert total >= sum(event["dur"] for event in marks)
    summary = summarise_slices("digits-cnn", recorded, slices)
    assert summary.recorded * STEPS == pytest.approx(total / 1e6)
    assert sum(map(summary.share_of, summary.kinds)) == pytest.approx(1.0)
    assert summary.steps == STEPS
    assert {"data", "forward", "loss", "backward", "optimiser"} <= set(summary.phases)
    assert {"convolution", "normalisation", "activation", "pooling", "dense products"} <= set(summary.kinds)
    assert summary.batch == load_recipe("digits-cnn").budget.batch


def test_the_recorded_operators_are_those_of_the_networks_layers(recorded: Recording) -> None:
    names = [event["name"] for event in recorded.trace["traceEvents"]]
    # Three convolutions a step, forward and backward.
    assert names.count("aten::conv2d") == names.count("aten::convolution_backward") == 3 * STEPS
    assert sum(name.startswith("Optimizer.step") for name in names) == STEPS


def test_no_host_is_named(recorded: Recording) -> None:
    import socket

    assert "host_name" not in recorded.trace
    assert f'"{socket.gethostname()}"' not in json.dumps(recorded.trace)


def test_the_test_split_stays_sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    record_steps(load_recipe("digits-ann"), 1)
    assert list(tmp_path.iterdir()) == []


def test_the_bands_show_what_takes_most_of_each_column(recorded: Recording) -> None:
    step = [Slice(0, 10, 0, "forward", "convolution"), Slice(10, 10.001, 0, "loss", "loss"),
            Slice(10.001, 40, 0, "backward", "convolution")]  # fmt: skip
    bands = bands_of(step, lambda entry: entry.phase)
    assert [label for label, _, _ in bands] == ["forward", "backward"]
    assert bands[0][2] == pytest.approx(0.25, abs=2e-3)
    assert bands[-1][2] == 1.0
    slices = slices_of(recorded.trace)
    figure = timeline_figure(summarise_slices("digits-cnn", recorded, slices), slices)
    band, bars = figure.axes
    assert sum(bar.get_width() for bar in band.patches) == pytest.approx(2 * band.get_xlim()[1])
    assert 0.9 < sum(bar.get_width() for bar in bars.patches) <= 1.0 + 1e-9


def konvoi(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "konvoi", "timeline", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_on_two_ranks(tmp_path: Path) -> None:
    done = konvoi("digits-cnn", "--steps", "2", "--ranks", "2", "--out", "timeline", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rank 0 of 2" in done.stdout
    assert "what to change" in done.stdout
    assert "USDT" not in done.stderr
    folder = tmp_path / "timeline"
    content = json.loads((folder / "summary.json").read_text())
    assert content.pop("advice") is not None
    summary = TimelineSummary.model_validate(content)
    assert (summary.ranks, summary.batch, summary.steps) == (2, load_recipe("digits-cnn").budget.batch // 2, 2)
    assert summary.phases["communication"] > 0
    assert sum(summary.phases.values()) == pytest.approx(summary.recorded)
    trace = json.loads((folder / "trace.json").read_text())
    assert any(event["name"] == "konvoi: average over ranks" for event in trace["traceEvents"])
    assert {path.name for path in folder.iterdir()} == {"summary.json", "trace.json", "timeline.png", "timeline.svg"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits-cmn",), "digits-cnn"),
        (("digits-cnn", "--set", "budget.bach=3"), "batch"),
        (("bigearthnet-resnet50",), "--data-dir"),
        (("digits-cnn", "--out", "file/below"), "Choose another with --out"),
    ],
)
def test_what_cannot_be_is_said_with_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from konvoi.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["konvoi", "timeline", "--out", "timeline", *arguments])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_kernels_are_accounted_for() -> None:
    found = record_steps(load_recipe("digits-cnn", ["compute.device=cuda"]), STEPS)
    assert found is not None
    summary = summarise_slices("digits-cnn", found, slices_of(found.trace))
    assert sum(map(summary.share_of, summary.kinds)) == pytest.approx(1.0)
    assert {"forward", "backward", "optimiser"} <= set(summary.phases)
