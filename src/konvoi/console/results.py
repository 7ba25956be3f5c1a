"""What a run reached."""

from __future__ import annotations

from konvoi.console.terminal import plain_table, terminal
from konvoi.evaluation.scores import Scores
from konvoi.evaluation.several_labels import LabelScores, SeveralLabelScores
from konvoi.run import Run

_COLUMNS = ("samples", "accuracy", "95 % interval", "macro F1", "cross-entropy", "calibration error")
_SCENE_COLUMNS = ("samples", "OA", "95 % interval", "AA", "κ", "macro F1", "cross-entropy", "calibration error")
_SEVERAL_LABEL_COLUMNS = ("samples", "macro mAP", "95 % interval", "micro mAP", "macro F1", "micro F1", "macro F2")


def print_result(run: Run, per_class: bool = False) -> None:
    """The scores of a run, and where its report is."""
    evaluation = run.evaluation
    assert evaluation is not None
    console = terminal()
    parts = {"train": evaluation.train, "validation": evaluation.validation, "test": evaluation.test}
    table = plain_table()
    table.add_column("split")
    several = isinstance(evaluation.validation, SeveralLabelScores)
    data = run.facts.data
    scene = data.leakage is not None
    top5 = isinstance(evaluation.validation, Scores) and evaluation.validation.top5 is not None
    columns = _SEVERAL_LABEL_COLUMNS if several else _SCENE_COLUMNS if scene else _COLUMNS
    for column in (*columns[:3], *(("top-5",) if top5 else ()), *columns[3:]):
        table.add_column(column, justify="right")
    for part, scores in parts.items():
        if scores is not None:
            row = _several_label_row(scores) if isinstance(scores, SeveralLabelScores) else _row(scores, scene)
            leaking = ", leaking" if data.leaks and part != "train" else ""
            table.add_row(f"{part}{leaking}", *row, style="bold" if part == "test" else "")
    console.print()
    console.print(table)
    _print_beside(run)
    if per_class:
        _print_classes(run)
        _print_categories(run)
    facts = run.facts
    reads = evaluation.test_reads
    console.print(f"\nweights: {evaluation.weights}; {facts.parameters:,} parameters; {facts.precision}")
    if reads == 0:
        console.print("test split: sealed, never read")
    else:
        console.print(f"test split: read {'once' if reads == 1 else f'{reads} times'} (see {run.test_log})")
    for part, number in facts.data.duplicates.items():
        if number:
            console.print(f"caution: {number:,} {part} images stand in train as well, pixel by pixel")
    if scene:
        console.print("OA: overall accuracy; AA: average accuracy, the mean over classes; κ: Cohen's kappa")
    if facts.data.caution:
        console.print(f"caution: {facts.data.caution}")
    if evaluation.hierarchy:
        console.print(evaluation.hierarchy)
    if facts.data.skipped:
        console.print(f"skipped files: {len(facts.data.skipped):,}, named in the report")
    console.print(f"report: {run.report_path}")


def _print_beside(run: Run) -> None:
    """The members of an ensemble, and the baselines of a cube."""
    members = [(f"{entry.name}{' (this network)' if entry.own else ''}", entry) for entry in run.members]
    for title, entries in (("of the ensemble", members), ("beside it", [(own.title, own) for own in run.baselines])):
        if not entries:
            continue
        table = plain_table()
        table.add_column(title)
        part = "test" if entries[0][1].test is not None else "validation"
        for column in (f"{part} OA", "95 % interval", "AA", "κ"):
            table.add_column(column, justify="right")
        for name, entry in entries:
            scores = entry.test or entry.validation
            kappa = "–" if scores.kappa is None else f"{scores.kappa:.4f}"
            interval = f"{scores.interval[0]:.2%} – {scores.interval[1]:.2%}"
            table.add_row(name, f"{scores.accuracy:.2%}", interval, f"{scores.average_accuracy:.2%}", kappa)
        terminal().print()
        terminal().print(table)


def _row(scores: Scores, scene: bool) -> tuple[str, ...]:
    kappa = "–" if scores.kappa is None else f"{scores.kappa:.4f}"
    return (
        f"{scores.samples:,}",
        f"{scores.accuracy:.2%}",
        f"{scores.interval[0]:.2%} – {scores.interval[1]:.2%}",
        *(() if scores.top5 is None else (f"{scores.top5:.2%}",)),
        *((f"{scores.average_accuracy:.2%}", kappa) if scene else ()),
        f"{scores.macro_f1:.4f}",
        f"{scores.cross_entropy:.4f}",
        f"{scores.calibration_error:.4f}",
    )


def _several_label_row(scores: SeveralLabelScores) -> tuple[str, ...]:
    low, high = scores.macro_map_interval
    return (
        f"{scores.samples:,}",
        f"{scores.macro_map:.4f}",
        f"{low:.4f} – {high:.4f}",
        f"{scores.micro_map:.4f}",
        f"{scores.macro_f1:.4f}",
        f"{scores.micro_f1:.4f}",
        f"{scores.macro_f2:.4f}",
    )


def _print_classes(run: Run) -> None:
    evaluation = run.evaluation
    assert evaluation is not None
    scores = evaluation.test or evaluation.validation
    several = isinstance(scores, SeveralLabelScores)
    table = plain_table()
    table.add_column("label" if several else "class")
    for column in ("samples", *(("average precision",) if several else ()), "precision", "recall", "F1"):
        table.add_column(column, justify="right")
    for entry in scores.classes:
        own = (entry.average_precision,) if isinstance(entry, LabelScores) else ()
        figures = (*own, entry.precision, entry.recall, entry.f1)
        table.add_row(
            entry.name, f"{entry.samples:,}", *("–" if value is None else f"{value:.4f}" for value in figures)
        )
    console = terminal()
    console.print()
    console.print(table)


def _print_categories(run: Run) -> None:
    assert run.evaluation is not None
    if not run.evaluation.categories:
        return
    table = plain_table()
    table.add_column("category")
    for column in ("classes", "samples", "accuracy", "95 % interval", "top-5", "taken for one", "rightly"):
        table.add_column(column, justify="right")
    for entry in run.evaluation.categories:
        table.add_row(
            entry.name,
            f"{entry.classes:,}",
            f"{entry.samples:,}",
            f"{entry.accuracy:.2%}",
            f"{entry.interval[0]:.2%} – {entry.interval[1]:.2%}",
            "–" if entry.top5 is None else f"{entry.top5:.2%}",
            f"{entry.recall:.2%}",
            "–" if entry.precision is None else f"{entry.precision:.2%}",
        )
    console = terminal()
    console.print()
    console.print(table)
