"""Text from every kind of source, in an order that does not change."""

from __future__ import annotations

import builtins
import itertools
import json
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest

from unmask.errors import InputError, MissingExtra, RecipeError
from unmask.recipe import Recipe, TextSection, TextSource, TrainingSection, parse_recipe
from unmask.text.interleaving import Paragraph, interleave
from unmask.text.sources import describe_sources, local_files, read_paragraphs, with_text

ROWS = [
    {"text": f"Paragraph {number} is about {domain}.", "domain": domain, "source": f"s{number // 6 % 3}"}
    for number, domain in zip(range(60), itertools.cycle(["sea", "sea", "sea", "sea", "hill", "wood"]), strict=False)
]


def write_rows(path, rows=ROWS) -> None:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        path.write_text("\n".join(row["text"] for row in rows))


def read(*sources: TextSource, seed: int = 0) -> list[Paragraph]:
    return list(read_paragraphs(TextSection(sources=sources), seed))


def source_of(path, **settings) -> TextSource:
    return TextSource(path=str(path), **settings)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".txt"])
def test_every_kind_of_file_gives_its_paragraphs(tmp_path, suffix: str) -> None:
    write_rows(tmp_path / f"text{suffix}")
    found = read(source_of(tmp_path / f"text{suffix}"))
    assert [paragraph.text for paragraph in found] == [row["text"] for row in ROWS]
    assert read(source_of(tmp_path)) == found  # the folder that holds it


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_domains_take_their_shares_and_excluded_sources_none(tmp_path, suffix: str) -> None:
    write_rows(tmp_path / f"text{suffix}", ROWS * 20)
    weights = {"sea": 1.0, "hill": 2.0, "wood": 0.0}
    settings = {"domain_field": "domain", "domain_weights": weights, "source_field": "source"}
    found = read(source_of(tmp_path, exclude_sources=("s1",), **settings))
    assert not any(paragraph.source == "s1" or paragraph.domain == "wood" for paragraph in found)
    start = Counter(paragraph.domain for paragraph in found[:60])
    assert start["hill"] == pytest.approx(2 * start["sea"], rel=0.1)  # by characters, so nearly by paragraphs
    expected = sorted(row["text"] for row in ROWS * 20 if row["domain"] != "wood" and row["source"] != "s1")
    assert sorted(paragraph.text for paragraph in found) == expected  # one that runs out lets the rest go on
    with pytest.raises(RecipeError, match="domain 'wood'"):
        read(source_of(tmp_path, domain_field="domain", domain_weights={"sea": 1, "hill": 1}))


def test_interleaving_follows_weights_by_length() -> None:
    streams = {"long": iter([Paragraph("x" * 100, "long")] * 50), "short": iter([Paragraph("x" * 10, "short")] * 500)}
    taken = list(itertools.islice(interleave(streams, {"long": 1, "short": 3}, most=50), 150))
    characters = Counter({name: sum(min(len(p.text), 50) for p in taken if p.domain == name) for name in streams})
    assert characters["short"] == pytest.approx(3 * characters["long"], rel=0.1)


def test_several_sources_are_interleaved(tmp_path) -> None:
    write_rows(tmp_path / "a.txt")
    write_rows(tmp_path / "b.jsonl")
    found = read(source_of(tmp_path / "a.txt"), source_of(tmp_path / "b.jsonl"))
    assert sorted(found, key=lambda p: p.text)[::2] == sorted(found, key=lambda p: p.text)[1::2]
    assert [p.text for p in found[:4]] == [ROWS[0]["text"]] * 2 + [ROWS[1]["text"]] * 2


