from __future__ import annotations

import numpy as np
import pytest

from unmask.encoders import load_encoder
from unmask.encoders.precomputed import PrecomputedEncoder
from unmask.errors import EncoderError, InputError

TEXTS = ["A first text.", "A second text.", "A third one."]
VECTORS = np.random.default_rng(0).normal(size=(3, 4))


def test_looks_a_text_up_exactly() -> None:
    encoder = PrecomputedEncoder(TEXTS, VECTORS)
    np.testing.assert_array_equal(encoder.encode([TEXTS[2], TEXTS[0], TEXTS[2]]), np.float32(VECTORS[[2, 0, 2]]))


def test_an_unknown_text_is_shown_and_counts_nothing() -> None:
    encoder = PrecomputedEncoder(TEXTS, VECTORS)
    with pytest.raises(EncoderError, match=r"'Something else\.' is not among the 3 precomputed texts"):
        encoder.encode([TEXTS[0], "Something else."])
    with pytest.raises(EncoderError, match=r"'a first  text\.' .* only with other case or spaces"):
        encoder.encode(["a first  text."])
    assert encoder.queries == 0


def test_one_text_with_two_vectors_is_refused() -> None:
    with pytest.raises(InputError, match="rows 0 and 2 have the same text"):
        PrecomputedEncoder([TEXTS[0], TEXTS[1], TEXTS[0]], VECTORS)
    same = VECTORS[[0, 1, 0]]
    assert PrecomputedEncoder([TEXTS[0], TEXTS[1], TEXTS[0]], same).encode(TEXTS[:1]).shape == (1, 4)


def test_each_text_needs_its_vector() -> None:
    with pytest.raises(InputError, match=r"3 texts .* shape \(2, 4\)"):
        PrecomputedEncoder(TEXTS, VECTORS[:2])
    with pytest.raises(EncoderError, match="needs vectors"):
        load_encoder("precomputed", texts="texts.txt")


def test_fingerprint_follows_texts_and_vectors() -> None:
    own = PrecomputedEncoder(TEXTS, VECTORS).fingerprint
    others = [PrecomputedEncoder(TEXTS[::-1], VECTORS), PrecomputedEncoder(TEXTS, 2 * VECTORS)]
    assert PrecomputedEncoder(TEXTS, VECTORS).fingerprint == own
    assert own not in {other.fingerprint for other in others}
