"""Generated archives: the real layout to the tag, the real frequencies, the same bytes again, and called synthetic."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from konvoi.data.nomenclature import IMAGES_IN_ARCHIVE, IMAGES_OF_43, LABELS_43
from konvoi.data.synthetic import MARKER, generate_bigearthnet, is_synthetic
from konvoi.data.synthetic.plan import plan_archive
from konvoi.errors import DataError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    generate_bigearthnet(folder, 24, seed=1, sentinel1=True)
    return folder


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(archive: Path, tmp_path: Path) -> None:
    generate_bigearthnet(tmp_path / "two", 24, seed=1, sentinel1=True, workers=2)
    assert contents(tmp_path / "two") == contents(archive)
    generate_bigearthnet(tmp_path / "other", 24, seed=2, sentinel1=True)
    assert contents(tmp_path / "other") != contents(archive)


def test_a_killed_generation_is_completed(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    script = (
        "from pathlib import Path\nfrom konvoi.data.synthetic import generate_bigearthnet\n"
        f"generate_bigearthnet(Path({str(folder)!r}), 24, 1, sentinel1=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while len(list(folder.glob("BigEarthNet-v1.0/S2*"))) < 5 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert len(list(folder.glob("BigEarthNet-v1.0/S2*"))) < 24
    generate_bigearthnet(folder, 24, seed=1, sentinel1=True)
    assert contents(folder) == contents(archive)


def test_it_is_called_synthetic_wherever_one_may_look(archive: Path) -> None:
    assert "SYNTHETIC" in (archive / MARKER).read_text()
    patch = next((archive / "BigEarthNet-v1.0").iterdir())
    assert "_2099" in patch.name
    assert all(is_synthetic(folder) for folder in (archive, patch.parent, patch))
    assert not is_synthetic(archive.parent)
    assert json.loads((patch / f"{patch.name}_labels_metadata.json").read_text())["synthetic"] is True
    assert b"synthetic" in (patch / f"{patch.name}_B02.tif").read_bytes()


def test_files_are_those_of_the_real_archive_to_the_tag(archive: Path, shared_data: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="both are compared as rasterio sees them")
    pairs = [
        ("BigEarthNet-v1.0", "s2", ("B02", "B05", "B01")),
        ("BigEarthNet-S1-v1.0", "s1", ("VV", "VH")),
    ]
    for made_folder, real_folder, bands in pairs:
        made = next((archive / made_folder).iterdir())
        real = next((shared_data / "bigearthnet-v1" / real_folder).iterdir())
        suffixes = {path.name.removeprefix(made.name) for path in made.iterdir()}
        assert suffixes == {path.name.removeprefix(real.name) for path in real.iterdir()}
        ours, theirs = (
            json.loads((folder / f"{folder.name}_labels_metadata.json").read_text()) for folder in (made, real)
        )
        assert set(ours) - {"synthetic"} == set(theirs)
        assert set(ours["coordinates"]) == set(theirs["coordinates"])
        for band in bands:
            with (
                rasterio.open(made / f"{made.name}_{band}.tif") as one,
                rasterio.open(real / f"{real.name}_{band}.tif") as other,
            ):
                assert (one.profile["driver"], one.shape, one.dtypes) == (
                    other.profile["driver"],
                    other.shape,
                    other.dtypes,
                )
                assert (one.res, one.crs.is_projected, one.nodata) == (other.res, other.crs.is_projected, other.nodata)
                assert one.block_shapes == other.block_shapes
                assert (one.bounds.left, one.bounds.top) == (ours["coordinates"]["ulx"], ours["coordinates"]["uly"])


def test_labels_are_as_frequent_as_published_and_several_a_patch() -> None:
    plan = plan_archive(0, 20_000)
    counts = np.array([sum(label in patch.labels for patch in plan) for label in LABELS_43])
    expected = np.array([IMAGES_OF_43[label] for label in LABELS_43]) / IMAGES_IN_ARCHIVE * 20_000
    frequent = expected > 500
    assert (np.abs(counts[frequent] / expected[frequent] - 1) < 0.15).all()
    assert (counts > 0).all()
    # The archive has 1,740,000 labels on 590,326 patches: 2.9 a patch.
    assert 2.6 < counts.sum() / 20_000 < 3.2


def test_another_archive_is_left_alone(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds a synthetic archive of other settings"):
        generate_bigearthnet(archive, 25, seed=1, sentinel1=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty, and holds no synthetic archive"):
        generate_bigearthnet(tmp_path, 5, seed=1)


def test_pixels_look_like_the_land_that_is_claimed() -> None:
    """Water is dark in the near infrared, vegetation bright there and dark in red; that is what a network can learn."""
    from konvoi.data.synthetic.scene import render

    plan = [patch for patch in plan_archive(4, 3000) if not patch.flag]
    means: dict[str, list[tuple[float, float]]] = {}
    for label in ("Sea and ocean", "Broad-leaved forest", "Pastures"):
        for patch in [patch for patch in plan if patch.labels == (label,)][:6]:
            bands = render(4, patch)
            means.setdefault(label, []).append((float(bands["B04"].mean()), float(bands["B08"].mean())))
    near_infrared = {label: np.mean([pair[1] for pair in pairs]) for label, pairs in means.items()}
    red = {label: np.mean([pair[0] for pair in pairs]) for label, pairs in means.items()}
    assert near_infrared["Sea and ocean"] < 600
    for label in set(means) - {"Sea and ocean"}:
        assert near_infrared[label] > 1500
        assert near_infrared[label] > 2 * red[label]
