"""What a run's files hold: facts, scores, predictions, pictures, places, maps. Where they lie is in `run.folder`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from konvoi.data.pixels.leakage import Leakage
from konvoi.evaluation.brief import BriefScores
from konvoi.evaluation.categories import CategoryScores
from konvoi.evaluation.scores import Scores
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.record import Record

if TYPE_CHECKING:
    pass

RunState = Literal["running", "interrupted", "diverged", "trained", "evaluated"]


class DataFacts(Record):
    """What was trained on.

    Attributes:
        origin: folders or files it was read from.
        data_dir: the folder given by the user, which resuming reads again.
        fingerprint: SHA-256 of pixels, labels and class names.
        several_labels: whether a sample may have several labels.
        caution: what a reader of results must know of the data; else "".
        left_out: samples that the recipe excludes or the split uses in no part, by reason, in words.
        audit: what the spatial audit found, a sentence a finding.
        class_counts: samples of each class in train, validation and test.
        leakage: of the pixels of a scene, what windows of one part hold of another; else None.
        duplicates: images of train that stand again, pixel by pixel, in validation and in test.
    """

    name: str
    origin: str
    data_dir: str | None
    fingerprint: str
    samples: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    several_labels: bool = False
    caution: str = ""
    skipped: tuple[str, ...]
    split_method: str
    split_fingerprint: str
    split_sizes: dict[str, int]
    left_out: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()
    leakage: Leakage | None = None
    class_counts: dict[str, tuple[int, ...]]
    duplicates: dict[str, int]
    bands: dict[str, Any]

    @property
    def leaks(self) -> bool:
        """Whether windows of validation or test hold pixels that the network learned from, or was chosen by."""
        return self.leakage is not None and self.leakage.leaks


class RunFacts(Record):
    """`run.json`.

    Attributes:
        command: as it was typed; empty where Python was the caller.
        precision: the arithmetic of training, with its reason; after a resumption in another, both.
        seal_test: whether the training leaves the test split unread, also when it is resumed.
        ranks: processes that trained it together, at last.
        start: what the network's first weights are, in words, where they are not random.
    """

    konvoi_version: str
    created: datetime
    command: str
    state: RunState
    data: DataFacts
    environment: dict[str, str]
    precision: str
    device: str
    parameters: int
    seal_test: bool = False
    ranks: int = 1
    start: str = ""


class Evaluation(Record):
    """`evaluation.json`: the scores of the kept weights on each split, all in evaluation mode.

    Attributes:
        epoch: whose weights were scored.
        weights: in words, for example "epoch 7 of 10, highest validation accuracy, averaged weights".
        train: of which 1 − accuracy is E_in.
        test: of which 1 − accuracy is E_out; None as long as the test split is sealed. Where a sample has several
            labels, all three are decided with thresholds that were tuned on validation.
        categories: scores of the test split (of validation, as long as the test is sealed) by category, where a tree
            of the classes was at hand.
        hierarchy: where that tree comes from, or why there is none; "" where the classes are none of a tree.
        test_reads: how often the test split has been read, this evaluation included.
        seconds: what the evaluation took.
    """

    epoch: int
    weights: str
    train: Scores | SeveralLabelScores
    validation: Scores | SeveralLabelScores
    test: Scores | SeveralLabelScores | None
    categories: tuple[CategoryScores, ...] = ()
    hierarchy: str = ""
    test_reads: int
    evaluated: datetime
    seconds: float


class MemberScores(Record):
    """One entry of `members.json`: a member of an ensemble, or a fusion of all.

    Attributes:
        name: for people.
        own: whether this is what the network answers.
        test: None as long as the test split is sealed.
    """

    name: str
    own: bool
    validation: BriefScores
    test: BriefScores | None


class Predictions(Record):
    """Labels `(N,)` int64 or `(N, K)` uint8, probabilities `(N, K)` float32, positions `(N,)` int64 in the data set."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    positions: NDArray[np.int64]
    labels: NDArray[Any]
    probabilities: NDArray[np.float32]


class Examples(Record):
    """Pictures for the report, as stored: `(n, C, H, W)` uint8, or float32 for patches of a store.

    Attributes:
        mistakes: the most confident mistakes of the test split (of validation, as long as the test is sealed),
            most confident first; where a sample has several labels, the samples of highest loss, highest first.
        mistake_labels: their true classes, `(n,)` int64 or `(n, K)` uint8.
        mistake_probabilities: `(n, K)`.
        mistake_names: file names or sample numbers.
        drawn: patches of the same split that were drawn at random; none where the data are not patches.
        drawn_labels, drawn_probabilities, drawn_names: likewise.
        specimen: `(1, C, H, W)`, one validation image on which the network does well, for the feature maps.
        specimen_labels: `(1,)` or `(1, K)`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    mistakes: NDArray[Any]
    mistake_labels: NDArray[Any]
    mistake_probabilities: NDArray[np.float32]
    mistake_names: tuple[str, ...]
    drawn: NDArray[Any]
    drawn_labels: NDArray[Any]
    drawn_probabilities: NDArray[np.float32]
    drawn_names: tuple[str, ...]
    specimen: NDArray[Any]
    specimen_labels: NDArray[Any]


class Places(Record):
    """Where samples lie, for the report's map: no more than a map can show, drawn at random.

    Attributes:
        longitude_latitude: `(n, 2)` float64 in degrees (WGS84).
        part: `(n,)` of "train", "validation", "test" and "left out".
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    longitude_latitude: NDArray[np.float64]
    part: NDArray[np.str_]


class SceneMap(Record):
    """A hyperspectral scene as the network sees it, pixel by pixel.

    Attributes:
        colour: `(H, W, 3)` uint8, three bands as red, green and blue.
        ground_truth: `(H, W)` int16: 0 … K-1, and -1 where a pixel has no label or the test split, sealed, has it.
        parts: `(H, W)` uint8, codes of `data.pixels.parts`.
        predicted: `(H, W)` int16, the most probable class; -1 everywhere where the scene was not mapped.
        probability: `(H, W)` float32, of that class.
        how: in words: how the network ran over the scene, or why it was not mapped.
        spectra, deviations: `(K, C)` float32, mean and standard deviation of the training pixels of each class, in the
            bands' units; NaN of classes without any.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    colour: NDArray[np.uint8]
    ground_truth: NDArray[np.int16]
    parts: NDArray[np.uint8]
    predicted: NDArray[np.int16]
    probability: NDArray[np.float32]
    how: str
    spectra: NDArray[np.float32]
    deviations: NDArray[np.float32]

    @property
    def mapped(self) -> bool:
        """Whether there is a class for every pixel."""
        return bool((self.predicted >= 0).any())
