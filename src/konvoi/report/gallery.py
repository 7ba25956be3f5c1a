"""The pictures of a report, ready for the page: the mistakes, the filters, the maps of one image.

What they show is computed in `views`; how values become pixels is in `pictures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from konvoi.data.batches import Preparation
from konvoi.report.pictures import Pixels, map_pictures, photograph, png_uri, weight_pictures
from konvoi.report.views import FeatureMaps, FirstLayer, feature_maps, first_layer
from konvoi.run import Examples, Run


@dataclass(frozen=True)
class Picture:
    """A mistake.

    Attributes:
        uri: the picture itself.
        true: class of its label.
        predicted: class that the network chose.
        probability: that it gave to its choice.
        name: file or sample.
    """

    uri: str
    true: str
    predicted: str
    probability: float
    name: str


@dataclass(frozen=True)
class Views:
    """What the network sees.

    Attributes:
        first_layer: its weights, or None where they make no pictures.
        filters: pictures of them.
        in_colour: whether these are coloured as the image is, and not by the weights' sign.
        specimen: the picture whose maps are shown.
        specimen_class: its true class.
        blocks: the maps after each block, and their pictures.
    """

    first_layer: FirstLayer | None
    filters: list[str]
    in_colour: bool
    specimen: str | None
    specimen_class: str
    blocks: list[tuple[FeatureMaps, list[str]]]


def mistakes(run: Run, examples: Examples) -> list[Picture]:
    """The stored mistakes, the most confident first."""
    names, bands = run.facts.data.class_names, run.bands
    shown = zip(
        examples.mistakes, examples.mistake_labels, examples.mistake_probabilities, examples.mistake_names, strict=True
    )
    return [
        Picture(
            uri=png_uri(photograph(image, bands)),
            true=names[int(label)],
            predicted=names[int(probabilities.argmax())],
            probability=float(probabilities.max()),
            name=name,
        )
        for image, label, probabilities, name in shown
    ]


def network_views(run: Run, network: nn.Module, examples: Examples | None) -> Views:
    """The first layer's weights and, where there is a specimen, its maps after every block."""
    layer = first_layer(network, run.facts.data.image_shape)
    blocks = feature_maps(network, _as_input(run, examples.specimen)) if examples else []
    return Views(
        first_layer=layer,
        filters=_uris(weight_pictures(layer.weights)) if layer else [],
        in_colour=layer is not None and layer.weights.shape[1] == 3,
        specimen=png_uri(photograph(examples.specimen[0], run.bands)) if examples else None,
        specimen_class=_labels_in_words(run, examples.specimen_labels[0]) if examples else "",
        blocks=[(block, _uris(map_pictures(block.maps))) for block in blocks],
    )


def _labels_in_words(run: Run, label: NDArray[Any]) -> str:
    names = run.facts.data.class_names
    if label.ndim == 0:
        return names[int(label)]
    return "; ".join(names[position] for position in np.flatnonzero(label)) or "no label"


def _as_input(run: Run, image: NDArray[Any]) -> Tensor:
    preparation = Preparation(run.bands, torch.device("cpu"), run.recipe.compute.channels_last)
    return preparation.normalise(torch.from_numpy(image).float())


def _uris(shown: Sequence[Pixels]) -> list[str]:
    return [png_uri(picture) for picture in shown]
