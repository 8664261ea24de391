"""The endpoints, a file per kind."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from unmask.serve.models import Models
from unmask.serve.schemas import ErrorAnswer

MEANING = {
    400: "The request cannot be used as it is.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another origin.",
    404: "There is no such model.",
    413: "More was sent than may be.",
    422: "A field is missing, unknown or out of range.",
    429: "The queue is full; Retry-After says when to ask again.",
    500: "A mistake of the server.",
    502: "The encoder failed.",
    503: "The model cannot be loaded, or the server is stopping.",
    504: "It was not done in time.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an endpoint may answer instead."""
    return {status: {"model": ErrorAnswer, "description": MEANING[status]} for status in sorted({401, *statuses})}


WITH_BODY = (400, 403, 413, 422)
OF_MODEL = (404, 429, 500, 502, 503, 504)


def models_of(request: Request) -> Models:
    found: Models = request.app.state.models
    return found
