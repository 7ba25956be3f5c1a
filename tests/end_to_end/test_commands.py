"""The commands as a person types them: real processes, real files."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from konvoi.run import load_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of digits-ann."""
    folder = tmp_path_factory.mktemp("finished")
    command = [sys.executable, "-m", "konvoi", "train", "digits-ann", "--run-dir", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "test split: read once" in done.stdout
    assert "report: run/report.html" in done.stdout
    return folder / "run"


def test_the_demos_recipe_reaches_its_accuracy(konvoi, tmp_path: Path) -> None:
    done = konvoi("train", "digits-cnn", "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    run = load_run(tmp_path / "run")
    assert run.evaluation is not None
    assert run.evaluation.test is not None
    assert run.evaluation.test.samples == 359
    assert run.evaluation.test.accuracy >= 0.98
    assert run.facts.state == "evaluated"
    assert "<html" in run.report_path.read_text()


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "konvoi", "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert "train" in done.stdout
    assert min(seconds) < 0.4
    code = (
        "import sys; import konvoi, konvoi.cli; print(*(set(sys.modules) & {'torch', 'numpy', 'sklearn', 'pydantic'}))"
    )
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert imported.split() == []


class TestEvaluate:
    def test_the_test_split_is_read_once_unless_asked_again(self, konvoi, finished: Path) -> None:
        first = konvoi("evaluate", finished)
        assert first.returncode == 0, first.stderr
        assert "test split: read once" in first.stdout
        before = load_run(finished).evaluation
        again = konvoi("evaluate", finished, "--again")
        assert "test split: read 2 times" in again.stdout
        after = load_run(finished).evaluation
        assert before is not None
        assert after is not None
        assert before.test == after.test
        assert after.test_reads == 2

    def test_a_sealed_test_split_is_opened_by_evaluate(self, konvoi, tmp_path: Path) -> None:
        trained = konvoi("train", "small.yaml", "--run-dir", "run", "--seal-test")
        assert "test split: sealed, never read" in trained.stdout
        run = load_run(tmp_path / "run")
        assert not run.test_log.exists()
        assert run.evaluation is not None
        assert run.evaluation.test is None
        evaluated = konvoi("evaluate", "run")
        assert evaluated.returncode == 0, evaluated.stderr
        assert "test split: read once" in evaluated.stdout


class TestPredict:
    def write_digits(self, folder: Path, invert: bool = False) -> list[int]:
        folder.mkdir()
        digits = load_digits()
        for index in range(20):
            pixels = np.round(digits.images[index] * 255 / 16).astype(np.uint8)
            Image.fromarray(255 - pixels if invert else pixels).save(folder / f"{index:02d}.png")
        return digits.target[:20].tolist()

    def test_csv_and_json_agree_and_are_right(self, konvoi, finished: Path, tmp_path: Path) -> None:
        labels = self.write_digits(tmp_path / "pictures")
        done = konvoi("predict", finished, "pictures")
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [row["file"] for row in rows] == [f"pictures/{index:02d}.png" for index in range(20)]
        assert sum(int(row["class"]) == label for row, label in zip(rows, labels, strict=True)) >= 19
        assert konvoi("predict", finished, "pictures", "--out", "table.json").returncode == 0
        objects = json.loads((tmp_path / "table.json").read_text())
        for row, entry in zip(rows, objects, strict=True):
            assert entry["class"] == row["class"]
            assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)
            assert entry["probability"] == pytest.approx(float(row["probability"]), abs=1e-6)

    def test_swapped_brightness_is_noticed_and_mended_by_invert(self, konvoi, finished: Path, tmp_path: Path) -> None:
        self.write_digits(tmp_path / "right")
        self.write_digits(tmp_path / "swapped", invert=True)
        expected = konvoi("predict", finished, "right")
        assert "caution" not in expected.stderr
        assert "--invert" in konvoi("predict", finished, "swapped").stderr
        mended = konvoi("predict", finished, "swapped", "--invert")
        assert mended.stdout.replace("swapped/", "right/") == expected.stdout
        assert "caution" not in mended.stderr

    def test_a_corrupt_file_is_named_and_skipped(self, konvoi, finished: Path, tmp_path: Path) -> None:
        self.write_digits(tmp_path / "pictures")
        (tmp_path / "pictures" / "05.png").write_bytes(b"\x89PNG nothing")
        done = konvoi("predict", finished, "pictures")
        assert done.returncode == 0
        assert "05.png" in done.stderr
        assert "19 files classified, 1 skipped" in done.stderr

    def test_only_corrupt_files_are_an_error(self, konvoi, finished: Path, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_bytes(b"nothing")
        done = konvoi("predict", finished, "bad.png")
        assert done.returncode == 2
        assert "None of the 1 files could be read" in done.stderr


def test_summary_shows_weights_and_biases_apart(konvoi) -> None:
    done = konvoi("summary", "mnist-cnn")
    assert done.returncode == 0, done.stderr
    convolution = next(line for line in done.stdout.splitlines() if "conv1 " in line)
    assert re.findall(r"[\d,×]+", convolution)[2:] == ["20×24×24", "500", "20", "520", "288,000", "5×5"]
    assert "11,760 weights + 15 biases = 11,775" in done.stdout
    assert "118,282" in konvoi("summary", "mnist-ann").stdout


def test_recipes_are_listed_and_shown_ready_to_be_changed(konvoi, tmp_path: Path) -> None:
    assert "mnist-best" in konvoi("recipes").stdout
    (tmp_path / "mine.yaml").write_text(konvoi("recipes", "show", "digits-ann").stdout)
    (tmp_path / "full.yaml").write_text(konvoi("recipes", "show", "digits-ann", "--full").stdout)
    assert konvoi("summary", "mine.yaml").stdout == konvoi("summary", "full.yaml").stdout


def test_data_info_counts_classes_and_copies(konvoi) -> None:
    done = konvoi("data", "info", "digits-cnn")
    assert done.returncode == 0, done.stderr
    assert re.search(r"all\s+1,151\s+287\s+359", done.stdout)
    assert "test images that stand in train as well, pixel by pixel: 0" in done.stdout


def test_a_report_is_written_again(konvoi, finished: Path) -> None:
    (finished / "report.html").unlink()
    assert konvoi("report", finished).returncode == 0
    assert (finished / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "Name a recipe"),
        (["train", "digits-cmn"], "Did you mean 'digits-cnn'?"),
        (["train", "digits-cnn", "--set", "optim.lrr=1"], "Did you mean 'lr'?"),
        (["train", "digits-cnn", "--set", "network.blocks.0={maps: 8, kernel: 9, padding: valid}"], "larger images"),
        (["train", "mnist-cnn"], "konvoi data get mnist"),
        (["train", "mnist-cnn", "--data-dir", "nowhere"], "nowhere"),
        (["train", "digits-cnn", "--run-dir", "small.yaml"], "is not empty"),
        (["train", "digits-cnn", "--run-dir", "/proc/run"], "cannot be written"),
        (["train", "digits-cnn", "--set", "split.folds=200"], "has 14"),
        (["train", "digits-cnn", "--set", "compute.device=cuda"], "no CUDA device"),
        (["train", "digits-cnn", "--set", "compute.precision=float16"], "needs a GPU"),
        (["train", "--resume", "nowhere"], "There is no run folder nowhere"),
        (["train", "--resume", "."], "is not a run folder"),
        (["train", "small.yaml", "--set", "optim.lr=1e30"], "Training diverged: "),
        (["evaluate", "nowhere"], "There is no run folder nowhere"),
        (["predict", "nowhere", "x.png"], "There is no run folder nowhere"),
        (["report", "nowhere"], "There is no run folder nowhere"),
        (["recipes", "show", "nothing"], "no recipe named 'nothing'"),
        (["summary", "mnist-cnn", "--classes", "0"], "--classes"),
        (["predict", ".", "x.png", "-o", ""], "is not a run folder"),
        (["summary", "nothing"], "no recipe named 'nothing'"),
        (["data", "get", "cifar"], "Known are"),
        (["data", "info", "mnist-cnn"], "konvoi data get mnist"),
        (["trian"], "Did you mean 'train'?"),
        (["train", "digits-cnn", "--epochs", "3"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_message_and_exit_code_2(konvoi, arguments: list[str], message: str) -> None:
    done = konvoi(*arguments)
    if arguments == ["train", "digits-cnn", "--set", "compute.device=cuda"] and done.returncode == 0:
        pytest.skip("there is a CUDA device here")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("recipe.yaml", b"name: [", "evaluate"),
        ("run.json", b'{"konvoi_version": "0', "evaluate"),
        ("history.json", b"", "report"),
        ("history.json", b"{}", "report"),
        ("evaluation.json", b"[]", "evaluate"),
        ("examples.npz", b"PK nothing", "evaluate --again"),
        ("checkpoints/last.safetensors", b"nothing", "evaluate"),
    ],
)
def test_a_damaged_run_is_named_and_never_a_traceback(
    name: str, content: bytes, command: str, konvoi, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "damaged")
    (tmp_path / "damaged" / name).write_bytes(content)
    done = konvoi(*command.split(), "damaged")
    if "--again" in command:
        assert done.returncode == 0, "what can be written anew is written anew"
        return
    assert done.returncode == 2, done.stderr + done.stdout
    assert Path(name).name in done.stderr
    assert "Traceback" not in done.stderr


def test_names_are_text_and_not_markup(konvoi, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "g[/v2]")
    done = konvoi("evaluate", "g[/v2]")
    assert done.returncode == 0, done.stderr
    assert "report: g[/v2]/report.html" in done.stdout


def test_debug_shows_the_traceback(konvoi) -> None:
    done = konvoi("train", "nothing", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "RecipeError" in done.stderr


def test_a_run_whose_data_changed_is_not_resumed(konvoi, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    stream = np.random.default_rng(0)
    for name in ("dark", "light"):
        (folder / name).mkdir(parents=True)
        for index in range(12):
            pixels = stream.integers(0, 100, (8, 8), dtype=np.uint8) + (100 if name == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    settings = ["--set", "source={kind: image-folder, folder: pictures, channels: grey, size: [8, 8]}"]
    done = konvoi("train", "small.yaml", "--run-dir", "run", "--seal-test", *settings)
    assert done.returncode == 0, done.stderr
    (tmp_path / "run" / "evaluation.json").unlink()
    (folder / "dark" / "0.png").unlink()
    resumed = konvoi("train", "--resume", "run")
    assert resumed.returncode == 2
    assert "The data are not those that run was trained on" in resumed.stderr
