"""`konvoi` and `python -m konvoi`: run a command, and turn what goes wrong into one message and an exit code.

0: done. 2: something the user can mend. 1: a defect of Konvoi. 128 + n: stopped by signal n.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from konvoi.errors import KonvoiError, RankLost, TrainingInterrupted


def main() -> None:
    """Run the command line."""
    from konvoi.cli import run

    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        run()
    except TrainingInterrupted as interruption:
        _say(f"\n{interruption}")
        _end(128 + interruption.signal_number)
    except RankLost:
        _end(2)
    except KonvoiError as error:
        if debug:
            raise
        _say(f"konvoi: {error}")
        _end(2)
    except Exception as error:
        if debug:
            raise
        if _lost_another_rank(error):
            _say(
                "konvoi: the connection to another rank broke; it ended without a word (killed, or out of memory?). "
                + _what_follows()
            )
        else:
            _say(
                f"konvoi: this is a defect of Konvoi, please report it: {type(error).__name__}: {error}\n"
                "The same command with --debug shows where it happened."
            )
        sys.exit(1)
    _part()


def _say(message: str) -> None:
    """Tell the user; of several ranks, only the first that has something to say."""
    ranks = sys.modules.get("konvoi.parallel.meeting")
    if ranks is None or ranks.speaks_first():
        print(message, file=sys.stderr, flush=True)


def _end(code: int) -> NoReturn:
    """Leave with an exit code; a rank that `konvoi train --ranks` started hands it over."""
    ranks = sys.modules.get("konvoi.parallel.meeting")
    if ranks is not None:
        ranks.leave_last()
    launcher = sys.modules.get("konvoi.parallel.launch")
    sys.exit(code if launcher is None else launcher.note_outcome(code))


def _lost_another_rank(error: Exception) -> bool:
    ranks = sys.modules.get("konvoi.parallel.meeting")
    return ranks is not None and ranks.lost_another(error)


def _what_follows() -> str:
    from konvoi.parallel.launch import starts_again

    if starts_again():
        return "All are started again, and go on from the last checkpoint."
    return "What was trained is saved: resume the run."


def _part() -> None:
    ranks = sys.modules.get("konvoi.parallel.meeting")
    if ranks is not None:
        ranks.part()


if __name__ == "__main__":
    main()
