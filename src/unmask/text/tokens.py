"""Text to token ids and back: the only place that knows special ids."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.errors import InputError
from unmask.files import make_folder, read_json, write_json, write_text
from unmask.text.tidying import needs_tidying, tidy

if TYPE_CHECKING:
    from unmask.recipe import TokenizerSection
    from unmask.records import TokenBatch

SERIALISED = "tokenizer.json"
ROLES = "roles.json"
OWN_MASK, OWN_PAD = "[MASK]", "[PAD]"


@dataclass(frozen=True)
class TokenRoles:
    """What a denoiser's token rows are for."""

    backbone_size: int  # rows that the tokenizer itself has
    vocabulary_size: int  # with the rows that are ours
    mask_id: int
    pad_id: int
    unknown_id: int | None
    forbidden_ids: tuple[int, ...]  # every special id but pad: may never be produced


class TextTokenizer:
    """A tokenizer with a mask and a pad that no text can contain."""

    def __init__(self, serialised: str, roles: TokenRoles, name: str) -> None:
        self.name = name
        self.roles = roles
        self._serialised = serialised
        self._backend = _plain_backend(serialised)
        self._specials = _specials_in_text(self._backend)
        self._is_tidied = needs_tidying(serialised)
        self._dropped = frozenset(roles.forbidden_ids) | set(range(roles.backbone_size, roles.vocabulary_size))
        own = json.dumps(asdict(roles), sort_keys=True)
        self.fingerprint = hashlib.sha256((serialised + own).encode("utf-8")).hexdigest()

    @classmethod
    def from_transformers(cls, tokenizer: Any, name: str) -> TextTokenizer:
        """Wrap a fast tokenizer of transformers."""
        if not getattr(tokenizer, "is_fast", False):
            raise InputError(
                f"the tokenizer '{name}' has no fast version ({type(tokenizer).__name__}), and unmask needs one; "
                "convert it to a tokenizer.json or choose another"
            )
        serialised = _without_padding(tokenizer.backend_tokenizer.to_str())
        return cls(serialised, _find_roles(tokenizer, serialised), name)

    @property
    def vocabulary_size(self) -> int:
        return self.roles.vocabulary_size

    @property
    def backbone_size(self) -> int:
        return self.roles.backbone_size

    @property
    def mask_id(self) -> int:
        return self.roles.mask_id

    @property
    def pad_id(self) -> int:
        return self.roles.pad_id

    @property
    def unknown_id(self) -> int | None:
        return self.roles.unknown_id

    @property
    def forbidden_ids(self) -> tuple[int, ...]:
        return self.roles.forbidden_ids

    @property
    def special_texts(self) -> tuple[str, ...]:
        """How the special tokens are written; another tokenizer may take these words for the tokens themselves."""
        found = self._backend.get_added_tokens_decoder().values()
        return tuple(token.content for token in found if token.special)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens and without a limit on the length."""
        encoded = self._backend.encode_batch_fast(self._encodable(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def encode_with_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Token ids of each text and the characters that each token stands for."""
        encoded = self._backend.encode_batch(self._encodable(texts), add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encoded]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids up to the first pad."""
        return self.decode_all([ids])[0]

    def decode_all(self, rows: Iterable[Iterable[int]]) -> list[str]:
        """The text of each row up to its first pad."""
        texts = self._backend.decode_batch([self._readable(row) for row in rows], skip_special_tokens=False)
        return [tidy(text) for text in texts] if self._is_tidied else texts

    def pieces(self, ids: Iterable[int]) -> tuple[str, ...]:
        """What each id stands for, one readable piece per id."""
        return tuple(self._piece(int(number)) for number in ids)

    def spelt(self, ids: Iterable[int]) -> list[str]:
        """The same as they are read one after the other: a space before each that begins a word."""
        pieces = self.pieces(ids)
        if self._marks_spaces:
            return list(pieces)
        return [piece.removeprefix("##") if piece.startswith("##") else f" {piece}" for piece in pieces]

    @cached_property
    def _marks_spaces(self) -> bool:
        return any(piece.startswith(" ") for piece in self.pieces(self.encode(["a b"])[0]))

    def pad(self, rows: Sequence[Sequence[int]], length: int) -> TokenBatch:
        """Rows of ids as one batch: cut at `length`, filled with pad."""
        import torch

        from unmask.records import TokenBatch

        ids = torch.full((len(rows), length), self.pad_id, dtype=torch.int64)  # (batch, length)
        for index, row in enumerate(rows):
            kept = torch.as_tensor(list(row[:length]), dtype=torch.int64)
            ids[index, : len(kept)] = kept
        return TokenBatch(ids, torch.tensor([min(len(row), length) for row in rows], dtype=torch.int64))

    def batch(self, texts: Sequence[str], length: int) -> TokenBatch:
        """Texts as one batch, cut at `length`."""
        return self.pad(self.encode(texts), length)

    def save(self, folder: Path | str) -> None:
        folder = make_folder(folder)
        write_text(folder / SERIALISED, self._serialised)
        write_json(folder / ROLES, {"name": self.name, **asdict(self.roles)})

    @classmethod
    def load(cls, folder: Path | str) -> TextTokenizer:
        folder = Path(folder)
        tree = read_json(folder / ROLES)
        try:
            serialised = (folder / SERIALISED).read_text("utf-8")
            name = tree.pop("name")
            return cls(serialised, TokenRoles(**{**tree, "forbidden_ids": tuple(tree["forbidden_ids"])}), name)
        except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise InputError(f"the tokenizer in {folder} is not whole ({error!r}); copy the folder again") from error

    def _encodable(self, texts: Sequence[str]) -> list[str]:
        # Half of a surrogate pair is no character and cannot be encoded.
        whole = [text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return [self._specials.sub(_broken, text) for text in whole] if self._specials else whole

    def _readable(self, row: Iterable[int]) -> list[int]:
        kept: list[int] = []
        for number in row:
            number = int(number)
            if number == self.pad_id:
                break
            if number not in self._dropped:
                kept.append(number)
        return kept

    def _piece(self, number: int) -> str:
        if number >= self.backbone_size:
            return OWN_MASK if number == self.mask_id else OWN_PAD
        token = self._backend.id_to_token(number)
        if token is None:
            return ""
        if self._is_tidied or number in self._dropped or number == self.pad_id:
            return str(token)
        # Sentencepiece writes a space as ▁; byte-level tokens are only readable once they are decoded.
        return token.replace("▁", " ") if "▁" in token else str(self._backend.decode([number]))


def load_tokenizer(section: TokenizerSection) -> TextTokenizer:
    """The tokenizer that a recipe names: the bundled one, a local folder or one of the hub."""
    from transformers import AutoTokenizer

    place: str | Path = section.name
    if section.name == "minilm":
        from unmask.encoders.minilm import bundled_model_folder

        place = bundled_model_folder()
    try:
        found = AutoTokenizer.from_pretrained(str(place), trust_remote_code=section.trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"the tokenizer '{section.name}' cannot be loaded ({str(error).splitlines()[0]}); "
            "give a folder that holds a tokenizer, or a hub name while online"
        ) from error
    return TextTokenizer.from_transformers(found, section.name)


def _plain_backend(serialised: str) -> Any:
    """The fast tokenizer itself, for which the names of special tokens are text like any other."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(serialised)
    backend.encode_special_tokens = True
    return backend


