"""What an attack is measured on: cut like the model's texts, sampled fairly, nothing dropped in silence."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.benchmark.held_out import hold_out
from unmask.errors import InputError

LENGTH = 5


def test_long_texts_are_cut_and_the_encoder_sees_what_is_left(tokenizer, encoder) -> None:
    held_out = hold_out(["the cat sat on the mat and slept", "A DOG"], tokenizer, encoder, LENGTH)
    assert held_out.texts == ("the cat sat on the", "a dog")
    assert (held_out.given, held_out.cut, held_out.empty) == (2, 1, 0)
    assert held_out.vectors == pytest.approx(encoder.encode(["the cat sat on the", "a dog"]))
    assert [tokenizer.decode(ids) for ids in held_out.ids] == list(held_out.texts)


def test_unknown_and_foreign_text_is_counted_not_dropped(tokenizer, encoder) -> None:
    texts = ["the cat 🐈 sat", "שלום", "你好", "12 %", "\u200b \t", "🐈🐈", ""]
    held_out = hold_out(texts, tokenizer, encoder, LENGTH)
    assert held_out.rows == ("0", "1", "2")
    assert (held_out.with_unknown, held_out.empty) == (1, 4)
    assert tokenizer.unknown_id in held_out.ids[0]
    assert held_out.texts[0] == "the cat sat"


def test_nothing_left_is_an_error_and_so_is_nothing_given(tokenizer, encoder) -> None:
    with pytest.raises(InputError, match="2 texts of which nothing is left by tokenizer 'words'"):
        hold_out(["🐈", " "], tokenizer, encoder, LENGTH)
    with pytest.raises(InputError, match="0 texts"):
        hold_out([], tokenizer, encoder, LENGTH)
    with pytest.raises(InputError, match="limit is 0"):
        hold_out(["the cat"], tokenizer, encoder, LENGTH, limit=0)


def test_a_limit_takes_every_text_equally_often_and_keeps_their_order(tokenizer, encoder) -> None:
    texts = ["the cat"] * 20
    taken = np.zeros(20)
    for seed in range(100):
        rows = [int(row) for row in hold_out(texts, tokenizer, encoder, LENGTH, limit=5, seed=seed).rows]
        assert rows == sorted(set(rows))
        taken[rows] += 1
    assert taken.sum() == 500
    assert 12 <= taken.min() <= taken.max() <= 38  # 25 on average
    assert len(hold_out(texts, tokenizer, encoder, LENGTH, limit=50)) == 20


def test_batches_cover_each_row_once_with_its_place(tokenizer, encoder) -> None:
    held_out = hold_out(["the cat", "", "a dog", "it slept"], tokenizer, encoder, LENGTH)
    batches = list(held_out.batches(2))
    assert [(batch.ids, batch.first_row) for batch in batches] == [(("0", "2"), 0), (("3",), 2)]
    assert np.concatenate([batch.values for batch in batches]) == pytest.approx(held_out.vectors)
