"""What a result on a cube is shown against: classifiers that see the spectrum of the pixel alone, and no neighbour.

An RBF support vector machine and a multilayer perceptron, both scikit-learn's, on spectra that are standardised by the
training pixels. They take bounded time: of large training splits a stratified part is used, and the words say so.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.stratify import nested_order
from konvoi.evaluation.brief import BriefScores
from konvoi.randomness import stream_seed
from konvoi.record import Record

Spectra = NDArray[np.float32]
Labels = NDArray[np.int64]

_SEARCHED = 2_000
_FITTED = 10_000
_COSTS = (1.0, 10.0, 100.0, 1000.0)
_GAMMAS = (0.1, 1.0, 10.0)
"""In units of 1 / bands, which is scikit-learn's `scale` for standardised values."""
_FOLDS = 3
_HIDDEN = (128, 128)
_BATCH = 64
_LEARNING_STEPS = 1_000_000
"""Of the perceptron, in samples."""


class Baseline(Record):
    """One entry of `baselines.json`.

    Attributes:
        name: as in the recipe.
        title: for people.
        about: how it was fitted, in words.
        training_samples: pixels that it was fitted on.
        validation, test: its scores; None as long as the test split is sealed.
        seconds: fitting and scoring.
    """

    name: str
    title: str
    about: str
    training_samples: int
    validation: BriefScores
    test: BriefScores | None
    seconds: float


@dataclass(frozen=True)
class FittedBaseline:
    """A fitted classifier.

    Attributes:
        predict: from spectra `(n, C)` to classes `(n,)`.
        seconds: of fitting; the others as in `Baseline`.
    """

    name: str
    title: str
    about: str
    training_samples: int
    predict: Callable[[Spectra], Labels]
    seconds: float


def fit_baseline(name: str, spectra: Spectra, labels: Labels, seed: int) -> FittedBaseline:
    """Fit one of `BASELINES` on the spectra of training pixels.

    Args:
        name: `rbf-svm` or `mlp`.
        spectra: `(n, C)`, as stored.
        labels: `(n,)`.
        seed: of the pixels that are drawn where there are many, of the folds and of the first weights.
    """
    started = time.perf_counter()
    chosen = np.sort(nested_order(labels, seed)[:_FITTED])
    title, fit = BASELINES[name]
    with warnings.catch_warnings():
        # That the perceptron stopped at its last epoch, or that a class has few pixels for a fold.
        warnings.filterwarnings("ignore", module="sklearn")
        model, about = fit(spectra[chosen].astype(np.float64), labels[chosen], stream_seed(seed, "baseline") % 2**31)
    if len(chosen) < len(labels):
        about += f"; fitted on {len(chosen):,} of {len(labels):,} training pixels, drawn in their classes' shares"
    return FittedBaseline(
        name,
        title,
        about,
        len(chosen),
        lambda asked: np.asarray(model.predict(asked.astype(np.float64)), np.int64),
        time.perf_counter() - started,
    )


def _rbf_svm(spectra: NDArray[np.float64], labels: Labels, seed: int) -> tuple[Any, str]:
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = make_pipeline(StandardScaler(), SVC(cache_size=500))
    folds = min(_FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    unit = 1 / spectra.shape[1]
    if folds < 2:
        return model.set_params(svc__C=100.0, svc__gamma=unit).fit(spectra, labels), "C = 100, gamma = 1 / bands"
    searched = np.sort(nested_order(labels, seed)[:_SEARCHED])
    search = GridSearchCV(
        model,
        {"svc__C": _COSTS, "svc__gamma": [factor * unit for factor in _GAMMAS]},
        cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        refit=False,
    ).fit(spectra[searched], labels[searched])
    found = search.best_params_
    about = (
        f"C = {found['svc__C']:g} and gamma = {found['svc__gamma'] / unit:g} / bands by {folds}-fold cross-validation "
        f"on {len(searched):,} training pixels"
    )
    return model.set_params(**found).fit(spectra, labels), about


def _perceptron(spectra: NDArray[np.float64], labels: Labels, seed: int) -> tuple[Any, str]:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    epochs = int(np.clip(_LEARNING_STEPS // len(labels), 20, 300))
    network = MLPClassifier(_HIDDEN, batch_size=min(_BATCH, len(labels)), max_iter=epochs, random_state=seed)
    model = make_pipeline(StandardScaler(), network).fit(spectra, labels)
    hidden = " and ".join(map(str, _HIDDEN))
    return model, f"{hidden} hidden units, ReLU, Adam, batches of {_BATCH}, {network.n_iter_} epochs"


BASELINES: dict[str, tuple[str, Callable[[NDArray[np.float64], Labels, int], tuple[Any, str]]]] = {
    "rbf-svm": ("RBF SVM on spectra", _rbf_svm),
    "mlp": ("perceptron on spectra", _perceptron),
}
