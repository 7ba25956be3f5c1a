"""Konvoi from Python, as in a notebook."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import konvoi
from konvoi.data.sources.digits import read_digits
from konvoi.evaluation.inference import predict_logits, softmax
from konvoi.training.display import Silence


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> konvoi.Run:
    return konvoi.train(
        "digits-ann",
        run_dir=tmp_path_factory.mktemp("runs") / "run",
        overrides=["budget.epochs=5"],
        display=Silence(),
    )


def test_a_run_tells_its_scores(run: konvoi.Run) -> None:
    evaluation = konvoi.load_run(run.folder).evaluation
    assert evaluation is not None
    assert evaluation.test is not None
    low, high = evaluation.test.interval
    assert low < evaluation.test.accuracy < high
    assert len(run.history) == 5
    assert run.recipe.budget.epochs == 5


def test_the_network_gives_the_stored_predictions_again(run: konvoi.Run) -> None:
    stored = run.predictions("test")
    again = softmax(predict_logits(run.network(), read_digits().images, run.bands, stored.positions))
    np.testing.assert_allclose(again, stored.probabilities, atol=1e-6)
    assert np.array_equal(read_digits().labels[stored.positions], stored.labels)


def test_probabilities_do_not_depend_on_the_batch_size(run: konvoi.Run) -> None:
    images = read_digits().images[:100]
    whole = softmax(predict_logits(run.network(), images, run.bands, batch_size=100))
    np.testing.assert_allclose(
        softmax(predict_logits(run.network(), images, run.bands, batch_size=7)), whole, atol=1e-6
    )


def test_examples_are_the_most_confident_mistakes(run: konvoi.Run) -> None:
    examples, stored = run.examples(), run.predictions("test")
    confidence = examples.mistake_probabilities.max(1)
    assert (np.diff(confidence) <= 0).all()
    assert (examples.mistake_probabilities.argmax(1) != examples.mistake_labels).all()
    wrong = stored.probabilities.argmax(1) != stored.labels
    assert len(confidence) == min(32, wrong.sum())
    assert confidence[0] == stored.probabilities[wrong].max()


def test_a_run_can_be_plotted(run: konvoi.Run) -> None:
    figure = konvoi.plot(run)
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    losses = [record.validation_loss for record in run.history]
    assert any(np.array_equal(line.get_ydata(), losses) for line in lines)


def test_a_recipe_object_trains_too(tmp_path: Path) -> None:
    recipe = konvoi.load_recipe("digits-ann", ["budget.epochs=1"])
    run = konvoi.train(recipe, run_dir=tmp_path / "run", evaluate_test=False, display=Silence())
    assert run.recipe == recipe
    assert not run.test_log.exists()
    with pytest.raises(TypeError, match="overrides go with a recipe's name"):
        konvoi.train(recipe, overrides=["seed=1"])


def test_the_namespace_is_small_and_lazy() -> None:
    code = "import sys, konvoi; print('torch' in sys.modules, *sorted(dir(konvoi)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", *sorted(konvoi.__all__)]
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = konvoi.trian


def test_mnist_fast_passes_99_percent_on_the_real_test_set(shared_data: Path, tmp_path: Path) -> None:
    run = konvoi.train("mnist-fast", data_dir=shared_data / "mnist", run_dir=tmp_path / "run", display=Silence())
    assert run.evaluation is not None
    assert run.evaluation.test is not None
    assert run.evaluation.test.samples == 10_000
    assert run.evaluation.test.accuracy >= 0.99


def test_k_fold_cross_validation_covers_every_training_sample_once(tmp_path: Path) -> None:
    positions = []
    for fold in range(3):
        run = konvoi.train(
            "digits-ann",
            run_dir=tmp_path / str(fold),
            overrides=["budget.epochs=1", "split.folds=3", f"split.fold={fold}"],
            evaluate_test=False,
            display=Silence(),
        )
        positions.append(run.predictions("validation").positions)
    together = np.concatenate(positions)
    assert len(together) == len(set(together.tolist())) == 1797 - 359
