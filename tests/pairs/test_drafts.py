"""The pieces that drafts are made of."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unmask.pairs.drafts import SeenKeys


@given(batches=st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=6))
def test_seen_keys_are_a_set(batches: list[list[int]]) -> None:
    keys, seen = SeenKeys(), set()
    for batch in batches:
        expected = []
        for key in batch:
            expected.append(key not in seen)
            seen.add(key)
        assert keys.add(np.array(batch, dtype=np.uint64)).tolist() == expected
