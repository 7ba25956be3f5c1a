"""The folder of a study: claimed for one question, filled result by result, and gone on with where it was stopped.

FOLDER/study.json      what is studied; another study is refused
FOLDER/results.json    one entry a result
FOLDER/runs/           a run for each training
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from konvoi.errors import LaunchError, RunError
from konvoi.files import remove_leftovers, write_aside, write_json
from konvoi.parallel.environment import read_environment
from konvoi.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

R = TypeVar("R", bound=Record)


def claim(folder: Path, question: dict[str, Any]) -> None:
    """Note what is studied, or see that the folder holds the same study.

    Args:
        folder: made where there is none.
        question: all that results depend on; of JSON's types, records' dumps included.

    Raises:
        RunError: the folder holds another study, or something else.
        LaunchError: this is one of several ranks; a study starts its trainings itself.
    """
    environment = read_environment()
    if environment.size > 1:
        raise LaunchError(
            f"This is rank {environment.rank} of {environment.size}, started by {environment.launcher}; a study is "
            "one process, which starts its trainings itself."
        )
    own = json.loads(json.dumps(question))
    path = folder / "study.json"
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is damaged: {error}.") from error
        differing = sorted(key for key in own.keys() | found.keys() if own.get(key) != found.get(key))
        if differing:
            raise RunError(
                f"{folder} holds another study: its {' and '.join(differing)} differ{'s' * (len(differing) == 1)} "
                f"(see {path}). Choose another folder."
            )
        remove_leftovers(folder)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is not empty and holds no study. Choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, own)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error


def read_results(folder: Path, kind: type[R]) -> list[R]:
    """The results that are there already.

    Raises:
        RunError: results.json cannot be read.
    """
    path = folder / "results.json"
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[kind]).validate_json(path.read_text(encoding="utf-8"))  # type: ignore[valid-type]
    except (OSError, ValidationError) as error:
        raise RunError(f"{path} is damaged: {error}.") from error


def write_results(folder: Path, results: Sequence[Record]) -> None:
    """Replace results.json."""
    write_json(folder / "results.json", [entry.model_dump(mode="json") for entry in results])


def write_figure(folder: Path, name: str, figure: Figure) -> Path:
    """Write a figure as PNG and SVG; the path of the PNG."""
    for kind in ("svg", "png"):
        write_aside(folder / f"{name}.{kind}", partial(figure.savefig, format=kind, dpi=160))
    return folder / f"{name}.png"


def leaking_runs(folder: Path) -> bool:
    """Whether a run of the study was trained under a split that leaks, which its table and figure then say."""
    from konvoi.run import Run

    runs = [Run(place.parent) for place in sorted((folder / "runs").glob("*/run.json"))]
    return any(run.facts.data.leaks for run in runs)
