"""Konvoi: convolutional networks for scientific images, with honest numbers.

    import konvoi
    run = konvoi.train("digits-cnn")
    run.evaluation.test.accuracy
    konvoi.plot(run)

Names are loaded when first used, so that importing Konvoi, and `konvoi --help`, take no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from konvoi.errors import KonvoiError as KonvoiError
    from konvoi.experiment import evaluate as evaluate
    from konvoi.experiment import resume as resume
    from konvoi.experiment import train as train
    from konvoi.recipe import Recipe as Recipe
    from konvoi.recipe import load_recipe as load_recipe
    from konvoi.report import plot as plot
    from konvoi.run import Run as Run
    from konvoi.run import load_run as load_run

_HOMES = {
    "KonvoiError": "konvoi.errors",
    "Recipe": "konvoi.recipe",
    "Run": "konvoi.run",
    "evaluate": "konvoi.experiment",
    "load_recipe": "konvoi.recipe",
    "load_run": "konvoi.run",
    "plot": "konvoi.report",
    "resume": "konvoi.experiment",
    "train": "konvoi.experiment",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'konvoi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
