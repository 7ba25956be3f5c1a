"""The commands: parse, call, print. `commands` has those on recipes and runs, `data` and `recipes` their groups."""

from konvoi.cli.commands import app

__all__ = ["app"]
