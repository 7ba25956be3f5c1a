"""The first weights of a network: drawn at random, from pretrained weights, or from the recipe's own pretraining."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from konvoi.data.bands import Bands
from konvoi.data.weight_files import weight_file
from konvoi.errors import RunError
from konvoi.models.stages import last_layer
from konvoi.models.weights import PUBLIC_WEIGHTS, BandContract, contract_in, read_weights, start_from
from konvoi.recipe import Recipe
from konvoi.recipe.network import Pretrained
from konvoi.run import load_run


def pretraining_recipe(recipe: Recipe) -> Recipe:
    """The recipe of the first training: the sections of `pretraining`, and the recipe's own for those left out."""
    assert recipe.pretraining is not None
    own = {
        name: value for name in type(recipe.pretraining).model_fields if (value := getattr(recipe.pretraining, name))
    }
    if "input" not in own and "pretrained" not in own and recipe.input.normalise == "weights":
        # The weights that are meant are those which this training makes.
        own["input"] = recipe.input.model_copy(update={"normalise": "standard"})
    about = f"Pretraining of {recipe.name}"
    return Recipe.model_validate(
        recipe.model_copy(
            update={
                "name": f"{recipe.name}-pretraining",
                "about": about,
                "pretraining": None,
                "pretrained": None,
                **own,
            }
        ).model_dump()
    )


def contract_of(pretrained: Pretrained) -> Bands | None:
    """What pretrained weights expect of their bands, as far as it is known.

    Raises:
        RunError: a run folder is named that is none.
    """
    if Path(pretrained.weights).is_dir():
        return load_run(pretrained.weights).bands
    known, path = PUBLIC_WEIGHTS.get(pretrained.weights), Path(pretrained.weights).expanduser()
    contract = known.contract if known is not None else contract_in(path) if path.is_file() else None
    if contract is None:
        return None
    return Bands(
        names=contract.bands,
        scale=(1.0,) * len(contract.bands),
        units=(contract.units,) * len(contract.bands),
        normalise="standard",
        mean=contract.mean,
        deviation=contract.deviation,
    )


def start_from_pretrained(network: nn.Module, pretrained: Pretrained, bands: Bands) -> str:
    """Give a network pretrained weights, the first layer adapted to its bands, the last one left new.

    Args:
        network: is changed in place.
        pretrained: which weights, and whether all but the last layer is frozen.
        bands: of the network's input.

    Returns:
        What was done, in words.

    Raises:
        RunError: the weights are not there, or not of this network.
    """
    if Path(pretrained.weights).is_dir():
        run = load_run(pretrained.weights)
        contract: BandContract | None = _as_contract(run.bands)
        state = run.kept_weights().weights
        origin = f"run {run.folder}"
    else:
        known = PUBLIC_WEIGHTS.get(pretrained.weights)
        path = Path(pretrained.weights).expanduser() if known is None else weight_file(known.url, known.sha256_prefix)
        if not path.exists():
            raise RunError(
                f"pretrained.weights: there is no file, run folder or set of public weights {pretrained.weights!r}. "
                f"Public sets are {', '.join(PUBLIC_WEIGHTS)}."
            )
        state, origin = read_weights(path), pretrained.weights
        contract = known.contract if known else contract_in(path)
    words = start_from(network, state, bands.names, contract, origin)
    if pretrained.freeze:
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        for parameter in last_layer(network).parameters():
            parameter.requires_grad_(True)
        words += "; all but the last layer is frozen"
    return words


def _as_contract(bands: Bands) -> BandContract:
    return BandContract(bands=bands.names, units=bands.units[0], mean=bands.mean, deviation=bands.deviation)