def _without_padding(serialised: str) -> str:
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(serialised)
    backend.no_padding()
    backend.no_truncation()
    return str(backend.to_str())


def _specials_in_text(backend: Any) -> re.Pattern[str] | None:
    """The written special tokens that the tokenizer's model takes for themselves even where they are text."""
    found = [
        token.content
        for number, token in backend.get_added_tokens_decoder().items()
        if token.special
        and len(token.content) > 1
        and number in backend.encode(token.content, add_special_tokens=False).ids
    ]
    return re.compile("|".join(map(re.escape, found))) if found else None


def _broken(match: re.Match[str]) -> str:
    """A written special token with a space after its first character, so that it is text."""
    return f"{match.group()[0]} {match.group()[1:]}"


def _find_roles(tokenizer: Any, serialised: str) -> TokenRoles:
    backend = _plain_backend(serialised)
    added = backend.get_added_tokens_decoder()
    special = {number for number, token in added.items() if token.special} | set(tokenizer.all_special_ids)
    unknown = _unknown_id(tokenizer, backend, serialised)
    other_roles = {unknown, *(getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "cls", "sep"))}
    size = max([len(tokenizer) - 1, *backend.get_vocab(True).values()]) + 1
    next_row = size

    in_text = _specials_in_text(backend)

    def can_stand_in_text(number: int) -> bool:
        written = backend.id_to_token(number)
        broken = in_text.sub(_broken, written) if in_text else written
        return number in backend.encode(broken, add_special_tokens=False).ids

    special = {number for number in special if number == unknown or not can_stand_in_text(number)}
    mask, pad = tokenizer.mask_token_id, tokenizer.pad_token_id
    if mask not in special - other_roles:
        mask, next_row = next_row, next_row + 1
    if pad not in special - other_roles - {mask}:
        pad, next_row = next_row, next_row + 1
    forbidden = {*special, mask} | ({unknown} if unknown is not None else set())
    return TokenRoles(size, next_row, mask, pad, unknown, tuple(sorted(forbidden - {pad})))


def _unknown_id(tokenizer: Any, backend: Any, serialised: str) -> int | None:
    """The id that the tokenizer gives to what it cannot express."""
    model = json.loads(serialised)["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    found = backend.token_to_id(model["unk_token"]) if model.get("unk_token") else tokenizer.unk_token_id
    return None if found is None else int(found)
