"""Reading texts before they are edited: what the denoiser would put at each place, gap and span."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.search.blanks import Blank, fill
from unmask.search.ground import Ground, blanks_of, ground_of
from unmask.search.hypotheses import Hypothesis, Target
from unmask.search.options import AIM
from unmask.search.words import aimed, in_company, vocabularies_of, wanted

if TYPE_CHECKING:
    from unmask.denoiser.conditioning import Condition
    from unmask.denoiser.network import Denoiser


def conditioned(denoiser: Denoiser, vectors: Sequence[np.ndarray]) -> Condition:
    given = torch.from_numpy(np.stack(vectors).astype(np.float32)).to(denoiser.device)
    return denoiser.condition(in_company(given)).select(torch.arange(len(given), device=denoiser.device))


def read_blanks(
    denoiser: Denoiser, texts: Sequence[tuple[Target, Hypothesis]], kept: int, is_judge: bool,
    without: Collection[str] = (),
) -> list[Ground]:  # fmt: skip
    """All blanks of all texts in the same passes.

    kept: tokens named at each blank; is_judge: whether the denoiser also says how likely each text is; without: what is
    left out.
    """
    # A judge reads the vector itself: moved away from a text's own it would speak against every word of the text.
    is_aimed = not is_judge and AIM not in without
    found_at = [target.vectors.get(text.tokens) if is_aimed else None for target, text in texts]
    vectors = [target.size * aimed(target.vector, place) for (target, _), place in zip(texts, found_at, strict=True)]
    with torch.no_grad():
        condition = conditioned(denoiser, vectors)
        vocabularies = vocabularies_of(denoiser, condition)
    # Without a lexical head no word is likelier than another.
    recalls = "recall" not in without and condition.summary is not None
    lacking = [
        wanted(vocabulary, text.tokens) if recalls else ()
        for vocabulary, (_, text) in zip(vocabularies, texts, strict=True)
    ]
    of_text: list[list[Blank]] = [
        blanks_of(row, text.tokens, denoiser.mask_id, denoiser.length, words)
        for row, ((_, text), words) in enumerate(zip(texts, lacking, strict=True))
    ]
    every = [blank for blanks in of_text for blank in blanks]
    fillings = iter(fill(denoiser, condition, every, kept, list(vocabularies)))
    found = []
    for (target, text), blanks, words in zip(texts, of_text, lacking, strict=True):
        target.passes += len(blanks)
        of_blanks = [next(fillings) for _ in blanks]
        found.append(ground_of(text, of_blanks, denoiser.length, is_judge, words))
    return found
