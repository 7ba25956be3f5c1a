"""Which categories a run's classes fall into, by the synset tree that the user has; or why there are none."""

from __future__ import annotations

from pathlib import Path

from konvoi.data.dataset import Dataset
from konvoi.data.store import store_folder
from konvoi.data.synsets import categories, read_synsets, synset_of
from konvoi.errors import DataError
from konvoi.recipe import Recipe
from konvoi.recipe.source import StoreSource


def categories_of(recipe: Recipe, dataset: Dataset, data_dir: Path | None) -> tuple[dict[str, tuple[int, ...]], str]:
    """The classes of each category, and a sentence on where the tree comes from, or on why there is none.

    Nothing here is worth losing an evaluation for: a file that is damaged is told in the sentence.
    """
    source = recipe.source
    if not isinstance(source, StoreSource) or not all(synset_of(name) for name in dataset.class_names):
        return {}, ""
    named = source.hierarchy
    if named is None:
        place = store_folder(source.folder, data_dir)
    else:
        place = Path(named).expanduser()
        if data_dir is not None and not place.is_absolute() and (data_dir / place).exists():
            place = data_dir / place
    try:
        tree = read_synsets([place])
    except DataError as error:
        return {}, f"No scores by category: {error}"
    if not tree.parents:
        return {}, (
            f"No scores by category: {place} holds no synset tree. source.hierarchy may name a folder with ImageNet's "
            "wordnet.is_a.txt and words.txt, or with the development kit's meta.mat."
        )
    found = categories(tree, dataset.class_names)
    if not found:
        return {}, f"No scores by category: the tree in {place} has no known category above two of these classes."
    return found, f"Categories are those of the synset tree in {place}."
