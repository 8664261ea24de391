"""JSON asked of a server over HTTP, and why there was none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from unmask.errors import InputError
from unmask.vectorstores.base import first_line

SECONDS = 60
LONGEST_REASON = 200


class NoAnswer(Exception):
    """What the server said in place of an object; `status` is that of HTTP where there was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def ask_json(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        request = Request(url, data, {"content-type": "application/json", **headers}, method=method)
        with urlopen(request, timeout=SECONDS) as answer:
            found = json.load(answer)
    except HTTPError as error:
        raise NoAnswer(f"status {error.code}, {_reason(error)}", error.code) from error
    except (HTTPException, OSError, ValueError) as error:
        raise NoAnswer(first_line(error)) from error
    if not isinstance(found, dict):
        raise NoAnswer("what it sent is no object")
    return found


def _reason(error: HTTPError) -> str:
    """As Elasticsearch and Pinecone write it."""
    try:
        told = json.load(error)
        told = told.get("error") or told["message"]
        return str(told["reason"] if isinstance(told, dict) else told)[:LONGEST_REASON]
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(error.reason)


def require_sendable(variable: str, key: str) -> str:
    """A key that can stand in a header; one that cannot is not shown."""
    if not key.isascii() or not key.isprintable():
        raise InputError(f"{variable} holds characters that no key has, expected letters and digits; set it again")
    return key
