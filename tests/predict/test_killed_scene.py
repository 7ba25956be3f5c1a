"""A prediction that was really killed goes on, and its map is the same to the last byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio", reason="scenes need rasterio")

from made_scenes import linear_classifier, reflectances, write_scene

from konvoi.predict.scenes import map_scene

BLOCK = 3 * 4 * 20 * 20

PREDICT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from made_scenes import linear_classifier
from konvoi.predict.scenes import map_scene

def slowly(done, rows):
    print(done, flush=True)
    time.sleep(0.05)

map_scene(linear_classifier(), Path({scene!r}), Path({out!r}), overlap={overlap}, block_bytes={block}, progress=slowly)
"""


def test_killed_twice_and_finished(tmp_path: Path) -> None:
    overlap = 0.7  # strides that divide no window: many windows reach into rows not yet finished
    stored = reflectances(300, 60)
    stored[:, 40:80, :25] = 0
    scene = write_scene(tmp_path / "scene.tif", stored, nodata=0)
    whole = map_scene(linear_classifier(), scene, tmp_path / "whole.tif", overlap=overlap, block_bytes=BLOCK)
    out = tmp_path / "killed.tif"
    code = PREDICT.format(
        tests=str(Path(__file__).parent), scene=str(scene), out=str(out), overlap=overlap, block=BLOCK
    )
    done_before = 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert int(process.stdout.readline()) == done_before
        for _ in range(3):
            process.stdout.readline()
        time.sleep(0.06)  # into the middle of the next strip
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        done = json.loads((tmp_path / ".killed.tif.part.json").read_text())["rows_done"]
        assert done_before < done < whole.rows
        assert not out.exists()
        done_before = done
    result = map_scene(linear_classifier(), scene, out, overlap=overlap, block_bytes=BLOCK)
    assert result.resumed_rows == done_before
    assert out.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert result.quicklook.read_bytes() == whole.quicklook.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_another_scene_or_other_settings_begin_anew_and_say_so(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", reflectances(300, 60))
    out = tmp_path / "map.tif"

    class Stopped(Exception):
        pass

    def stop(done: int, rows: int) -> None:
        if done > rows // 2:
            raise Stopped

    def begin() -> None:
        with pytest.raises(Stopped):
            map_scene(linear_classifier(), scene, out, block_bytes=BLOCK, progress=stop)

    begin()
    assert map_scene(linear_classifier(), scene, out, output="class").resumed_rows > 0
    begin()
    other = map_scene(linear_classifier(), scene, out, overlap=0.25)
    assert other.resumed_rows == 0
    assert "begun anew" in other.cautions[0]
    begin()
    write_scene(scene, reflectances(300, 60, seed=9))
    os.utime(scene, ns=(1, 1))
    changed = map_scene(linear_classifier(), scene, out)
    assert changed.resumed_rows == 0
    begin()
    network = linear_classifier().network
    network.weights.data[0] += 1
    retrained = map_scene(linear_classifier(network=network), scene, out)
    assert retrained.resumed_rows == 0
    import rasterio

    with rasterio.open(out) as made:
        assert np.isfinite(made.read()).all()


def test_what_a_killed_process_was_writing_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", reflectances(120, 60))
    stale = [".map.tif.123.part", "..map.tif.part.json.123.part"]
    others = [".other.tif.123.part", ".map.tif.png.123.part"]
    for name in (*stale, *others):
        (tmp_path / name).write_bytes(b"half")
    map_scene(linear_classifier(), scene, tmp_path / "map.tif")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == sorted(others)
