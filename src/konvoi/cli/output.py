"""The folder that a command writes its answer to: results and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from konvoi.errors import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 160


def make_output_folder(folder: Path) -> None:
    """Make the folder, before the work is done; files of the same names are replaced there.

    Raises:
        RunError: it cannot be made, or not written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").write_bytes(b"")
        (folder / ".writable").unlink()
    except OSError as error:
        raise RunError(
            f"The folder {folder} cannot be written: {error.strerror}. Choose another with --out."
        ) from error


def save_figure(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure as PNG and SVG, and return the PNG's path."""
    from konvoi.files import write_aside
    from konvoi.report.palette import house_style

    with house_style():
        for kind in ("png", "svg"):
            write_aside(folder / f"{name}.{kind}", partial(figure.savefig, format=kind, dpi=_DOTS_PER_INCH))
    return folder / f"{name}.png"
