"""The run: the folder that a training writes (`folder`), and what its files hold (`records`)."""

from konvoi.run.folder import Run, load_run
from konvoi.run.records import DataFacts, Evaluation, Examples, MemberScores, Places, Predictions, RunFacts, SceneMap

__all__ = [
    "DataFacts",
    "Evaluation",
    "Examples",
    "MemberScores",
    "Places",
    "Predictions",
    "Run",
    "RunFacts",
    "SceneMap",
    "load_run",
]
