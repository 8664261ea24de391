"""JSON asked of a server over HTTP, and why there was none."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http.client import HTTPException
from time import sleep
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from unmask.errors import InputError
from unmask.vectorstores.base import first_line

log = logging.getLogger(__name__)
SECONDS = 60
BUSY, PAUSES = (429, 502, 503, 504), (1, 4, 16)
LONGEST_REASON = 200


class NoAnswer(Exception):
    """What the server said in place of an object; `status` is that of HTTP where there was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class _Elsewhere(HTTPRedirectHandler):
    """Headers would go along, with the key in them."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        raise NoAnswer(f"it sends one on to {urlsplit(newurl).netloc or newurl}, which was not asked for", code)


def ask_json(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> dict[str, Any]:
    """A server that is busy is asked again, after a while."""
    for pause in PAUSES:
        try:
            return _ask_once(method, url, headers, body)
        except NoAnswer as error:
            if error.status not in BUSY:
                raise
            log.warning("%s; asking again in %d s", error, pause)
            sleep(pause)
    return _ask_once(method, url, headers, body)


def _ask_once(method: str, url: str, headers: Mapping[str, str], body: Any) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    # What is sent in the clear goes to the host itself, and past no proxy.
    proxies = ProxyHandler({}) if url.startswith("http:") else ProxyHandler()
    try:
        request = Request(url, data, {"content-type": "application/json", **headers}, method=method)
        with build_opener(_Elsewhere, proxies).open(request, timeout=SECONDS) as answer:
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
        told = told.get("error", told)
        if isinstance(told, dict):
            told = told.get("reason") or told["message"]
        return str(told)[:LONGEST_REASON]
    except (HTTPException, OSError, ValueError, KeyError, TypeError, AttributeError):
        return str(error.reason)


def require_sendable(variable: str, key: str) -> str:
    """A key that can stand in a header; one that cannot is not shown."""
    if not key.isascii() or not key.isprintable():
        raise InputError(f"{variable} holds characters that no key has, expected letters and digits; set it again")
    return key
