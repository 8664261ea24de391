"""Edits of a text: what might be right instead, the most promising first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from unmask.search.blanks import Filling
from unmask.search.ground import Ground
from unmask.search.hypotheses import Edit, Hypothesis, Row
from unmask.search.moves import block_moves, neighbour_swaps

# Combinations grow from so many edits of one text, to so many at a time.
BEGUN_WITH, MOST_TOGETHER = 12, 4


def substitutions(ground: Ground, stream: np.random.Generator) -> Iterator[Edit]:
    tokens, found = ground.tokens, []
    for place, filling in enumerate(ground.substitutions):
        pairs = zip(filling.tokens[0].tolist(), filling.log_probabilities[0].tolist(), strict=True)
        present = float(ground.present[place])
        found += [(sure - present, place, token) for token, sure in pairs if token != tokens[place]]
    for change, place, token in sorted(found, key=lambda item: -item[0]):
        yield ground.edit((*tokens[:place], token, *tokens[place + 1 :]), "substitution", change)


def insertions(ground: Ground, stream: np.random.Generator) -> Iterator[Edit]:
    mean, found = float(ground.present.mean()), []
    for place, filling in enumerate(ground.insertions):
        pairs = zip(filling.tokens[0].tolist(), filling.log_probabilities[0].tolist(), strict=True)
        found += [(sure - mean, place, token) for token, sure in pairs]
    for change, place, token in sorted(found, key=lambda item: -item[0]):
        yield ground.edit((*ground.tokens[:place], token, *ground.tokens[place:]), "insertion", change)


def recalls(ground: Ground, stream: np.random.Generator) -> Iterator[Edit]:
    """Words that the text seems to lack, put in anywhere or in the place of any other."""
    wanted, tokens, present = ground.wanted, ground.tokens, ground.present
    if wanted is None:
        return
    places = len(tokens)
    # (places + gaps, words)
    changes = np.concatenate([wanted.at_places - present[:, None], wanted.at_gaps - present.mean()])
    for number in np.argsort(-changes, axis=None, kind="stable").tolist():
        where, which = divmod(number, len(wanted.words))
        start, end = (where, where + 1) if where < places else (where - places, where - places)
        edited = (*tokens[:start], wanted.words[which], *tokens[end:])
        yield ground.edit(edited, "recall", float(changes[where, which]))


def deletions(ground: Ground, stream: np.random.Generator) -> Iterator[Edit]:
    """Single tokens and runs of them: a text that says something twice is near, and nearer than one that says half."""
    tokens, present = ground.tokens, ground.present
    mean, found = float(present.mean()), []
    for width in range(1, max(len(tokens) // 2, min(len(tokens) - 1, 1)) + 1):
        for start in range(len(tokens) - width + 1):
            change = (mean - float(present[start : start + width].mean())) / width
            found.append((change, (*tokens[:start], *tokens[start + width :])))
    for change, edited in sorted(found, key=lambda item: -item[0]):
        yield ground.edit(edited, "deletion", change)


def swaps(ground: Ground, stream: np.random.Generator) -> Iterator[Edit]:
    yield from _reordered(ground, neighbour_swaps(len(ground.tokens)), "swap")


def moves(ground: Ground, stream: np.random.Generator) -> Iterator[Edit]:
    yield from _reordered(ground, block_moves(len(ground.tokens)), "move")


def _reordered(ground: Ground, orders: np.ndarray, kind: str) -> Iterator[Edit]:
    """orders: (edits, places), the place each token comes from."""
    if not len(orders):
        return
    places = np.arange(len(ground.tokens))
    # As if each place stood alone, which is too harsh on what moves together; it only ranks.
    changes = ground.likelihoods[places, orders].sum(axis=1) - ground.present.sum()
    # A move changes many places at once: per place, or long moves would never be tried.
    changes = changes / np.maximum((orders != places).sum(axis=1), 1)
    for number in np.argsort(-changes, kind="stable").tolist():
        edited = tuple(ground.tokens[place] for place in orders[number])
        if edited != ground.tokens:
            yield ground.edit(edited, kind, float(changes[number]))


def refilled_spans(ground: Ground, stream: np.random.Generator) -> Iterator[Edit]:
    tokens, found = ground.tokens, []
    for start, end, filling in ground.spans:
        present = float(np.diagonal(filling.of_asked).sum())
        for picks in (np.zeros(end - start, dtype=int), _draw(filling, stream)):
            chosen = filling.tokens[np.arange(end - start), picks].tolist()
            likely = float(filling.log_probabilities[np.arange(end - start), picks].sum())
            found.append(ground.edit((*tokens[:start], *chosen, *tokens[end:]), "span", likely - present))
    yield from sorted(found, key=lambda edit: -edit.gain)


def _draw(filling: Filling, stream: np.random.Generator) -> np.ndarray:
    weights = np.exp(filling.log_probabilities.astype(np.float64)).cumsum(axis=1)  # (places, kept)
    weights /= weights[:, -1:]
    return np.minimum((stream.random((len(weights), 1)) > weights).sum(axis=1), weights.shape[1] - 1)


# Kinds with few edits of a text come first.
MAKERS: dict[str, Callable[[Ground, np.random.Generator], Iterator[Edit]]] = {
    "swap": swaps,
    "deletion": deletions,
    "span": refilled_spans,
    "insertion": insertions,
    "move": moves,
    "recall": recalls,
    "substitution": substitutions,
}


def combined(parent: Hypothesis, children: Sequence[Hypothesis], vectors: np.ndarray, target: np.ndarray) -> list[Edit]:
    """Several edits of one text at once, as far as they leave each other alone; the most promising first.

    What one edit changes in the vector it changes about as much beside another: so a sum says which are worth trying,
    and one that did not help alone may help beside another.

    vectors: (1 + children, dimension), the parent's own first, shorter than 1 where a surrogate is not sure; target:
    (dimension,).
    """
    base, changes, length = vectors[0], vectors[1:] - vectors[0], float(np.linalg.norm(vectors[0]))
    changed = [_changed_part(parent.tokens, child.tokens) for child in children]
    apart = _apart(changed)  # (children, children)
    found: dict[Row, Edit] = {}
    order = sorted(range(len(children)), key=lambda number: -children[number].cosine)
    for first in order[:BEGUN_WITH]:
        together, free, reached = [first], apart[first], children[first].cosine
        total = base + changes[first]
        while len(together) < MOST_TOGETHER and free.any():
            sums = total + changes  # (children, dimension)
            cosines = np.where(free, length * (sums @ target) / np.linalg.norm(sums, axis=1), -np.inf)
            best = int(cosines.argmax())
            if cosines[best] <= reached:
                break
            together, free, reached, total = [*together, best], free & apart[best], float(cosines[best]), sums[best]
            tokens = _with_parts(parent.tokens, [changed[number] for number in together])
            likelihood = float(np.mean([children[number].likelihood for number in together]))
            edit = Edit(tokens, "combination", reached - parent.cosine, likelihood, parent.tokens, parent.family)
            found.setdefault(tokens, edit)
    return sorted(found.values(), key=lambda edit: -edit.gain)


Part = tuple[int, int, Row]


def _changed_part(old: Row, new: Row) -> Part:
    """(start, end, tokens): what stands in the new text in place of the old one's tokens from start to end."""
    shared = min(len(old), len(new))
    start = next((place for place in range(shared) if old[place] != new[place]), shared)
    behind = next((n for n in range(shared - start) if old[-1 - n] != new[-1 - n]), shared - start)
    return start, len(old) - behind, new[start : len(new) - behind]


def _apart(parts: list[Part]) -> np.ndarray:
    """Which parts leave each other alone; what is put in somewhere has no width. (parts, parts) bool."""
    starts, ends = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
    is_wide = ends > starts
    before = (ends[:, None] < starts) | ((ends[:, None] == starts) & is_wide[:, None] & is_wide)
    return before | before.T


def _with_parts(tokens: Row, parts: list[Part]) -> Row:
    for start, end, instead in sorted(parts, reverse=True):
        tokens = (*tokens[:start], *instead, *tokens[end:])
    return tokens
