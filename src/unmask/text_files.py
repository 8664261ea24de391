"""Texts that a user hands to a command: plain lines or JSONL, from a file or from stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from unmask.errors import InputError

TEXT_KEY = "text"
STDIN = "-"


def read_text_file(path: Path | str, key: str = TEXT_KEY) -> list[str]:
    """All texts of a file, in order; `-` is stdin.

    A file whose name ends in .jsonl or .ndjson, or whose first line is a JSON object that has `key`, is read as JSONL,
    any other as one text per line. Empty lines are left out.
    """
    texts = list(iterate_text_file(path, key))
    if not texts:
        raise InputError(f"{describe(path)} holds no text, expected one text per line or JSONL with '{key}'")
    return texts


def iterate_text_file(path: Path | str, key: str = TEXT_KEY) -> Iterator[str]:
    """As `read_text_file`, one text at a time and without complaint about an empty file."""
    for record in iterate_records(path, key):
        yield str(record[key])


def iterate_records(path: Path | str, key: str = TEXT_KEY) -> Iterator[dict[str, object]]:
    """As `iterate_text_file`, with whatever stands beside each text; beside a plain line there is nothing."""
    if str(path) == STDIN:
        yield from _read_lines(sys.stdin.buffer, STDIN, key)
        return
    try:
        with Path(path).open("rb") as handle:
            yield from _read_lines(handle, path, key)
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, expected a file of texts; name one of the files inside it") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path, or give - for stdin") from error
    except PermissionError as error:
        raise InputError(f"not allowed to read {path}; change its permissions or give another file") from error


def describe(path: Path | str) -> str:
    return "stdin" if str(path) == STDIN else str(path)


def decode_line(line: bytes, path: Path | str, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{describe(path)} is not UTF-8 in line {number} (byte {error.start + 1} of the line is "
            f"0x{line[error.start]:02x}); save it as UTF-8 and run it again"
        ) from error


def parse_record(line: str, path: Path | str, number: int, key: str) -> dict[str, object]:
    """One JSONL line, which must be an object that has a text under `key`."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{describe(path)} line {number} is not JSON ({error.msg}); expected one object per line, "
            f'such as {{"{key}": "..."}}'
        ) from error
    if not isinstance(record, dict):
        raise InputError(f'{describe(path)} line {number} holds {type(record).__name__}, expected {{"{key}": "..."}}')
    if not isinstance(record.get(key), str):
        keys = ", ".join(record) or "none"
        raise InputError(
            f"{describe(path)} line {number} has no text under '{key}' (keys there: {keys}); rename the key"
        )
    return record


def _read_lines(handle: BinaryIO, path: Path | str, key: str) -> Iterator[dict[str, object]]:
    is_jsonl: bool | None = True if Path(path).suffix.lower() in (".jsonl", ".ndjson") else None
    for number, raw in enumerate(handle, start=1):
        line = decode_line(raw, path, number).strip("\ufeff\r\n")
        if not line.strip():
            continue
        if is_jsonl is None:
            is_jsonl = _looks_like_record(line, key)
        yield parse_record(line, path, number, key) if is_jsonl else {key: line}


def _looks_like_record(line: str, key: str) -> bool:
    if not line.lstrip().startswith("{"):
        return False
    try:
        return key in json.loads(line)
    except json.JSONDecodeError:
        return False
