"""A recipe is complete, frozen and refuses what it does not know, with the key and the nearest known one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from unmask.errors import RecipeError, UnknownName
from unmask.recipe import Recipe, find_recipe, load_recipe, parse_recipe, recipe_folder, recipe_names

SMALLEST = "name: small\ntraining: {max_steps: 1}\n"


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str, name: str = "recipe.yaml") -> Path:
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    return write


def test_the_smallest_recipe_is_a_name_and_an_end(write) -> None:  # type: ignore[no-untyped-def]
    recipe = load_recipe(write(SMALLEST))
    assert recipe.name == "small" and recipe.text.length == 32
    with pytest.raises(ValidationError):
        recipe.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("trainig: {max_steps: 1}", r"unknown key 'trainig'; did you mean 'training'\?"),
        ("training: {max_step: 1}", r"unknown key 'training.max_step'; did you mean 'max_steps'\?"),
        ("training: {max_steps: 1, optimizer: {lerning_rate: 1}}", "did you mean 'learning_rate'"),
        ("denoiser: {backbone: {kind: scratch, layrs: 2}}", r"'denoiser.backbone.layrs'; did you mean 'layers'\?"),
        (
            "denoiser: {backbone: {kind: pretrained, heads: 2}}",
            "unknown key 'denoiser.backbone.heads'; known here: kind",
        ),
        ("text: {sources: [{pth: a}]}", r"unknown key 'text.sources.0.pth'; did you mean 'path'\?"),
        ("text: {lenght: 16}", r"unknown key 'text.lenght'; did you mean 'length'\?"),
        ("training: {batch_size: 4}", "give one of max_steps, max_samples and max_minutes"),
        ("training: {max_steps: 0}", "'training.max_steps' is 0"),
        ("schedule: {kind: sqare}", "'schedule.kind' is 'sqare'"),
        ("denoiser: {backbone: {kind: scratch, hidden: 10, heads: 4}}", "hidden 10 is not divisible by heads 4"),
        ("text: {length: 8, min_tokens: 9}", "'text': min_tokens 9 is greater than length 8"),
        ("denoiser: {backbone: {kind: pretrained, layers: 0}}", "'denoiser': backbone.layers is 0, so the neighbour"),
        (
            "denoiser: {backbone: {kind: pretrained, layers: 0}, neighbours: {enabled: true, warmup_steps: 5}}",
            "enable neighbours, with warmup_steps 0",
        ),
        (
            "denoiser: {backbone: {kind: pretrained, layers: 0}, neighbours: {enabled: true}, conditioning: "
            "{prefix: 2}, lexical: {enabled: true, condition: true}}",
            "only blocks can use conditioning.adaln, conditioning.prefix, lexical.candidates, lexical.condition: set",
        ),
    ],
)
def test_what_a_recipe_may_not_say_is_named(write, text: str, complaint: str) -> None:  # type: ignore[no-untyped-def]
    path = write(f"name: bad\n{text}\n")
    with pytest.raises(RecipeError, match=complaint) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a\n- b", "holds list"),
        ("a: [", "not valid YAML"),
        ("", "holds NoneType"),
        ("extends: recipe.yaml", "circle"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(write, text: str, complaint: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(write(text))


def test_a_recipe_that_is_not_text_or_extends_nothing_is_refused(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "binary.yaml")
    with pytest.raises(RecipeError, match=r"gone\.yaml cannot be read"):
        load_recipe(write("extends: gone.yaml\n"))


def test_extending_changes_only_what_it_says(write) -> None:  # type: ignore[no-untyped-def]
    base = load_recipe(write(SMALLEST + "encoder: {name: api, model: m}\n", "base.yaml"))
    child = load_recipe(write("extends: base.yaml\nname: child\nencoder: {model: other}\n"))
    expected = base.model_dump() | {"name": "child"}
    expected["encoder"] = expected["encoder"] | {"model": "other"}
    assert child.model_dump() == expected


def test_another_kind_of_backbone_does_not_inherit_the_first_ones_keys(write) -> None:  # type: ignore[no-untyped-def]
    write(SMALLEST + "denoiser: {backbone: {kind: scratch, heads: 4, hidden: 8}}\n", "base.yaml")
    child = load_recipe(write("extends: base.yaml\ndenoiser: {backbone: {kind: pretrained, layers: 2}}\n"))
    assert child.denoiser.backbone.kind == "pretrained" and child.denoiser.backbone.layers == 2


@pytest.mark.parametrize(
    ("override", "reached"),
    [
        ("training.max_steps=7", lambda recipe: recipe.training.max_steps == 7),
        ("training.optimizer.learning_rate=1e-3", lambda recipe: recipe.training.optimizer.learning_rate == 1e-3),
        ("text.sources.0.path=b.txt", lambda recipe: recipe.text.sources[0].path == "b.txt"),
        ("encoder.prompt=query: now", lambda recipe: recipe.encoder.prompt == "query: now"),
        ("text.sources.0.languages=[en, de]", lambda recipe: recipe.text.sources[0].languages == ("en", "de")),
        ("encoder.budget=null", lambda recipe: recipe.encoder.budget is None),
    ],
)
def test_an_override_reaches_its_key(write, override: str, reached) -> None:  # type: ignore[no-untyped-def]
    path = write(SMALLEST + "text: {sources: [{path: a.txt}]}\nencoder: {budget: 3}\n")
    assert not reached(load_recipe(path))
    assert reached(load_recipe(path, [override]))


@pytest.mark.parametrize(
    "override",
    [
        "training",
        "=3",
        "name.first=x",
        "training.max_stepz=3",
        "text.sources.4.path=x",
        "text.sources.x=1",
        "seed=[",
        "a..b=1",
    ],
)
def test_an_override_that_cannot_be_meant_is_a_recipe_error(write, override: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RecipeError):
        load_recipe(write(SMALLEST + "text: {sources: [{path: a}]}\n"), [override])


def test_a_recipe_survives_its_own_json(write) -> None:  # type: ignore[no-untyped-def]
    recipe = load_recipe(write(SMALLEST))
    assert parse_recipe(recipe.model_dump(mode="json"), origin="manifest") == recipe


def test_a_recipe_is_found_by_name_or_path_and_a_typo_gets_a_guess(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    name = recipe_names()[0]
    assert find_recipe(name) == find_recipe(f"recipes/{name}.yaml") == recipe_folder() / f"{name}.yaml"
    with pytest.raises(UnknownName, match=f"did you mean '{name}'"):
        find_recipe(f"{name}x")
    with pytest.raises(UnknownName, match="Shipped recipes"):
        find_recipe("elsewhere/zzz.yaml")


KEYS = st.sampled_from(
    ["name", "training", "text", "sources", "denoiser", "backbone", "kind", "optimizer", "max_steps", "x"]
)
LEAVES = st.one_of(st.none(), st.integers(-2, 9), st.floats(), st.sampled_from(["scratch", "pretrained", "a", ""]))
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner)), max_leaves=8
    ),
)


@settings(max_examples=300)
@given(TREES)
def test_no_tree_of_values_gets_past_the_door_or_breaks_it(tree: dict[str, object]) -> None:
    try:
        assert isinstance(parse_recipe(tree, origin="made up"), Recipe)
    except RecipeError as error:
        assert str(error).startswith("made up: ")


@given(st.lists(KEYS, min_size=1, max_size=4), st.text(max_size=6))
def test_no_override_breaks_the_door(keys: list[str], value: str) -> None:
    recipe = recipe_folder() / f"{recipe_names()[0]}.yaml"
    with contextlib.suppress(RecipeError):
        assert isinstance(load_recipe(recipe, [f"{'.'.join(keys)}={value}"]), Recipe)


def test_batches_may_all_be_cut_only_where_no_network_has_to_learn_the_end() -> None:
    cut = ["training.length_pool=4", "training.whole_share=0"]
    heads = ["denoiser.length_head={enabled: true, hide_padding: false}", "denoiser.length_head.hide_padding=true"]
    load_recipe("minilm-plain", [*cut, *heads])
    for missing in ([], heads[:1], ["denoiser.length_head={enabled: false, hide_padding: true}"]):
        with pytest.raises(RecipeError, match=r"whole_share is 0.*hide_padding"):
            load_recipe("minilm-plain", [*cut, *missing])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (["denoiser.neighbours.warmup_steps=0"], r"has learnt nothing"),
        (["denoiser.lexical.freeze=false"], r"freeze both or none"),
    ],
)
def test_a_head_is_frozen_after_it_has_learnt_and_with_what_it_reads(changes: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        load_recipe("minilm-deep", changes)
