"""Near-duplicates are found by banded MinHash as an exhaustive comparison finds them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from unmask.pairs import near_duplicates
from unmask.pairs.near_duplicates import BANDS, SIMILAR, HeldOutIndex, hash_words, join_rows


def overlap(left: list[str], right: list[str]) -> float:
    a, b = (set(itertools.pairwise(text)) if len(text) > 1 else {(*text, "")} for text in (left, right))
    return len(a & b) / len(a | b)


def random_texts(count: int, seed: int) -> list[list[str]]:
    """Many texts of one small vocabulary, each also in versions with a few words changed."""
    draw = np.random.default_rng(seed)
    words = [f"w{number}" for number in range(40)]
    found = []
    for _ in range(count // 4):
        text = list(draw.choice(words, int(draw.integers(1, 24))))
        found.append(text)
        for _ in range(3):
            changed = list(text)
            for place in draw.integers(0, len(text), int(draw.integers(0, 4))):
                changed[place] = str(draw.choice(words))
            found.append(changed[int(draw.integers(0, 2)) :] or changed)
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_found_texts_are_those_of_the_exhaustive_comparison(seed: int) -> None:
    texts = random_texts(600, seed)
    held_out, others = texts[::3], texts[1::3]
    nearest = np.array([max(overlap(text, held) for held in held_out) for text in others])
    found = HeldOutIndex(hash_words(held_out)).near(hash_words(others))
    assert not found[nearest < SIMILAR].any()  # what is found has been checked
    assert 0.2 < (nearest >= SIMILAR).mean() < 0.9
    assert found[nearest >= SIMILAR].mean() > 0.98
    assert found[nearest >= 0.75].all()


def test_edges() -> None:
    nothing, one = hash_words([]), hash_words([["only"]])
    assert not HeldOutIndex(nothing).near(one).any()
    assert HeldOutIndex(one).near(nothing).shape == (0,)
    index = HeldOutIndex(hash_words([["only"], [], ["a", "b", "a", "b", "a", "b"]]))
    texts = [["only"], ["other"], ["a", "b", "a"], ["a", "b"], ["b", "only"]]
    assert index.near(hash_words(texts)).tolist() == [True, False, True, False, False]


def test_rows_can_be_chosen_and_joined() -> None:
    texts = random_texts(40, 3)
    whole, chosen = hash_words(texts), np.arange(40) % 3 == 0
    joined = join_rows([whole.select(chosen), whole.select(~chosen)])
    expected = hash_words([*texts[::3], *(text for place, text in enumerate(texts) if place % 3)])
    assert np.array_equal(joined.hashes, expected.hashes) and np.array_equal(joined.counts, expected.counts)


def test_texts_of_one_template_are_compared_in_bounded_memory(monkeypatch) -> None:
    """As in a corpus of questions, where every text agrees with every other in half of its words."""
    draw = np.random.default_rng(0)
    texts = [[*["what", "are", "the", "treatments", "for"], *draw.choice(list("abcdefgh"), 5)] for _ in range(300)]
    held_out, others = hash_words(texts[:100]), hash_words(texts[100:])
    expected = HeldOutIndex(held_out).near(others)
    held, real = [], HeldOutIndex._candidates
    monkeypatch.setattr(near_duplicates, "_CANDIDATES_AT_ONCE", 1000)
    monkeypatch.setattr(HeldOutIndex, "_candidates", lambda *parts: (held.append(int(parts[2].sum())), real(*parts))[1])
    assert np.array_equal(HeldOutIndex(held_out).near(others), expected)
    assert 0 < expected.sum() < len(expected)
    assert len(held) > 5 and max(held) < 1000 + BANDS * 100  # one text may go over
