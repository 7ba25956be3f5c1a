"""`konvoi bench device` as a person types it, small; and what its figures show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from konvoi.hardware.bench import HardwareResult, Sizes, measure_machine
from konvoi.hardware.devices import available_cores, precisions_of
from konvoi.hardware.roofline_figure import roofline_figure
from konvoi.hardware.threads_figure import best_by_threads, threads_figure
from konvoi.recipe import load_recipe

SMALL = Sizes(array=1 << 20, vector_side=64, sides=(32, 64), images=1, stages=((8, 8), (16, 4)))


@pytest.fixture(scope="module")
def result() -> HardwareResult:
    told: list[str] = []
    found = measure_machine(
        load_recipe("digits-cnn"), (1, 8, 8), 10, threads=[1, 2], batch=4, seconds=0.0, sizes=lambda device: SMALL,
        tell=told.append,
    )  # fmt: skip
    assert told[0] == "processor, 1 thread"
    return found


def test_every_device_precision_and_number_of_threads_is_there(result: HardwareResult) -> None:
    processor = result.devices[0]
    assert len(result.devices) == 1 + torch.cuda.device_count()
    units = list(precisions_of(torch.device("cpu"))[0])
    for threads in (1, 2):
        own = processor.at(threads)
        assert {entry.precision for entry in own} == set(units)
        assert len(own) == 2 + len(units) * (2 + 2 + 2)
    assert processor.threads == 2
    assert set(processor.roofline.compute) == set(units)


def test_a_result_is_read_back_as_it_was_written(result: HardwareResult) -> None:
    assert HardwareResult.model_validate_json(result.model_dump_json()) == result


def test_the_roofline_shows_the_layers_where_they_are(result: HardwareResult) -> None:
    device = result.devices[0]
    axes, shares = roofline_figure(device).axes
    shown = np.concatenate([points.get_offsets() for points in axes.collections])
    wanted = [(layer.intensity, layer.flop / layer.seconds / 1e9) for layer in device.network.layers]
    assert np.array(sorted(map(tuple, shown))) == pytest.approx(np.array(sorted(wanted)))
    roof = [line.get_ydata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 2][: len(device.precisions)]
    assert sorted(roof) == pytest.approx(sorted(value / 1e9 for value in device.roofline.compute.values()))
    assert sum(bar.get_width() for bar in shares.patches) == pytest.approx(2.0)


def test_throughput_against_threads_takes_the_best_size(result: HardwareResult) -> None:
    device = result.devices[0]
    threads, speeds = best_by_threads(device, "matrix–matrix", "float32")
    assert threads == [1, 2]
    for count, speed in zip(threads, speeds, strict=True):
        own = [e for e in device.at(count) if (e.operation, e.precision) == ("matrix–matrix", "float32")]
        assert len(own) == 2
        assert speed == max(entry.gigaflops for entry in own)
    memory, arithmetic = threads_figure(device).axes
    assert len([line for line in memory.get_lines() if line.get_marker() == "o"]) == 4
    assert len([line for line in arithmetic.get_lines() if line.get_marker() == "o"]) == 2 * len(device.precisions)


def test_one_number_of_threads_has_figures_too(result: HardwareResult) -> None:
    device = result.devices[0]
    alone = device.model_copy(update={"measurements": tuple(device.at(1))})
    threads_figure(alone)
    assert ", 1 thread" in roofline_figure(alone).axes[0].get_title(loc="left")


def konvoi(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "konvoi", *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False)


def test_the_command_writes_a_table_results_and_figures(tmp_path: Path) -> None:
    arguments = ("--recipe", "digits-cnn", "--threads", "1", "--seconds", "0", "--batch", "8", "--out", "bench")
    done = konvoi("bench", "device", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "matrix–vector by columns" in done.stdout
    assert "memory is fast enough from" in done.stdout
    assert "digits-cnn: forward pass in training mode, 8 images of 1×8×8" in done.stdout
    content = HardwareResult.model_validate(json.loads((tmp_path / "bench" / "results.json").read_text()))
    assert content.devices[0].network.network == "digits-cnn"
    names = {path.name for path in (tmp_path / "bench").iterdir()}
    assert {"roofline-cpu.png", "roofline-cpu.svg", "threads.png", "threads.svg", "results.json"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "digits-cmn"), "digits-cnn"),
        (("--threads", "0"), f"whole numbers from 1 to {available_cores()}"),
        (("--image-shape", "12x120", "--classes", "3"), "12x120x120"),
        (("--image-shape", "1x8x8"), "--classes"),
        (("--recipe", "digits-cnn", "--out", "file/below"), "Choose another with --out"),
    ],
)
def test_what_cannot_be_is_said_with_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from konvoi.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["konvoi", "bench", "device", "--out", "bench", *arguments])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "bench" / "results.json").exists()
