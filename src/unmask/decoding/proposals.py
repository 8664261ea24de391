"""From logits to proposals: the likeliest or a drawn token at each position, and where the text ends."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from unmask.decoding.options import DecodeOptions
from unmask.errors import CheckpointError

# Logits that exist at one time. On a CPU they should stay in its cache; a GPU wants large products.
CPU_LOGITS = 2**22
GPU_LOGITS = 2**27
FEWEST_POSITIONS = 64
BLOCK = 256  # of the vocabulary, for draws

# Stand for log 0 in sums along the text: a visible token outweighs any number of impossible ones.
IMPOSSIBLE = -1e3
BINDING = -1e6


@dataclass(frozen=True)
class Readings:
    """What is kept of the logits at a list of positions."""

    words: torch.Tensor  # (positions,) int64; the proposed token, never PAD
    word_log_probability: torch.Tensor  # (positions,)
    pad_log_probability: torch.Tensor  # (positions,)
    takes_pad: torch.Tensor  # (positions,) bool; whether PAD wins where it competes with the tokens

    @staticmethod
    def concatenate(parts: list[Readings]) -> Readings:
        return Readings(*(torch.cat([getattr(part, item.name) for part in parts]) for item in fields(Readings)))


@dataclass(frozen=True)
class Proposals:
    """A text for every row; only the positions that had logits mean anything."""

    tokens: torch.Tensor  # (rows, length) int64
    confidence: torch.Tensor  # (rows, length) float32


def positions_at_once(vocabulary_size: int, device: torch.device) -> int:
    size = (GPU_LOGITS if device.type == "cuda" else CPU_LOGITS) // vocabulary_size
    return max(1, size // FEWEST_POSITIONS) * FEWEST_POSITIONS  # a product of a few rows more is a second one


def read_logits(
    logits: torch.Tensor,
    pad_id: int,
    options: DecodeOptions,
    uniforms: torch.Tensor | None,
    pad_competes: torch.Tensor,
) -> Readings:
    """Reduce logits (positions, vocabulary) to a token each; overwrites `logits`.

    `uniforms` (positions,) decide where the temperature is above 0. Where `pad_competes` (positions,) they first decide
    between PAD and the tokens.
    """
    pad = logits[:, pad_id].clone()  # (positions,)
    logits[:, pad_id] = -torch.inf
    best, words = logits.max(dim=1)
    takes_pad = pad > best
    weights = logits.sub_(best[:, None]).exp_()  # (positions, vocabulary); 1 for the likeliest token
    normaliser = torch.logaddexp(best + weights.sum(dim=1).log(), pad)  # (positions,)
    drawn = best
    if uniforms is not None:
        tempered = weights.pow(1 / options.temperature)  # (positions, vocabulary)
        # PAD comes first in the cumulated distribution, the tokens share what is left of it.
        chance = torch.sigmoid((pad - best) / options.temperature - tempered.sum(dim=1).log())
        takes_pad = uniforms < chance
        left = ((uniforms - chance) / (1 - chance).clamp(min=1e-9)).clamp(0, 1 - 1e-7)
        uniforms = torch.where(pad_competes, left, uniforms)
        words = _draw(tempered, words, options.top_p, uniforms)
        drawn = best + weights.gather(1, words[:, None])[:, 0].log()
    if not bool(torch.isfinite(normaliser).all()):
        raise CheckpointError(
            "the network's output is not a number, expected finite logits; the checkpoint is damaged or the vectors "
            "are far from those it was trained on: check them with unmask doctor"
        )
    return Readings(words, drawn - normaliser, pad - normaliser, takes_pad)


def _draw(weights: torch.Tensor, best: torch.Tensor, top_p: float, uniforms: torch.Tensor) -> torch.Tensor:
    """Inverse-CDF draw in proportion to weights (positions, vocabulary), from the likeliest part only if top_p < 1."""
    if top_p < 1:
        weights, order = weights.sort(dim=1, descending=True, stable=True)
        cumulated = weights.cumsum(dim=1)
        # The likeliest token always stays, so that something can be drawn.
        weights = weights.masked_fill(cumulated - weights >= top_p * cumulated[:, -1:], 0.0)
    places = _search(weights, uniforms)  # (positions, 1)
    drawn = places if top_p == 1 else order.gather(1, places)
    # Rounding may end on a token of probability zero, which may be one that is never allowed.
    possible = weights.gather(1, places) > 0
    return torch.where(possible, drawn, best[:, None])[:, 0]


def _search(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Where the cumulated weights of each row pass its uniform share of their sum; (positions, 1).

    First the block, then the place in it: sums of blocks cost a third of a running sum over the whole vocabulary.
    """
    vocabulary = weights.shape[1]
    even = vocabulary // BLOCK * BLOCK
    sums = weights[:, :even].unflatten(1, (-1, BLOCK)).sum(dim=2)  # (positions, whole blocks)
    sums = torch.cat([sums, weights[:, even:].sum(dim=1, keepdim=True)], dim=1)  # (positions, blocks)
    cumulated = sums.cumsum(dim=1)
    targets = uniforms[:, None] * cumulated[:, -1:]  # (positions, 1)
    block = torch.searchsorted(cumulated, targets, right=True).clamp(max=sums.shape[1] - 1)
    inside = targets - (cumulated.gather(1, block) - sums.gather(1, block))
    places = block * BLOCK + torch.arange(BLOCK, device=weights.device)  # (positions, BLOCK)
    held = weights.gather(1, places.clamp(max=vocabulary - 1)).masked_fill(places >= vocabulary, 0.0)
    place = torch.searchsorted(held.cumsum(dim=1), inside, right=True).clamp(max=BLOCK - 1)
    return (block * BLOCK + place).clamp(max=vocabulary - 1)


