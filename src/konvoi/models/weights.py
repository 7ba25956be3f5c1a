"""Pretrained weights: the public sets known by name, reading their files, and starting a network from them.

Fetching files is in `data.weight_files`; which weights a recipe starts from is decided in `experiment.start`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from konvoi.errors import RunError
from konvoi.models.stages import last_layer

State = dict[str, Tensor]


@dataclass(frozen=True)
class BandContract:
    """What weights expect of the images' channels.

    Attributes:
        bands: names, in order.
        units: of the values before normalisation.
        mean, deviation: by which the values were normalised, one a band; empty where they were not.
    """

    bands: tuple[str, ...]
    units: str
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


@dataclass(frozen=True)
class PublicWeights:
    """One set of weights that anyone can fetch.

    Attributes:
        url: of the file.
        sha256_prefix: the first digits of its SHA-256.
        contract: of its bands.
        depth: of the residual network.
        about: what the weights were trained on, and by whom.
    """

    url: str
    sha256_prefix: str
    contract: BandContract
    depth: int
    about: str


_IMAGENET = BandContract(("red", "green", "blue"), "brightness, 0 to 1", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_ALL13 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHGEO = "https://hf.co/torchgeo/"
_ABOUT_IMAGENET = "ImageNet-1k, 1,000 classes; torchvision, IMAGENET1K_V1"
_ABOUT_MOCO = "SSL4EO-S12, MoCo v2, without labels; Y. Wang et al., 2023, converted by TorchGeo"

PUBLIC_WEIGHTS: dict[str, PublicWeights] = {
    f"resnet{depth}-imagenet": PublicWeights(
        f"{_TORCHVISION}resnet{depth}-{prefix}.pth", prefix, _IMAGENET, depth, _ABOUT_IMAGENET
    )
    for depth, prefix in ((18, "f37072fd"), (34, "b627a593"), (50, "0676ba61"), (101, "63fe2227"))
} | {
    "resnet50-sentinel2-all": PublicWeights(
        f"{_TORCHGEO}resnet50_sentinel2_all_moco/resolve/da4f3c9dbe09272eb902f3b37f46635fa4726879/"
        "resnet50_sentinel2_all_moco-df8b932e.pth",
        "df8b932e2a23a0773febedf3f650aa7d342b805f7876ca5ed6b139d7245d7c09",
        BandContract(_ALL13, "reflectance"),
        50,
        _ABOUT_MOCO,
    ),
    "resnet50-sentinel2-rgb": PublicWeights(
        f"{_TORCHGEO}resnet50_sentinel2_rgb_moco/resolve/e6704867d1bf7f77c403d8078f41ccf5b2ffaa6c/"
        "resnet50_sentinel2_rgb_moco-2b57ba8b.pth",
        "2b57ba8b9964dbe1c409aac1bb79b4d97c19c874ffe7934799b7c8ad94ff85f0",
        BandContract(("B04", "B03", "B02"), "reflectance"),
        50,
        _ABOUT_MOCO,
    ),
}
"""What `pretrained.weights` can name."""

_SAME_BAND = {"red": "B04", "green": "B03", "blue": "B02"}
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("network/", "module.", "backbone.", "encoder.", "encoder_q.", "model.")


def read_weights(path: Path) -> State:
    """The tensors of a .safetensors file, or of a .pth file that holds nothing but tensors.

    Wrappers around the state dict and common prefixes of its names are taken off.

    Raises:
        RunError: the file cannot be read, or would have to run code to be read.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RunError(
            f"{path} holds more than tensors, and reading it would run code from it. Save its state dict alone, as "
            "safetensors or with torch.save."
        ) from error
    except Exception as error:  # damaged files raise errors of many kinds
        raise RunError(f"The weights {path} cannot be read: {error}.") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise RunError(f"{path} holds no state dict: names and tensors were expected.")
    state = {str(name): value for name, value in content.items()}
    while prefix := next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def contract_in(path: Path) -> BandContract | None:
    """The contract that a checkpoint of Konvoi carries; None in other files."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get("contract") or "null")
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"The weights {path} cannot be read: {error}.") from error
    if content is None:
        return None
    bands = content["bands"]
    return BandContract(tuple(bands["names"]), bands["units"][0], tuple(bands["mean"]), tuple(bands["deviation"]))


def adapt_first_layer(weight: Tensor, expected: tuple[str, ...], found: tuple[str, ...]) -> tuple[Tensor, str]:
    """The weights of a first convolution for other bands.

    A band that the weights know keeps its filter; for red, green and blue those are B04, B03 and B02. A band that they
    do not know gets the mean filter of all that they know. Where the number of bands changes from M to N, all filters
    are multiplied by M/N, so that the layer's output keeps its size, as timm does for grey images and more channels
    (R. Wightman, `adapt_input_conv`); there, filters are repeated in order instead of found by name.

    Args:
        weight: `(O, M, h, w)`.
        expected: the M bands that the weights were trained on.
        found: the N bands of the images.

    Returns:
        `(O, N, h, w)`, and what was done, in words.
    """
    known = [_SAME_BAND.get(name, name) for name in expected]
    wanted = [_SAME_BAND.get(name, name) for name in found]
    if known == wanted:
        return weight, "first layer as trained"
    mean = weight.mean(dim=1)
    copied = [name for name in wanted if name in known]
    filters = [weight[:, known.index(name)] if name in known else mean for name in wanted]
    adapted = torch.stack(filters, dim=1) * (len(known) / len(wanted))
    if sorted(known) == sorted(wanted):
        return adapted, f"first layer reordered from {', '.join(expected)} to {', '.join(found)}"
    return adapted, (
        f"first layer from {len(known)} to {len(wanted)} bands: {', '.join(copied) if copied else 'none'} as trained, "
        f"{len(wanted) - len(copied)} with the mean filter, all times {len(known)}/{len(wanted)}"
    )


def start_from(
    network: nn.Module, state: State, bands: tuple[str, ...], contract: BandContract | None, origin: str
) -> str:
    """Load all but the last layer, which stays as it is, because its classes are others.

    Args:
        network: is changed in place.
        state: names as in the network's own state dict.
        bands: of the images.
        contract: of the weights; None where it is not known, and the number of bands must be that of the images.
        origin: of the weights, for messages.

    Returns:
        What was done, in words.

    Raises:
        RunError: names or shapes differ.
    """
    own = network.state_dict()
    modules = {id(layer): name for name, layer in network.named_modules()}
    last = modules[id(last_layer(network))]
    wanted = {name for name in own if not name.startswith(f"{last}.") and not name.endswith("num_batches_tracked")}
    given = {name for name in state if not name.startswith(f"{last}.") and not name.endswith("num_batches_tracked")}
    if wanted != given:
        missing, unknown = sorted(wanted - given), sorted(given - wanted)
        raise RunError(
            f"pretrained.weights: {origin} does not fit the network. The network has {len(wanted)} tensors before its "
            f"last layer, the weights {len(given)}; only the network has {_some(missing)}; only the weights have "
            f"{_some(unknown)}. Use a network of the same depth."
        )
    first = next((name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)), None)
    words = "first layer as trained"
    loaded: State = {}
    for name in sorted(wanted):
        value = state[name].to(own[name].dtype)
        if first is not None and name == f"{first}.weight" and contract is not None:
            value, words = adapt_first_layer(value, contract.bands, bands)
        if value.shape != own[name].shape:
            raise RunError(
                f"pretrained.weights: {name} of {origin} has shape {tuple(value.shape)}, and the network's has "
                f"{tuple(own[name].shape)}. Use a network of the same depth and width, and the same number of bands "
                "where it is not known which bands the weights were trained on."
            )
        loaded[name] = value
    network.load_state_dict(loaded, strict=False)
    return f"{origin}: {len(loaded)} tensors, {words}; last layer new"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "") if names else "none"
