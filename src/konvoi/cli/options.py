"""Arguments and options that several commands share, and how lists in them are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe's key, for example optim.lr=0.05."),
]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Where the source's files are.")]
StudyFolderOption = Annotated[
    Path, typer.Option("--out", "-o", help="The folder to write; a stopped study goes on there.")
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Train no longer than this; default: the recipe's.")
]


def whole_numbers(option: str, text: str) -> list[int]:
    """The numbers of an option such as `--ranks 1,2,4`.

    Raises:
        RecipeError: what stands there is no list of whole numbers.
    """
    from konvoi.errors import RecipeError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise RecipeError(f"{option} {text}: whole numbers with commas between them were expected, as 1,2,4.") from None
