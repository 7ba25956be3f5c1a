"""Baselines of a cube: against scikit-learn directly, bounded, and repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from konvoi.evaluation import baselines
from konvoi.evaluation.baselines import BASELINES, fit_baseline
from konvoi.evaluation.brief import score_briefly


def rings(samples: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Two classes that no hyperplane divides, in 12 bands of very different size."""
    stream = np.random.default_rng(seed)
    angle, labels = stream.uniform(0, 6.3, samples), stream.integers(0, 2, samples)
    radius = 1.0 + labels + 0.15 * stream.normal(size=samples)
    plane = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return (plane @ stream.normal(size=(2, 12)) * np.geomspace(1, 1000, 12) + 500).astype(np.float32), labels


@pytest.mark.parametrize("name", BASELINES)
def test_they_learn_what_no_hyperplane_can(name: str) -> None:
    spectra, labels = rings(400)
    fitted = fit_baseline(name, spectra[:250], labels[:250], seed=1)
    assert (fitted.predict(spectra[250:]) == labels[250:]).mean() > 0.95
    assert fitted.training_samples == 250
    again = fit_baseline(name, spectra[:250], labels[:250], seed=1)
    assert (again.predict(spectra) == fitted.predict(spectra)).all()
    assert again.about == fitted.about


def test_the_machine_is_the_one_whose_parameters_it_names() -> None:
    spectra, labels = rings(200)
    fitted = fit_baseline("rbf-svm", spectra, labels, seed=0)
    cost, gamma = (float(part.split(" = ")[1].split()[0]) for part in fitted.about.split(" and "))
    scaler = StandardScaler().fit(spectra.astype(np.float64))
    asked = rings(100, seed=5)[0]
    theirs = SVC(C=cost, gamma=gamma / 12).fit(scaler.transform(spectra.astype(np.float64)), labels)
    assert (theirs.predict(scaler.transform(asked.astype(np.float64))) == fitted.predict(asked)).all()


def test_of_many_pixels_some_are_drawn_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_FITTED", 60)
    spectra, labels = rings(300)
    fitted = fit_baseline("rbf-svm", spectra, labels, seed=0)
    assert fitted.training_samples == 60
    assert "fitted on 60 of 300 training pixels" in fitted.about


def test_a_class_with_one_pixel_needs_no_fold() -> None:
    spectra, labels = rings(20)
    labels[:] = 0
    labels[3] = 1
    assert "C = 100" in fit_baseline("rbf-svm", spectra, labels, seed=0).about


def test_brief_scores_are_those_of_scikit_learn() -> None:
    stream = np.random.default_rng(0)
    labels, predicted = stream.integers(0, 4, 200), stream.integers(0, 4, 200)
    predicted[:120] = labels[:120]
    found = score_briefly(predicted, labels, 5)
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert found.average_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.kappa == pytest.approx(cohen_kappa_score(labels, predicted))
    assert found.interval[0] < found.accuracy < found.interval[1]
