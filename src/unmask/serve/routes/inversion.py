"""Texts to vectors, and back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import torch
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from unmask.attacks.decoders import ALL_DECODERS, SEARCH
from unmask.decoding import DecodeOptions
from unmask.defences.blurring import Blur, blurred
from unmask.metrics.vectors import cosine
from unmask.records import DecodeStep
from unmask.search.options import SURROGATE, SearchOptions
from unmask.serve.answers import comparison_of, found_of, step_of
from unmask.serve.engine import Engine
from unmask.serve.jobs import Asked, Job, ServerError
from unmask.serve.models import Models
from unmask.serve.routes import OF_MODEL, WITH_BODY, errors, models_of
from unmask.serve.schemas import (
    Alternative,
    AlternativesAnswer,
    AlternativesRequest,
    BatchRequest,
    Choices,
    DefendAnswer,
    DefendRequest,
    EncodeAnswer,
    EncodeRequest,
    Found,
    InvertRequest,
    LastStep,
)
from unmask.vectorstores.numbers import LARGEST, check_vectors

router = APIRouter(tags=["inversion"])
LOOK_EVERY = 0.5  # seconds, whether a client that waits for its answer is still there
EVENTS, LINES = "text/event-stream", "application/x-ndjson"


@router.post("/encode", responses=errors(*WITH_BODY, *OF_MODEL))
async def encode(asked: EncodeRequest, request: Request) -> EncodeAnswer:
    """The vector of a text, by the encoder that the model was trained for."""
    served = models_of(request)
    engine = await served.get(asked.model)
    ids, was_cut = readable_part(engine, asked.text, served.settings.characters)
    text = engine.inverter.tokenizer.decode(ids)
    vectors = await served.embed(engine, [text])
    return EncodeAnswer(
        embedding=vectors[0].tolist(), text=text, tokens=engine.inverter.tokenizer.spelt(ids), was_cut=was_cut,
        model=served.name_of(asked.model),
    )  # fmt: skip


@router.post("/invert", responses=errors(*WITH_BODY, *OF_MODEL))
async def invert(asked: InvertRequest, request: Request) -> Found:
    """One vector read back."""
    inversion = await Inversion.of(asked, [asked.embedding], request)
    inversion.begin(is_watched=False)
    await inversion.end(request)
    return await inversion.found(0, "0", asked)


@router.post(
    "/invert/stream",
    responses={200: {"content": {EVENTS: {}}, "description": "Step by step."}, **errors(*WITH_BODY, *OF_MODEL)},
    response_class=StreamingResponse,
)
async def invert_stream(asked: InvertRequest, request: Request) -> StreamingResponse:
    """The same as server-sent events: every step as it is made, the last one with what was found."""
    inversion = await Inversion.of(asked, [asked.embedding], request)
    inversion.begin()

    async def events() -> AsyncIterator[str]:
        async for step in inversion.steps():
            shown = step_of(step, inversion.tokenizer, inversion.seconds)
            if inversion.is_at_end:
                found = await inversion.found(0, "0", asked)
                shown = LastStep(**{**shown.model_dump(), "done": True, "progress": 1.0}, found=found)
            yield f"data: {shown.model_dump_json()}\n\n"

    return StreamingResponse(explained(events(), as_event), media_type=EVENTS)


@router.post(
    "/invert/batch",
    responses={200: {"content": {LINES: {}}, "description": "A line each."}, **errors(*WITH_BODY, *OF_MODEL)},
    response_class=StreamingResponse,
)
async def invert_batch(asked: BatchRequest, request: Request) -> StreamingResponse:
    """Many vectors: a JSON line for each, as soon as it is read back."""
    served = models_of(request)
    count, most = len(asked.embeddings), served.settings.vectors
    if count > most:
        raise ServerError(413, f"{count} vectors were sent, {most} may be; send them in several requests")
    if asked.ids is not None and len(asked.ids) != count:
        raise ServerError(400, f"there are {len(asked.ids)} ids for {count} vectors; give one for each, or none")
    names = asked.ids or [str(row) for row in range(count)]
    whole = await Inversion.of(asked, asked.embeddings, request)

    async def lines() -> AsyncIterator[str]:
        for part in whole.parts():
            part.begin(is_watched=False)
            await part.end()
            for row in range(part.rows):
                found = await part.found(row, names[part.first + row], asked)
                yield found.model_dump_json() + "\n"

    return StreamingResponse(explained(lines(), lambda error: f"{as_json(error)}\n"), media_type=LINES)


@router.post("/alternatives", responses=errors(*WITH_BODY, *OF_MODEL))
async def alternatives(asked: AlternativesRequest, request: Request) -> AlternativesAnswer:
    """What else might stand at one place of a text that is being read back."""
    served = models_of(request)
    engine = await served.get(asked.model)
    inverter, tokenizer = engine.inverter, engine.inverter.tokenizer
    vector = _checked([asked.embedding], engine)[0]
    ids = [tokenizer.mask_id if token is None else token for token in asked.tokens]
    named = await asyncio.wrap_future(engine.call(lambda: inverter.alternatives(vector, ids, asked.place)))
    return AlternativesAnswer(
        alternatives=[
            Alternative(text="" if token == tokenizer.pad_id else tokenizer.spelt([token])[0], id=token, probability=p)
            for token, p in named
        ]
    )


@router.post("/defend", responses=errors(*WITH_BODY))
async def defend(asked: DefendRequest) -> DefendAnswer:
    """What is left of a vector under noise, fewer bits or fewer dimensions."""
    given = np.asarray([asked.embedding])
    if np.abs(given).max() > LARGEST:
        raise ServerError(400, f"the vector holds a number beyond {LARGEST:g}, which no embedding has; scale it")
    vector = given.astype(np.float32)
    blur = Blur(asked.noise, asked.precision, asked.dimensions, asked.seed)
    found = blurred(vector, blur)
    return DefendAnswer(embedding=found[0].tolist(), cosine=float(cosine(found, vector)[0]))


def readable_part(engine: Engine, text: str, characters: int) -> tuple[list[int], bool]:
    """The tokens of a text that the model can read, and whether there are others."""
    if len(text) > characters:
        raise ServerError(413, f"the text has {len(text)} characters, {characters} may be; send a shorter one")
    ids = engine.inverter.tokenizer.encode([text])[0]
    if not ids:
        raise ServerError(400, "the text has no tokens, expected at least one word; write something else")
    return ids[: engine.inverter.denoiser.length], len(ids) > engine.inverter.denoiser.length


def _checked(vectors: list[list[float]], engine: Engine) -> np.ndarray:
    """(rows, dimension) float32."""
    return check_vectors(vectors, engine.inverter.dimension)


class Inversion:
    """Some vectors on their way through a model."""

    def __init__(self, served: Models, engine: Engine, values: np.ndarray, choices: Choices, first: int = 0) -> None:
        self.served, self.engine, self.values, self.choices, self.first = served, engine, values, choices, first
        self.tokenizer = engine.inverter.tokenizer
        self._began = time.perf_counter()
        self._job: Job | None = None
        self._last: DecodeStep | None = None

    @classmethod
    async def of(cls, choices: Choices, vectors: list[list[float]], request: Request) -> Inversion:
        """Checked, not begun."""
        served = models_of(request)
        engine = await served.get(choices.model)
        ALL_DECODERS.resolve(choices.decoder)
        if choices.search.scorer == SURROGATE and engine.inverter.surrogate_of("encoder") is None:
            raise ServerError(400, "this model has no surrogate; search with scorer encoder, or train one for it")
        return cls(served, engine, _checked(vectors, engine), choices)

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def parts(self) -> list[Inversion]:
        """No more rows at a time than the model takes."""
        limits = self.engine.limits
        size = limits.searched if self.choices.decoder == SEARCH else limits.rows
        return [
            Inversion(self.served, self.engine, self.values[start : start + size], self.choices, start)
            for start in range(0, self.rows, size)
        ]

    def begin(self, is_watched: bool = True) -> None:
        """Wait for its turn from now on; unless it is watched, only its last step comes out."""
        self._began, chosen = time.perf_counter(), self.choices
        options = DecodeOptions(steps=chosen.steps, seed=chosen.seed, temperature=chosen.temperature)
        search = SearchOptions(**chosen.search.model_dump()) if chosen.decoder == SEARCH else None
        keys = tuple(range(self.first, self.first + self.rows))
        asked = Asked(torch.from_numpy(self.values), keys, chosen.decoder, options, search)
        self._job = self.served.submit(self.engine, asked, is_watched)

    async def steps(self) -> AsyncIterator[DecodeStep]:
        """As they are made."""
        assert self._job is not None, "nothing has begun"
        steps = self._job.steps()
        try:
            async for step in steps:
                self._last = step
                yield step
        finally:
            await steps.aclose()

    async def end(self, request: Request | None = None) -> None:
        """Come to the last step; not where the client of `request` has left."""

        async def come() -> None:
            async for _ in self.steps():
                pass

        coming = asyncio.ensure_future(come())
        try:
            while not (await asyncio.wait({coming}, timeout=LOOK_EVERY))[0]:
                if request is not None and await request.is_disconnected():
                    raise ServerError(499, "the client has left")
            await coming
        finally:
            coming.cancel()

    @property
    def is_at_end(self) -> bool:
        """Whether the step that came out last is the last one."""
        return self._job is not None and self._job.is_at_end

    async def found(self, row: int, name: str, choices: Choices) -> Found:
        """What the last step says of a row, compared with what is known."""
        assert self._last is not None
        found = found_of(self._last, row, name, self.tokenizer, self.seconds / self.rows)
        if choices.check and found.cosine is None:
            vectors = await self.served.embed(self.engine, [found.text])
            found = found.model_copy(update={"cosine": float(cosine(vectors, self.values[row : row + 1])[0])})
        if isinstance(choices, InvertRequest) and choices.text is not None:
            true, _ = readable_part(self.engine, choices.text, self.served.settings.characters)
            ids = [token for token in self._last.tokens[row].tolist() if token != self.tokenizer.pad_id]
            found = found.model_copy(update={"comparison": comparison_of(true, ids, self.tokenizer)})
        return found


async def explained(pieces: AsyncIterator[str], said: Callable[[ServerError], str]) -> AsyncIterator[str]:
    """An answer that has begun has a status already: what goes wrong then is its last piece."""
    try:
        async for piece in pieces:
            yield piece
    except ServerError as error:
        yield said(error)


def as_json(error: ServerError) -> str:
    return json.dumps({"error": str(error)})


def as_event(error: ServerError) -> str:
    return f"data: {as_json(error)}\n\n"
