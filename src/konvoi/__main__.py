"""`konvoi` and `python -m konvoi`: run a command, and turn what goes wrong into one message and an exit code.

0: done. 2: something the user can mend. 1: a defect of Konvoi. 128 + n: stopped by signal n.
"""

from __future__ import annotations

import sys

from konvoi.errors import KonvoiError, TrainingInterrupted


def main() -> None:
    """Run the command line."""
    from konvoi.cli import app

    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except TrainingInterrupted as interruption:
        print(f"\n{interruption}", file=sys.stderr)
        sys.exit(128 + interruption.signal_number)
    except KonvoiError as error:
        if debug:
            raise
        print(f"konvoi: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        print(
            f"konvoi: this is a defect of Konvoi, please report it: {type(error).__name__}: {error}\n"
            "The same command with --debug shows where it happened.",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
