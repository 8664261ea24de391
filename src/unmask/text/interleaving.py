"""Several streams of paragraphs as one, each taking its share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Paragraph:
    """A stretch of text and where it is from."""

    text: str
    domain: str = ""
    source: str = ""


def interleave(
    streams: Mapping[str, Iterator[Paragraph]], weights: Mapping[str, float], most: int
) -> Iterator[Paragraph]:
    """Always the next paragraph of the stream that is furthest behind its share; when one ends, the rest go on.

    A paragraph counts by its characters, but never more than `most`: no more than that is cut from one.
    """
    left = {name: stream for name, stream in streams.items() if weights[name] > 0}
    taken = dict.fromkeys(left, 0.0)
    while left:
        name = min(left, key=lambda name: taken[name])
        paragraph = next(left[name], None)
        if paragraph is None:
            del left[name]
            continue
        taken[name] += min(len(paragraph.text), most) / weights[name]
        yield paragraph