def choose_boundary(log_pad: torch.Tensor, is_open: torch.Tensor, is_pad: torch.Tensor) -> torch.Tensor:
    """The length n of each text: the most probable place where tokens end and PAD begins.

    log_pad, is_open, is_pad: (rows, length). Where a position is not open its token stands, PAD or not, and binds n.
    """
    log_pad = log_pad.double()
    log_word = torch.log(-torch.expm1(log_pad.clamp(max=-1e-12))).clamp(min=IMPOSSIBLE)
    log_pad = log_pad.clamp(min=IMPOSSIBLE)
    as_word = torch.where(is_open, log_word, torch.where(is_pad, BINDING, 0.0))  # (rows, length)
    as_pad = torch.where(is_open, log_pad, torch.where(is_pad, 0.0, BINDING))
    # The score of n is Σ_{i<n} as_word + Σ_{i≥n} as_pad; the sum over all as_pad is common to every n.
    gains = (as_word - as_pad).cumsum(dim=1)
    scores = torch.nn.functional.pad(gains, (1, 0))  # (rows, length + 1)
    return scores.argmax(dim=1)


def propose(
    readings: Readings, tokens: torch.Tensor, positions: torch.Tensor, by_token: torch.Tensor, pad_id: int, mask_id: int
) -> Proposals:
    """Readings at `positions` (rows, length) as whole rows, each a run of tokens and then a run of PAD.

    Rows marked in `by_token` (rows,) take PAD where it wins as a token; the others lay one boundary through all their
    positions.
    """
    rows, places = positions.nonzero(as_tuple=True)

    def spread(values: torch.Tensor) -> torch.Tensor:
        laid = torch.zeros(positions.shape, dtype=values.dtype, device=values.device)
        laid[rows, places] = values
        return laid  # (rows, length)

    log_pad = spread(readings.pad_log_probability)
    is_pad = tokens == pad_id
    boundary = choose_boundary(log_pad, positions, is_pad)  # (rows,)
    takes_pad = torch.arange(tokens.shape[1], device=tokens.device) >= boundary[:, None]  # (rows, length)
    if bool(by_token.any()):
        wins = spread(readings.takes_pad) & ~_follows(~is_pad & (tokens != mask_id)) | _precedes(is_pad)
        takes_pad = torch.where(by_token[:, None], wins, takes_pad)
    proposed = torch.where(takes_pad, pad_id, spread(readings.words))
    confidence = torch.where(takes_pad, log_pad, spread(readings.word_log_probability)).exp()
    return Proposals(proposed, confidence)


def _precedes(marked: torch.Tensor) -> torch.Tensor:
    """Whether a marked position stands at or left of each; (rows, length)."""
    return marked.long().cumsum(dim=1) > 0


def _follows(marked: torch.Tensor) -> torch.Tensor:
    """Whether a marked position stands at or right of each; (rows, length)."""
    return _precedes(marked.flip(1)).flip(1)
