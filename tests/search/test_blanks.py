"""What the denoiser would put where a text has a blank: shares of a vocabulary, and of what is asked beside it."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch

from unmask.denoiser.network import Denoiser
from unmask.search.blanks import Blank, fill
from unmask.text.tokens import TextTokenizer


def test_no_word_is_surer_than_sure_though_the_vocabulary_lacks_it(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser
) -> None:
    texts = kit.sentences(8, shortest=5, seed=2)
    condition = taught.condition(torch.from_numpy(kit.OrderedBag().encode(texts)))
    every = torch.tensor(sorted({token for ids in tokenizer.encode(kit.sentences(60)) for token in ids}))
    for row, ids in enumerate(tokenizer.encode(texts)):
        blank = Blank(row, (taught.mask_id, *ids[1:]), (0,), (ids[0], int(every[0])))
        without = every[every != ids[0]]
        (whole,) = fill(taught, condition, [blank], 4, [every] * len(texts))
        (lacking,) = fill(taught, condition, [blank], 4, [without] * len(texts))
        assert (lacking.of_asked < 0).all() and np.isfinite(lacking.of_asked).all()
        # With it there is exactly the vocabulary that has it.
        np.testing.assert_allclose(lacking.of_asked[0, 0], whole.of_asked[0, 0], atol=1e-4)
