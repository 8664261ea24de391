"""From the decoders' records to what is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from unmask.metrics.alignment import aligned
from unmask.metrics.text import rouge_l, token_accuracy, token_f1
from unmask.serve.schemas import ComparedToken, Comparison, Found, Step, Token

if TYPE_CHECKING:
    from unmask.records import DecodeStep
    from unmask.text.tokens import TextTokenizer

MASKED = "[MASK]"


def tokens_of(step: DecodeStep, row: int, tokenizer: TextTokenizer) -> list[Token]:
    """Those of one row, without the padding behind them."""
    ids = step.tokens[row].tolist()
    while ids and ids[-1] == tokenizer.pad_id:
        ids.pop()
    sure, new = step.confidence[row].tolist(), step.is_new[row].tolist()
    found = []
    for place, (token, piece) in enumerate(zip(ids, tokenizer.spelt(ids), strict=True)):
        if token == tokenizer.mask_id:
            found.append(Token(text=MASKED, id=token, confidence=0.0, state="masked"))
            continue
        state: Literal["new", "kept"] = "new" if new[place] else "kept"
        text = "" if token == tokenizer.pad_id else piece
        found.append(Token(text=text, id=token, confidence=round(sure[place], 4), state=state))
    return found


def text_of(step: DecodeStep, row: int, tokenizer: TextTokenizer) -> str:
    hidden = (tokenizer.mask_id, tokenizer.pad_id)
    return tokenizer.decode([token for token in step.tokens[row].tolist() if token not in hidden])


def step_of(step: DecodeStep, tokenizer: TextTokenizer, seconds: float) -> Step:
    """Of a request for one vector."""
    calls, cosine, _ = step.compared()[0]
    return Step(
        step=step.step, total=step.total_steps, progress=min(1.0, step.step / max(step.total_steps, 1)),
        text=text_of(step, 0, tokenizer), tokens=tokens_of(step, 0, tokenizer),
        forward_passes=int(step.forward_passes[0]), encoder_calls=calls, cosine=cosine, seconds=seconds,
    )  # fmt: skip


def found_of(step: DecodeStep, row: int, name: str, tokenizer: TextTokenizer, seconds: float) -> Found:
    calls, cosine, is_verified = step.compared()[row]
    return Found(
        id=name, text=text_of(step, row, tokenizer), tokens=tokens_of(step, row, tokenizer),
        forward_passes=int(step.forward_passes[row]), encoder_calls=calls, cosine=cosine, verified=is_verified,
        seconds=seconds,
    )  # fmt: skip


def comparison_of(true_ids: Sequence[int], found_ids: Sequence[int], tokenizer: TextTokenizer) -> Comparison:
    true, found = list(true_ids), list(found_ids)
    of_found, of_true = aligned(true, found)
    right = token_accuracy([true], [found])[0] * len(true)
    return Comparison(
        found=_compared(found, of_found, tokenizer), true=_compared(true, of_true, tokenizer), exact=true == found,
        tokens_right=round(float(right)), token_f1=float(token_f1([true], [found])[0]),
        rouge_l=float(rouge_l([true], [found])[0]),
    )  # fmt: skip


def _compared(ids: list[int], states: list[str], tokenizer: TextTokenizer) -> list[ComparedToken]:
    pieces = tokenizer.spelt(ids)
    return [ComparedToken.model_validate({"text": t, "state": s}) for t, s in zip(pieces, states, strict=True)]
