"""Rows that are read in pieces."""

from __future__ import annotations

import itertools

import pytest

from unmask.decoding.offered import whole_rows


@pytest.mark.parametrize("most", [1, 4, 5, 9, 100])
@pytest.mark.parametrize("counts", [[], [0], [3], [0, 3, 0], [3, 2, 4, 1, 0], [9, 1, 0, 9], [1, 9, 1]])
def test_every_row_is_in_one_piece_and_pieces_are_no_larger_than_they_must(counts: list[int], most: int) -> None:
    pieces = list(whole_rows(counts, most))
    assert [place for _, part in pieces for place in range(part.start, part.stop)] == list(range(sum(counts)))
    held = [row for rows, _ in pieces for row in range(rows.start, rows.stop)]
    assert held == sorted(set(held)) and {row for row, count in enumerate(counts) if count} <= set(held)
    for rows, part in pieces:
        of_rows = counts[rows]
        assert part.stop - part.start == sum(of_rows)
        assert sum(of_rows) <= most or sum(count > 0 for count in of_rows) == 1
    for (_, part), (rows, _) in itertools.pairwise(pieces):  # and no smaller
        nearest = next(count for count in counts[rows] if count)
        assert part.stop - part.start + nearest > most
