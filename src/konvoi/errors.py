"""The errors a user can mend: each message says what was found, where, what was expected and what to do.

Everything else that goes wrong is a defect of Konvoi and stays an ordinary exception.
"""

from __future__ import annotations


class KonvoiError(Exception):
    """A problem the user can mend. The command line prints its message and exits with code 2."""


class RecipeError(KonvoiError):
    """The recipe does not say what Konvoi can do: an unknown key, a value out of range, a wrong type."""


class DataError(KonvoiError):
    """Files are missing, damaged, or do not hold what the recipe expects."""


class RunError(KonvoiError):
    """A run folder cannot be written, read, or resumed."""


class LaunchError(KonvoiError):
    """The ranks of a training were not started as they should be, or did not find each other."""


class RankLost(KonvoiError):
    """Another rank ended; what it met is said there, once, and not here."""


class TrainingDiverged(KonvoiError):
    """The loss is no longer a finite number; the last good checkpoint is kept."""


class TrainingInterrupted(KonvoiError):
    """A signal stopped the training after its state was saved.

    Attributes:
        signal_number: the signal that was received; a shell expects exit code 128 + this number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
