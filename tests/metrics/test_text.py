"""Token metrics: what must hold for any pair of texts, against the plainest possible reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.errors import InputError
from unmask.metrics.text import exact_match, length_error, rouge_l, score_rows, token_accuracy, token_f1

row = st.lists(st.integers(0, 9), max_size=12)
pairs_of_rows = st.lists(st.tuples(row, row), min_size=1, max_size=6)


def subsequence_length(left: list[int], right: list[int]) -> int:
    if not left or not right:
        return 0
    if left[0] == right[0]:
        return 1 + subsequence_length(left[1:], right[1:])
    return max(subsequence_length(left[1:], right), subsequence_length(left, right[1:]))


@given(st.lists(row, min_size=1, max_size=6))
def test_a_text_recovered_whole_scores_full_marks(rows: list[list[int]]) -> None:
    scores = score_rows(rows, rows)
    assert (scores.pop("length_error") == 0).all()
    assert all((values == 1).all() for values in scores.values())


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=6))
def test_a_text_without_one_right_token_scores_nothing(rows: list[list[int]]) -> None:
    others = [[token + 10 for token in row] for row in rows]
    scores = score_rows(rows, others)
    assert all((values == 0).all() for values in scores.values())  # the same length, so no length error either


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20, unique=True), st.randoms(use_true_random=False))
def test_order_counts_for_accuracy_and_not_for_f1(tokens: list[int], random) -> None:
    turned = tokens[1:] + tokens[:1]
    assert token_accuracy([tokens], [turned])[0] == 0
    assert token_f1([tokens], [turned])[0] == 1
    assert rouge_l([tokens], [turned])[0] == pytest.approx((len(tokens) - 1) / len(tokens))


@given(pairs_of_rows)
def test_values_against_a_plain_reference(pairs: list[tuple[list[int], list[int]]]) -> None:
    true, found = [list(part) for part in zip(*pairs, strict=True)]
    scores = score_rows(true, found)
    for i, (a, b) in enumerate(pairs):
        assert scores["length_error"][i] == abs(len(a) - len(b))
        assert scores["exact_match"][i] == (a == b)
        if not a and not b:
            continue
        right = sum(x == y for x, y in zip(a, b, strict=False))
        assert scores["token_accuracy"][i] == pytest.approx(right / max(len(a), 1))
        assert scores["token_f1"][i] == pytest.approx(2 * len(set(a) & set(b)) / (len(set(a)) + len(set(b))))
        assert scores["rouge_l"][i] == pytest.approx(2 * subsequence_length(a, b) / (len(a) + len(b)))


@given(pairs_of_rows)
def test_a_row_scores_the_same_alone_and_in_company(pairs: list[tuple[list[int], list[int]]]) -> None:
    true, found = [list(part) for part in zip(*pairs, strict=True)]
    together = score_rows(true, found)
    for i in range(len(pairs)):
        alone = score_rows(true[i : i + 1], found[i : i + 1])
        assert all(alone[name][0] == together[name][i] for name in together)


def test_tokens_after_the_end_of_the_true_text_cost_length_and_f1_but_no_position() -> None:
    true, found = [[1, 2]], [[1, 2, 3, 4]]
    assert token_accuracy(true, found)[0] == 1
    assert exact_match(true, found)[0] == 0
    assert length_error(true, found)[0] == 2
    assert token_f1(true, found)[0] < 1


def test_numpy_rows_and_no_rows_are_taken() -> None:
    rows = [np.array([1, 2, 3]), np.array([4])]
    assert (token_accuracy(rows, rows) == 1).all()
    assert all(len(values) == 0 for values in score_rows([], []).values())


def test_rows_must_pair_up() -> None:
    with pytest.raises(InputError, match=r"1 recovered rows for 2 true ones"):
        score_rows([[1], [2]], [[1]])
