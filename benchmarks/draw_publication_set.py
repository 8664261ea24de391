"""Draw the publication set: the sentences that the published figures are measured on.

    python benchmarks/draw_publication_set.py CORPUS [--out benchmarks/publication] [--seed 0] [--count 300]

CORPUS is a folder of parquet files with columns text, domain and source. The sentences come from whole sources that
recipes/minilm.yaml keeps out of training (`exclude_sources`), so this script refuses to draw from any other. They are
whole sentences of 6 to 32 tokens that survive encoding and decoding, without unknown tokens, none nearly the same as
another, and none with ten words in a row that also stand in a paragraph of any other source; of a sentence of fewer
than ten words, all of them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from unmask.errors import InputError, UnmaskError
from unmask.files import make_folder, write_text
from unmask.pairs.near_duplicates import SIMILAR, hash_words
from unmask.recipe import TokenizerSection, load_recipe
from unmask.runtime import stream_for
from unmask.text.cleaning import clean, has_letters, words
from unmask.text.sentences import sentence_spans
from unmask.text.tokens import TextTokenizer, load_tokenizer

SHORTEST, LONGEST = 6, 32  # tokens
RUN = 10  # words in a row that no other source may have
_BULLET = re.compile(r"^(?:[-•*]|\d+\.)\s+")
_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Part:
    """One file of the set, and the source that it is drawn from."""

    name: str
    source: str
    domain: str  # as the corpus names it
    licence: str  # as the source's repository states it


PARTS = (
    Part("tech", "OWASP/CheatSheetSeries", "tech", "CC BY-SA 4.0"),
    Part("fiction", "standardebooks/agatha-christie_the-mysterious-affair-at-styles", "fiction", "CC0 1.0"),
    Part("social", "nltk/nltk_data:product_reviews_1", "social", "CC BY 4.0"),
    Part("questions", "google-deepmind/xquad", "questions", "CC BY-SA 4.0"),
    Part("dialogue", "wyim/aci-bench", "dialogue", "CC BY 4.0"),
    Part("medical", "wyim/aci-bench", "medical", "CC BY 4.0"),
    Part("nonfiction", "standardebooks/bertrand-russell_the-problems-of-philosophy", "nonfiction", "CC0 1.0"),
)
SOURCES = frozenset(part.source for part in PARTS)


@dataclass(frozen=True)
class Sentence:
    text: str
    tokens: int
    words: tuple[str, ...]

    @property
    def pairs(self) -> frozenset[tuple[str, ...]]:
        return frozenset(zip(self.words, self.words[1:], strict=False)) or frozenset([self.words])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("corpus", type=Path)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "publication")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--count", type=int, default=300, help="sentences of each part")
    given = options.parse_args()
    try:
        draw(given.corpus, given.out, given.seed, given.count)
    except UnmaskError as error:
        sys.exit(f"draw_publication_set: {error}")


def draw(corpus: Path, out: Path, seed: int, count: int) -> None:
    check_set_aside()
    files = sorted(corpus.glob("*.parquet"))
    if not files:
        raise InputError(f"{corpus} holds no .parquet file; give the corpus's folder")
    tokenizer = load_tokenizer(TokenizerSection())
    kept = set_aside(files)
    found = [candidates(kept[part.source, part.domain], tokenizer) for part in PARTS]
    flat = [sentence for sentences in found for sentence in sentences]
    shared = stands_elsewhere(files, flat)
    make_folder(out)
    chosen: list[frozenset[tuple[str, ...]]] = []
    place = 0
    for number, (part, sentences) in enumerate(zip(PARTS, found, strict=True)):
        free = [one for one, is_shared in zip(sentences, shared[place:], strict=False) if not is_shared]
        place += len(sentences)
        picked = pick(free, count, seed, number, chosen)
        lines = [as_line(sentence, part) for sentence in picked]
        write_text(out / f"{part.name}.jsonl", "".join(lines))
        print(f"{part.name}: {len(picked)} of {len(free)} free of {len(sentences)} fitting sentences", flush=True)
        if len(picked) < count:
            raise InputError(f"{part.name} has {len(picked)} sentences, expected {count}; lower --count")


def check_set_aside() -> None:
    excluded = {name for source in load_recipe("minilm").text.sources for name in source.exclude_sources}
    if not excluded >= SOURCES:
        raise InputError(
            f"recipes/minilm.yaml trains on {', '.join(sorted(SOURCES - excluded))}, expected these to be excluded; "
            "put them into text.sources.0.exclude_sources"
        )


def set_aside(files: list[Path]) -> dict[tuple[str, str], list[str]]:
    """The paragraphs of each source and domain that is drawn from."""
    kept: dict[tuple[str, str], list[str]] = {(part.source, part.domain): [] for part in PARTS}
    for text, domain, source in records(files):
        if (source, domain) in kept:
            kept[source, domain].append(text)
    return kept


def candidates(paragraphs: list[str], tokenizer: TextTokenizer) -> list[Sentence]:
    """All fitting sentences, each once, in an order that does not depend on how the corpus is split."""
    texts = set()
    for paragraph in paragraphs:
        text = clean(paragraph)
        texts |= {_BULLET.sub("", text[start:end]) for start, end in sentence_spans(text)}
    ordered = sorted(text for text in texts if has_letters(text))
    rows = tokenizer.encode(ordered)
    again = tokenizer.encode(tokenizer.decode_all(rows))
    return [
        Sentence(text, len(ids), tuple(words(text)))
        for text, ids, ids_again in zip(ordered, rows, again, strict=True)
        if SHORTEST <= len(ids) <= LONGEST and ids == ids_again and tokenizer.unknown_id not in ids
    ]


def records(files: list[Path]) -> Iterator[tuple[str, str, str]]:
    """Text, domain and source of every paragraph."""
    for file in files:
        with pq.ParquetFile(file) as held:
            for batch in held.iter_batches(_ROWS_AT_ONCE, columns=["text", "domain", "source"]):
                yield from zip(*(batch.column(name).to_pylist() for name in ("text", "domain", "source")), strict=True)


def stands_elsewhere(files: list[Path], sentences: list[Sentence]) -> np.ndarray:
    """(sentences,) bool: which share a run of words with a paragraph of a source that is not set aside."""
    runs: dict[int, list[tuple[np.uint64, int]]] = {}  # by length: hash of a run, number of its sentence
    for number, sentence in enumerate(sentences):
        size = min(RUN, len(sentence.words))
        hashes = hash_words([sentence.words]).hashes
        runs.setdefault(size, []).extend((key, number) for key in run_keys(hashes, size))
    keys = {size: np.array([key for key, _ in found], np.uint64) for size, found in runs.items() if size}
    owners = {size: np.array([number for _, number in found]) for size, found in runs.items()}
    shared = np.zeros(len(sentences), dtype=bool)
    for some in in_groups(text for text, _, source in records(files) if source not in SOURCES):
        held = hash_words([words(text) for text in some])
        ends = np.cumsum(held.counts)
        for size, wanted in keys.items():
            of_text = run_keys(held.hashes, size)
            starts = np.arange(len(of_text))
            # A run that begins in one paragraph and ends in the next is none.
            inside = np.searchsorted(ends, starts, side="right") == np.searchsorted(ends, starts + size - 1, "right")
            shared[owners[size][np.isin(wanted, of_text[inside])]] = True
    return shared


def in_groups(texts: Iterator[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for text in texts:
        group.append(text)
        if len(group) == _ROWS_AT_ONCE:
            yield group
            group = []
    yield group


def run_keys(hashes: np.ndarray, size: int) -> np.ndarray:
    """A 64-bit hash of every `size` words in a row."""
    count = max(len(hashes) - size + 1, 0)
    keys = np.zeros(count, np.uint64)
    for place in range(size):
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + count].astype(np.uint64) + np.uint64(1)
    return keys


def pick(
    sentences: list[Sentence], count: int, seed: int, number: int, chosen: list[frozenset[tuple[str, ...]]]
) -> list[Sentence]:
    """The first that are unlike all chosen so far, in an order drawn from the seed."""
    picked: list[Sentence] = []
    for place in stream_for(seed, number).permutation(len(sentences)):
        if len(picked) == count:
            break
        pairs = sentences[place].pairs
        if all(len(pairs & other) < SIMILAR * len(pairs | other) for other in chosen):
            picked.append(sentences[place])
            chosen.append(pairs)
    return picked


def as_line(sentence: Sentence, part: Part) -> str:
    fields = {
        "text": sentence.text,
        "domain": part.name,
        "source": part.source,
        "licence": part.licence,
        "tokens": sentence.tokens,
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
