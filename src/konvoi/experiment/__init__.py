"""One experiment from recipe to report.

`material` makes what a training works on, `start` gives the network its first weights, `training` runs it to the end,
`assessment` scores the result.
"""

from konvoi.experiment.assessment import evaluate
from konvoi.experiment.material import Material, make_batches, make_loss, make_validation, prepare
from konvoi.experiment.training import new_run_folder, require_one_rank, resume, train, train_or_resume

__all__ = [
    "Material",
    "evaluate",
    "make_batches",
    "make_loss",
    "make_validation",
    "new_run_folder",
    "prepare",
    "require_one_rank",
    "resume",
    "train",
    "train_or_resume",
]
