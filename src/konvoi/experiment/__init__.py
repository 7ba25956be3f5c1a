"""One experiment from recipe to report.

`reading` reads and divides the data, `material` makes what a training works on, `start` gives the network its first
weights, `training` runs it to the end, `assessment` scores the result.
"""

from konvoi.experiment.assessment import evaluate
from konvoi.experiment.material import Material, make_batches, make_loss, make_validation, prepare
from konvoi.experiment.reading import read_ahead
from konvoi.experiment.training import new_run_folder, require_fitting_ranks, resume, train, train_or_resume

__all__ = [
    "Material",
    "evaluate",
    "make_batches",
    "make_loss",
    "make_validation",
    "new_run_folder",
    "prepare",
    "read_ahead",
    "require_fitting_ranks",
    "resume",
    "train",
    "train_or_resume",
]
