"""What a launcher reads ahead is what its ranks would have read, and nothing of it is read twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from konvoi.data.dataset import Dataset
from konvoi.errors import DataError
from konvoi.experiment import reading
from konvoi.recipe import Recipe, load_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twenty small pictures."""
    random = np.random.default_rng(0)
    for label in ("dark", "light"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 100, (8, 8), dtype=np.uint8) + np.uint8(100 * (label == "light"))
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "r.yaml").write_text(
        "name: folder\nsource: {kind: image-folder, size: [8, 8], channels: grey}\nnetwork: {kind: mlp, hidden: [8]}\n"
        "optim: {kind: sgd, lr: 0.1}\nbudget: {epochs: 1, batch: 8}\n"
    )
    return load_recipe(tmp_path / "r.yaml")


@pytest.fixture(autouse=True)
def nothing_ahead() -> Iterator[None]:
    yield
    reading._ahead = None


def without_images(dataset: Dataset) -> tuple[object, ...]:
    return dataset.fingerprint, dataset.class_names, dataset.labels.tolist()


def test_what_was_read_ahead_is_given_out_though_the_files_are_gone(recipe: Recipe, folder: Path) -> None:
    dataset, split, bands = reading.read_data(recipe, folder)
    reading.read_ahead(recipe, folder)
    folder.rename(folder.with_name("elsewhere"))
    ahead, ahead_split, ahead_bands = reading.read_data(recipe, folder)
    assert without_images(ahead) == without_images(dataset)
    assert ahead_split.fingerprint == split.fingerprint
    assert ahead_bands == bands


def test_another_recipe_or_folder_is_read_anew(recipe: Recipe, folder: Path) -> None:
    reading.read_ahead(recipe, folder)
    other = recipe.model_copy(update={"split": recipe.split.model_copy(update={"seed": 5})})
    assert reading.read_data(other, folder)[1].fingerprint != reading.read_data(recipe, folder)[1].fingerprint
    with pytest.raises(DataError, match="nowhere"):
        reading.read_data(recipe, folder.with_name("nowhere"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_has_what_was_read_ahead(recipe: Recipe, folder: Path) -> None:
    reading.read_ahead(recipe, folder)
    expected = reading.read_data(recipe, folder)[1].fingerprint
    folder.rename(folder.with_name("elsewhere"))
    child = os.fork()
    if child == 0:
        os._exit(0 if reading.read_data(recipe, folder)[1].fingerprint == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_engine_is_imported_when_the_data_are_read() -> None:
    program = (
        "import sys\n"
        "from konvoi.imports import engine_imported_meanwhile\n"
        "before = sys.getswitchinterval()\n"
        "with engine_imported_meanwhile():\n"
        "    total = sum(range(10 ** 6))\n"
        "assert 'torch._dynamo' in sys.modules\n"
        "assert sys.getswitchinterval() == before\n"
        "import gc\n"
        "assert gc.isenabled()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
