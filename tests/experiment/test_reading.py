"""What a launcher reads ahead is what its ranks would have read, and they do not read it again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
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


def without_images(dataset: Dataset) -> tuple[object, ...]:
    return dataset.fingerprint, dataset.class_names, dataset.labels.tolist()


def test_what_was_read_ahead_is_given_out_though_the_files_are_gone(recipe: Recipe, folder: Path) -> None:
    dataset, split, bands = reading.read_data(recipe, folder)
    with reading.read_ahead(recipe, folder):
        folder.rename(folder.with_name("elsewhere"))
        ahead, ahead_split, ahead_bands = reading.read_data(recipe, folder)
    assert without_images(ahead) == without_images(dataset)
    assert ahead_split.fingerprint == split.fingerprint
    assert ahead_bands == bands
    with pytest.raises(DataError):
        reading.read_data(recipe, folder)


def test_another_recipe_or_folder_is_read_anew(recipe: Recipe, folder: Path) -> None:
    other = recipe.model_copy(update={"split": recipe.split.model_copy(update={"seed": 5})})
    with reading.read_ahead(recipe, folder):
        assert reading.read_data(other, folder)[1].fingerprint != reading.read_data(recipe, folder)[1].fingerprint
        with pytest.raises(DataError, match="nowhere"):
            reading.read_data(recipe, folder.with_name("nowhere"))


def test_threads_are_as_before(recipe: Recipe, folder: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with reading.read_ahead(recipe, folder):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("recipe")
def test_ranks_do_not_read_again(folder: Path, tmp_path: Path) -> None:
    read, run = tmp_path / "read.txt", tmp_path / "run"
    # A program of its own, which notes each process that reads, and is then the command line.
    program = (
        "import os, sys\n"
        "from konvoi.experiment import reading\n"
        "inner = reading.read_source\n"
        "def noted(*arguments):\n"
        f"    with open({str(read)!r}, 'a') as file: file.write(f'{{os.getppid()}} {{os.getpid()}}\\n')\n"
        "    return inner(*arguments)\n"
        "reading.read_source = noted\n"
        "from konvoi.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, "train"]
    first = [str(tmp_path / "r.yaml"), "--run-dir", str(run), "--data-dir", str(folder)]
    again = [str(tmp_path / "r.yaml"), "--run-dir", str(run), "--restartable"]
    for own in (first, again):
        done = subprocess.run([*command, *own, "--ranks", "2"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        # The second time, the run had come to its end, and nothing was read.
        (line,) = read.read_text().splitlines()
        assert line.split()[0] == str(os.getpid())
    (run / "evaluation.json").unlink()
    done = subprocess.run([*command, *again, "--ranks", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in read.read_text().splitlines()] == [str(os.getpid())] * 2


@pytest.mark.parametrize("inside", ["total = sum(range(10 ** 6))", "raise ValueError"])
def test_the_engine_is_imported_whatever_becomes_of_the_data(inside: str) -> None:
    program = (
        "import gc, sys\n"
        "from konvoi.imports import engine_imported_meanwhile\n"
        "before = sys.getswitchinterval()\n"
        "try:\n"
        "    with engine_imported_meanwhile():\n"
        f"        {inside}\n"
        "except ValueError:\n"
        "    pass\n"
        "assert 'torch._dynamo' in sys.modules\n"
        "assert sys.getswitchinterval() == before\n"
        "assert gc.isenabled()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
