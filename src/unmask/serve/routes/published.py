"""What clients of the method's published demo decode by; /encode, /random, /queue and /health serve them, too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from unmask.serve.answers import step_of
from unmask.serve.routes import OF_MODEL, WITH_BODY, errors, models_of
from unmask.serve.routes.inversion import EVENTS, Inversion, as_event, explained
from unmask.serve.schemas import Choices, PublishedDecodeRequest, Step

router = APIRouter(tags=["published demo"])
STATES = {"masked": "m", "new": "c", "kept": "u"}


@router.post(
    "/decode",
    responses={200: {"content": {EVENTS: {}}, "description": "Step by step."}, **errors(*WITH_BODY, *OF_MODEL)},
    response_class=StreamingResponse,
)
async def decode(asked: PublishedDecodeRequest, request: Request) -> StreamingResponse:
    """One vector read back, as the published demo sends it: {step, total, tokens: [{t, s}], text, progress}."""
    engine = await models_of(request).get(asked.model)
    steps = max(1, min(asked.steps, engine.inverter.denoiser.length))
    choices = Choices(model=asked.model, steps=steps, check=True)
    inversion = await Inversion.of(choices, [asked.embedding], request)
    inversion.begin()

    async def events() -> AsyncIterator[str]:
        async for step in inversion.steps():
            shown = _as_published(step_of(step, inversion.tokenizer, inversion.seconds))
            if inversion.is_at_end:
                found = await inversion.found(0, "0", choices)
                shown |= {"progress": 1.0, "cosine_similarity": found.cosine, "done": True}
            yield f"data: {json.dumps(shown)}\n\n"

    return StreamingResponse(explained(events(), as_event), media_type=EVENTS)


def _as_published(step: Step) -> dict[str, object]:
    return {
        "step": step.step, "total": step.total, "progress": step.progress, "text": step.text,
        "tokens": [{"t": token.text.strip(), "s": STATES[token.state]} for token in step.tokens],
    }  # fmt: skip
