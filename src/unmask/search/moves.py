"""The orders that one move makes of so many places."""

from __future__ import annotations

import functools

import numpy as np

LONGEST_MOVED_BLOCK = 3


@functools.cache
def neighbour_swaps(count: int) -> np.ndarray:
    orders = np.tile(np.arange(count, dtype=np.int16), (max(count - 1, 0), 1))
    for place in range(count - 1):
        orders[place, [place, place + 1]] = place + 1, place
    return orders


@functools.cache
def block_moves(count: int) -> np.ndarray:
    """Every short block of tokens put at every other place, neighbours' swaps apart."""
    found = set()
    whole = tuple(range(count))
    for width in range(1, LONGEST_MOVED_BLOCK + 1):
        for start in range(count - width + 1):
            rest, block = whole[:start] + whole[start + width :], whole[start : start + width]
            found |= {(*rest[:place], *block, *rest[place:]) for place in range(len(rest) + 1)}
    found -= {whole, *map(tuple, neighbour_swaps(count).tolist())}
    return np.array(sorted(found), dtype=np.int16).reshape(-1, count)


@functools.cache
def all_moves(count: int) -> np.ndarray:
    """Both kinds; (moves, places)."""
    return np.concatenate([neighbour_swaps(count), block_moves(count)])
