"""What is cut is what the encoder will see, within the recipe's limits."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unmask.errors import RecipeError
from unmask.recipe import CutMix, TextSection
from unmask.text.cleaning import clean, has_letters
from unmask.text.cutting import KINDS, Cutter

HARD = [
    "🎉🎉🎉 👩‍👩‍👧 party time with the lazy dog",
    "שלום עולם, מה שלומך היום? הכול בסדר גמור.",
    "東京は日本の首都です。今日はいい天気ですね。我们明天去北京。",
    "the <mask> and [MASK] and <|end|> and [PAD] of the quick brown fox",
    "12345 67890 3.14 !!! ___",
    "don't won't can't it's we're they'll o'clock",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "a" * 5000,
    "",
]
paragraphs = st.lists(st.text(max_size=150) | st.sampled_from(HARD), max_size=6)
shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
PROSE = [
    f"The {animal} jumped over {count} dogs. Nobody saw the {animal}, or so they say! It was late; the moon of "
    f"{animal} stood high over the {place}. Then it left for a very long journey through the {place}, over hills and "
    f"rivers and {count} small towns, until nobody could say where it was or why it had gone there. Did it come back?"
    for animal, place, count in zip(
        ["fox", "cat", "owl", "hen", "cow", "bee", "ant", "elk"] * 6,
        ["wood", "town", "sea"] * 16,
        range(48),
        strict=True,
    )
]


@shared_fixture
@given(texts=paragraphs, seed=st.integers(0, 9))
def test_every_cut_can_be_a_pair(tokenizer, texts: list[str], seed: int) -> None:
    section = TextSection(length=12, min_tokens=2)
    cuts, report = Cutter(tokenizer, section, seed).cut([clean(text) for text in texts])
    for cut in cuts:
        assert cut.text == tokenizer.decode(cut.ids)
        assert tokenizer.encode([cut.text])[0] == cut.ids
        assert section.min_tokens <= len(cut.ids) <= section.length
        assert not {*cut.ids} & {*tokenizer.forbidden_ids, tokenizer.pad_id}
        assert has_letters(cut.text)
    assert report.kept.total() == len(cuts)


def test_what_is_cut_stands_in_its_paragraph(tokenizers) -> None:
    tokenizer = tokenizers["byte_level"]  # keeps case and spaces, so that texts can be compared as they are
    cuts, _ = Cutter(tokenizer, TextSection(length=24), 0).cut(PROSE)
    assert {cut.paragraph for cut in cuts} == set(range(len(PROSE)))
    for cut in cuts:
        assert cut.text in PROSE[cut.paragraph]
        words = f" {PROSE[cut.paragraph]} ".replace(",", " ").replace(";", " ")
        assert f" {cut.text.split()[0].rstrip(',;')} " in words or cut.kind != "window"  # begins with a whole word


def test_the_same_paragraphs_are_cut_the_same_way(tokenizers) -> None:
    section = TextSection(length=24)
    first, again, other = (Cutter(tokenizers["wordpiece"], section, seed).cut(PROSE)[0] for seed in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.2), (0.2, 0.3, 0.5), (1, 0, 0), (0, 0, 1)])
def test_the_mix_is_the_recipes(tokenizers, shares: tuple[float, ...]) -> None:
    section = TextSection(length=48, mix=CutMix(**dict(zip(KINDS, shares, strict=True))), cuts_per_paragraph=3)
    _, report = Cutter(tokenizers["byte_level"], section, 0).cut(PROSE)
    for kind, share in zip(KINDS, shares, strict=True):
        assert report.kept[kind] / report.kept.total() == pytest.approx(share, abs=0.12)


def test_lengths_spread_over_the_allowed_range(tokenizers) -> None:
    section = TextSection(length=20, mix=CutMix(sentence=0, run=0, window=1))
    cuts, _ = Cutter(tokenizers["byte_level"], section, 0).cut(PROSE)
    sizes = {len(cut.ids) for cut in cuts}
    assert min(sizes) <= 6 and max(sizes) == 20 and len(sizes) > 10


def test_no_more_cuts_than_a_paragraph_is_allowed(tokenizers) -> None:
    cuts, _ = Cutter(tokenizers["wordpiece"], TextSection(cuts_per_paragraph=2), 0).cut(PROSE * 3)
    assert max(sum(cut.paragraph == place for cut in cuts) for place in range(len(PROSE) * 3)) == 2


def test_unknown_tokens_and_texts_without_letters_are_counted_and_left_out(tokenizers) -> None:
    whole = TextSection(mix=CutMix(sentence=1, run=0, window=0))
    cuts, report = Cutter(tokenizers["wordpiece"], whole, 0).cut(["the 🎉 dog and the fox 🎉", "3.1 4 1 1"])
    assert not cuts
    assert report.dropped == {"unknown token": 1, "no letters": 1}


def test_a_mix_of_zeros_is_refused(tokenizers) -> None:
    with pytest.raises(RecipeError, match="only zeros"):
        Cutter(tokenizers["wordpiece"], TextSection(mix=CutMix(sentence=0, run=0, window=0)), 0)
