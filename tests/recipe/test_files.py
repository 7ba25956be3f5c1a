import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from konvoi.errors import RecipeError
from konvoi.recipe import load_recipe, parse_recipe, recipe_fingerprint, recipe_yaml, shipped_recipes

MINIMAL = """
name: small
source: {kind: digits}
network: {kind: mlp, hidden: [16]}
optim: {kind: sgd, lr: 0.1}
"""


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid_and_says_where_it_comes_from(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert len(recipe.about) > 30


def test_a_fingerprint_follows_what_is_learned_and_nothing_else() -> None:
    recipe = load_recipe("mnist-cnn")
    same = load_recipe("mnist-cnn", ["name=other", "about=other words", "compute.precision=float32"])
    assert recipe_fingerprint(recipe) == recipe_fingerprint(same)
    assert recipe_fingerprint(recipe) != recipe_fingerprint(load_recipe("mnist-cnn", ["budget.batch=64"]))


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_survives_writing_and_reading(name: str) -> None:
    recipe = load_recipe(name)
    assert parse_recipe(recipe_yaml(recipe), "again") == recipe


def test_mnist_ann_is_the_printed_table_to_the_letter() -> None:
    recipe = load_recipe("mnist-ann")
    assert recipe.network.hidden == (128, 128)
    assert recipe.network.activation == "relu"
    assert recipe.network.dropout == 0.3
    assert (recipe.optim.kind, recipe.optim.momentum, recipe.optim.weight_decay) == ("sgd", 0.0, 0.0)
    assert (recipe.budget.batch, recipe.budget.epochs, recipe.split.validation) == (128, 20, 0.2)


def test_mnist_ann_tuned_changes_only_the_training() -> None:
    plain, tuned = load_recipe("mnist-ann"), load_recipe("mnist-ann-tuned")
    assert tuned.network.model_copy(update={"init": plain.network.init}) == plain.network
    assert (tuned.source, tuned.split, tuned.input) == (plain.source, plain.split, plain.input)


def test_overrides_change_values_lists_and_exponents() -> None:
    recipe = load_recipe(
        "mnist-cnn", ["optim.lr=1e-3", "network.blocks.0.maps=7", "network.hidden=[64, 32]", "schedule.kind=one-cycle"]
    )
    assert recipe.optim.lr == 0.001
    assert recipe.network.blocks[0].maps == 7
    assert recipe.network.hidden == (64, 32)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lrr=0.1", "optim.lrr: there is no such key. Did you mean 'lr'?"),
        ("netwrok.kind=cnn", "netwrok: there is no such key. Did you mean 'network'?"),
        ("network.blocks.0.mapz=3", "network.blocks.0.mapz: there is no such key. Did you mean 'maps'?"),
        ("optim.kind=sgdd", "expected sgd or adam or adamw or lars or lamb or linear-svms. Did you mean 'sgd'?"),
        ("optim.lr=fast", "optim.lr: found 'fast'"),
        ("optim.lr=-1", "optim.lr: found -1; input should be greater than 0"),
        ("optim.lr=nan", "optim.lr: found 'nan'"),
        ("split.validation=1.5", "split.validation: found 1.5; input should be less than 1"),
        ("split.validation=0", "split.validation: found 0; input should be greater than 0"),
        ("split.folds=3", None),
        ("split.fold=3", "fold 3 needs folds"),
        ("schedule={kind: cosine, warmup_epochs: 11}", "schedule.warmup_epochs is 11 and budget.epochs 10"),
        ("about=2020-13-45", "the value is not valid YAML"),
        ("seed=0b_", "the value is not valid YAML"),
        ("network.hidden.²=3", "network.hidden"),
        ("split={folds: 3, fold: 3}", "fold 3 does not exist: with folds = 3, fold is 0 to 2"),
        ("network.blocks.0={maps: 3, kernel: 4, padding: same}", "same padding needs an odd kernel, and 4 is even"),
        ("optim={kind: sgd, nesterov: true}", "nesterov needs momentum > 0"),
        ("network.blocks.4.maps=3", "network.blocks is a list of 1; expected a position from 0 to 0, found '4'"),
        ("optim.lr.x=3", "optim.lr is 0.1, which has no keys below it"),
        ("optim.lr", "is not of the form path.to.key=value"),
        ("=3", "is not of the form path.to.key=value"),
        ("optim.lr=[", "the value is not valid YAML"),
        ("budget.epochs=0", "budget.epochs: found 0"),
        ("name=a/b", "name: found 'a/b'"),
    ],
)
def test_a_wrong_override_is_explained(override: str, message: str | None) -> None:
    if message is None:
        load_recipe("mnist-cnn", [override])
        return
    with pytest.raises(RecipeError) as error:
        load_recipe("mnist-cnn", [override])
    assert message in str(error.value)
    assert "\n  network.blocks: found" not in str(error.value)


def test_several_problems_are_listed_together() -> None:
    with pytest.raises(RecipeError, match=r"has 2 problems(.|\n)*split.validation(.|\n)*optim.lrr"):
        load_recipe("mnist-cnn", ["optim.lrr=1", "split.validation=2"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("just text", "is not a recipe"),
        ("[" * 3000, "is not valid YAML"),
        ("created: 2026-02-31", "is not valid YAML"),
        (MINIMAL + "optim: {kind: adam}\n", "optim stands twice"),
        ("", "is not a recipe"),
        (MINIMAL.replace("source: {kind: digits}", ""), "source: this key is required and missing"),
        (MINIMAL.replace("kind: mlp, ", ""), "network.kind: this key is required and missing"),
    ],
)
def test_a_wrong_file_is_explained(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "my.yaml")
    assert message in str(error.value)
    assert "my.yaml" in str(error.value)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no recipe named 'mnist-cmn'. Did you mean 'mnist-cnn'\?"):
        load_recipe("mnist-cmn")


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe file .*mine\.yaml"):
        load_recipe(tmp_path / "mine.yaml")


def test_a_binary_file_is_refused(tmp_path) -> None:
    (tmp_path / "photo.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="UTF-8"):
        load_recipe(tmp_path / "photo.yaml")


KEYS = ["optim.lr", "network.hidden", "network.hidden.0", "split", "seed", "about", "source.kind", "x.y"]


@given(
    st.builds(
        "{}={}".format,
        st.sampled_from(KEYS),
        st.one_of(st.text(max_size=20), st.text("[]{}:,-0123456789.eE_&*!# \t'", max_size=20)),
    )
)
def test_any_override_ends_in_a_recipe_or_a_recipe_error(override: str) -> None:
    with contextlib.suppress(RecipeError):
        assert parse_recipe(MINIMAL, "small", [override]).name


def test_recipes_import_no_torch() -> None:
    code = "import sys, konvoi.recipe; konvoi.recipe.load_recipe('mnist-cnn'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
