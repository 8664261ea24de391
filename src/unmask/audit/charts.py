"""The report's charts, as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from unmask.audit.scores import DECIDES

if TYPE_CHECKING:
    from unmask.audit.protection import Protections
    from unmask.audit.scores import Score

# All in the charts' own units.
WIDTH, ROW, LEFT = 640, 34, 190
HEIGHT, EDGE, DOT, APART = 340, 46, 5, 15
TICK = 0.25


def bars(scored: Sequence[Score]) -> str:
    """How many words each attacker read, with intervals."""
    if not scored:
        return ""
    drawn = []
    for place, score in enumerate(scored):
        value, middle = score.metrics[DECIDES], place * ROW + ROW / 2
        start, end, low, high = (LEFT + (WIDTH - LEFT - 60) * x for x in (0, value.value, value.low, value.high))
        drawn.append(
            f'<text x="0" y="{middle + 4:.0f}">{escape(score.rung)}</text>'
            f'<rect class="{"guess" if score.is_baseline else "bar"}" x="{start:.1f}" y="{middle - 10:.0f}" '
            f'width="{max(end - start, 0.5):.1f}" height="20"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.0f}" y2="{middle:.0f}"/>'
            f'<text x="{high + 6:.1f}" y="{middle + 4:.0f}">{value.value:.0%}</text>'
        )
    said = "; ".join(f"{score.rung} {score.metrics[DECIDES].value:.0%}" for score in scored)
    return _svg(f"Words read back: {said}", len(scored) * ROW, drawn)


def leak_against_ranking(helping: Protections) -> str:
    """A numbered dot for each defence: what is still read, against what a search still finds."""
    found = [
        (number, row.defence.name, row.recall.value, row.leak.value)
        for number, row in enumerate(helping.rows, start=1)
        if row.leak is not None
    ]
    least = math.floor(min((kept for _, _, kept, _ in found), default=0.0) / TICK) * TICK
    drawn = _axes("neighbours that a search still finds", "words still read", least)
    dots = [(_across(kept, least), _up(read)) for _, _, kept, read in found]
    taken = list(dots)
    for (number, *_), (x, y) in zip(found, dots, strict=True):
        place = next((spot for spot in _spots(x, y) if not any(_meet(spot, other) for other in taken)), (x, y))
        taken.append(place)
        if math.dist(place, (x, y)) > 2 * APART:
            drawn.append(f'<line class="grid" x1="{x:.1f}" y1="{y:.1f}" x2="{place[0]:.1f}" y2="{place[1]:.1f}"/>')
        drawn.append(f'<text x="{place[0]:.1f}" y="{place[1] + 5:.1f}" text-anchor="middle">{number}</text>')
    drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}"/>' for x, y in dots]
    said = "; ".join(f"{name} {read:.0%} of words read, {kept:.0%} of neighbours" for _, name, kept, read in found)
    return _svg(f"Each defence by its number in the table: {said}", HEIGHT, drawn)


def _spots(x: float, y: float) -> Iterator[tuple[float, float]]:
    """Where a dot's number may stand: beside it, then farther and farther off."""
    for ring in range(1, 12):
        for turn in range(8):
            angle = turn * math.pi / 4
            yield x + ring * APART * math.cos(angle), y + ring * APART * math.sin(angle)


def _meet(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) < APART and abs(one[1] - other[1]) < APART - 2


def _axes(across: str, up: str, least: float) -> list[str]:
    """From `least` to 1 across, from 0 to 1 upwards."""
    drawn = []
    for tick in np.arange(0, 1 + TICK / 2, TICK):
        y = _up(tick)
        if tick >= least:
            x = _across(tick, least)
            drawn.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="{_up(1):.0f}" y2="{_up(0):.0f}"/>')
            drawn.append(f'<text x="{x:.0f}" y="{_up(0) + 18:.0f}" text-anchor="middle">{tick:.0%}</text>')
        drawn.append(f'<line class="grid" x1="{EDGE}" x2="{_across(1, least):.0f}" y1="{y:.0f}" y2="{y:.0f}"/>')
        drawn.append(f'<text x="{EDGE - 6}" y="{y + 4:.0f}" text-anchor="end">{tick:.0%}</text>')
    middle = (EDGE + _across(1, least)) / 2
    drawn.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
    drawn.append(f'<text x="0" y="14">{escape(up)}</text>')
    return drawn


def _across(share: float, least: float) -> float:
    return EDGE + (share - least) / (1 - least) * (WIDTH - EDGE - 60) if least < 1 else WIDTH - 60


def _up(share: float) -> float:
    return 28 + (1 - share) * (HEIGHT - 28 - EDGE)


def _svg(said: str, height: float, drawn: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(said)}">{"".join(drawn)}</svg>'
