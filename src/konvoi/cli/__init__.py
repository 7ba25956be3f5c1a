"""The commands: parse, call, print. `commands` has those on recipes and runs, `data` and `recipes` their groups."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer.main

from konvoi.cli.commands import app

__all__ = ["app", "run"]


@cache
def _command() -> Any:
    # Built once: a forked rank has its launcher's.
    return typer.main.get_command(app)


def run() -> None:
    """Parse this process's arguments, and run the command that they name."""
    _command()()
