"""The OpenAPI description, with examples that can be sent as they are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from unmask.serve.schemas import EXAMPLE


def described(app: FastAPI) -> dict[str, Any]:
    """Made anew until the first model is loaded, since an example holds a vector of it."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    if app.state.example is not None:
        for name, example in examples(app.state.example).items():
            found["components"]["schemas"][name]["examples"] = [example]
        app.openapi_schema = found
    return found


def examples(vector: list[float]) -> dict[str, dict[str, Any]]:
    """A request of each kind."""
    return {
        "EncodeRequest": {"text": EXAMPLE},
        "InvertRequest": {"embedding": vector, "steps": 8, "text": EXAMPLE, "check": True},
        "BatchRequest": {"embeddings": [vector], "ids": ["first"]},
        "AlternativesRequest": {"embedding": vector, "tokens": [None] * 8, "place": 1},
        "DefendRequest": {"embedding": vector, "noise": 0.3, "precision": "int8"},
        "PublishedDecodeRequest": {"embedding": vector, "steps": 8},
    }
