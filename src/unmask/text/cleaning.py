"""What raw text goes through before it is cut, and how two texts are told to be the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Control characters, byte order marks, soft hyphens and the invisible marks that turn the writing direction.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\u00ad\ufeff\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_LINE_BREAK = re.compile(r"[^\S\n\r\u0085\u2028\u2029]*[\n\r\u0085\u2028\u2029]\s*")
_BLANK = re.compile(r"[^\S\n]+")
_LETTER = re.compile(r"[^\W\d_]")
# Scripts that are written without spaces: there a word of the normalised text is one character.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
LONGEST_PIECE = 20_000


def clean(text: str) -> str:
    """Composed characters, no invisible ones, single spaces; line breaks stay, one at a time."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    return _BLANK.sub(" ", _LINE_BREAK.sub("\n", text)).strip()


def pieces(text: str, longest: int = LONGEST_PIECE) -> Iterator[str]:
    """A text in pieces of bounded size, broken at spaces where there are any."""
    start = 0
    while len(text) - start > longest:
        space = max(text.rfind(" ", start, start + longest), text.rfind("\n", start, start + longest))
        end = space if space > start else start + longest
        yield text[start:end]
        start = end
    yield text[start:]


def has_letters(text: str) -> bool:
    return _LETTER.search(text) is not None


def words(text: str) -> list[str]:
    """The words of a text without case, punctuation and width: what makes two texts the same."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