def test_hidden_and_unknown_files_and_inner_folders_are_left_alone(tmp_path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a.txt", ".b.txt", "README.md", "inner/c.txt"):
        (tmp_path / name).write_text("some text")
    assert [path.name for path, _ in local_files(source_of(tmp_path))] == ["a.txt"]
    deep = local_files(source_of(tmp_path / "**" / "*.txt"))
    assert [path.name for path, _ in deep] == ["a.txt", "c.txt"]
    (tmp_path / "a.txt").unlink()
    with pytest.raises(InputError, match=r"no text file of a known kind \(there: .md\)"):
        local_files(source_of(tmp_path))


def test_a_huge_line_is_read_in_pieces_of_whole_characters(tmp_path) -> None:
    text = "日本語のテキスト 🎉 " * 80_000
    (tmp_path / "huge.txt").write_text(text, encoding="utf-8")
    found = read(source_of(tmp_path / "huge.txt"))
    assert max(len(paragraph.text) for paragraph in found) <= 20_000
    assert "".join("".join(paragraph.text for paragraph in found).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("section", "error", "complaint"),
    [
        (TextSection(), RecipeError, "names no text"),
        (TextSection(sources=(TextSource(),)), RecipeError, "--text"),
        (TextSection(sources=(TextSource(path="/none/here"),)), InputError, "does not exist"),
        (TextSection(sources=(TextSource(path="x", domain_weights={"a": 1}),)), RecipeError, "domain_field"),
        (TextSection(sources=(TextSource(path=__file__, exclude_sources=("a",)),)), InputError, "source_field"),
    ],
)
def test_each_bad_section_is_one_clear_sentence(section: TextSection, error, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        list(read_paragraphs(section, 0))


def test_bad_columns_and_bad_files_are_named(tmp_path) -> None:
    write_rows(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"no column 'body' \(columns there: text, domain, source\)"):
        read(source_of(tmp_path / "a.parquet", field="body"))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(InputError, match="not a readable parquet"):
        read(source_of(tmp_path / "a.parquet"))


def test_the_description_notices_changed_text(tmp_path) -> None:
    write_rows(tmp_path / "a.txt")
    section = TextSection(sources=(source_of(tmp_path),))
    before = describe_sources(section)
    assert describe_sources(section) == before
    write_rows(tmp_path / "a.txt", ROWS[:-1])
    assert describe_sources(section) != before


def hub_folder(folder):
    """What the hub's client takes for a data set with two configurations."""
    for language in ("en", "de"):
        (folder / language).mkdir(parents=True)
        write_rows(folder / language / "part.jsonl", [{"text": f"{language} text {n}"} for n in range(40)])
    configs = [{"config_name": name, "data_files": f"{name}/*.jsonl"} for name in ("en", "de")]
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    return folder


def test_hub_text_is_streamed_shuffled_and_even_between_languages(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    source = source_of(hub_folder(tmp_path / "set"), kind="hub", languages=("en", "de"), shuffle_buffer=16)
    found = read(source, seed=1)
    assert Counter(paragraph.domain for paragraph in found[:40]) == {"en": 20, "de": 20}
    assert sorted(p.text for p in found if p.domain == "en") == sorted(f"en text {n}" for n in range(40))
    assert read(source, seed=1) == found
    assert read(source, seed=2) != found
    with pytest.raises(InputError, match=r"\(xx\) cannot be read"):
        read(source.model_copy(update={"languages": ("xx",)}))


def test_hub_text_without_the_extra_names_the_command(monkeypatch) -> None:
    real = builtins.__import__

    def refuse(name, *arguments, **settings):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r"pip install 'unmask\[data\]'"):
        read(TextSource(kind="hub", path="allenai/c4", languages=("en",)))


def test_given_text_replaces_every_source(tmp_path) -> None:
    write_rows(tmp_path / "a.txt")
    hub = TextSource(kind="hub", path="allenai/c4", languages=("en", "de"))
    recipe = Recipe(name="r", text=TextSection(sources=(hub, hub)), training=TrainingSection(max_steps=1))
    changed = with_text(recipe, str(tmp_path / "a.txt"))
    assert len(read(*changed.text.sources)) == len(ROWS)
    assert len(changed.text.sources) == 1
    assert changed.text.length == recipe.text.length


@pytest.mark.parametrize("suffix", ["jsonl", "txt"])
def test_text_of_one_s_own_needs_no_columns_of_the_recipe_s(tmp_path, suffix: str) -> None:
    recipe = parse_recipe(
        {
            "name": "x",
            "training": {"max_steps": 1},
            "text": {
                "sources": [
                    {
                        "domain_field": "domain",
                        "domain_weights": {"sea": 1},
                        "source_field": "source",
                        "exclude_sources": ["s"],
                    }
                ]
            },
        },
        "test",
    )
    path = tmp_path / f"own.{suffix}"
    path.write_text('{"text": "Only a text."}\n' if suffix == "jsonl" else "Only a text.\n", "utf-8")
    source = with_text(recipe, str(path)).text.sources[0]
    assert source.path == str(path) and source.domain_field is None and source.domain_weights == {}
    path.write_text('{"text": "a", "domain": "sea", "source": "t"}\n', "utf-8")
    if suffix == "jsonl":
        assert with_text(recipe, str(path)).text.sources[0].domain_weights == {"sea": 1.0}
