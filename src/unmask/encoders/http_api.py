"""An OpenAI-compatible embeddings API, asked in batches, at a pace and within a budget."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.encoders.base import check_answer, check_texts
from unmask.encoders.fingerprint import fingerprint_of
from unmask.errors import BudgetExhausted, EncoderError, MissingExtra

if TYPE_CHECKING:
    from openai import OpenAI

    from unmask.recipe import EncoderSection

TRIES_AGAIN = 6  # after 429 and 5xx; the client waits longer each time, or as long as the server says
TIMEOUT = 60.0  # seconds for one request
NO_KEY = "none"  # the client insists on a key, servers of one's own often know none


class Pace:
    """Spaces requests evenly so that no minute holds more than so many."""

    def __init__(
        self,
        requests_per_minute: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if requests_per_minute is not None and requests_per_minute < 1:
            raise EncoderError(
                f"requests_per_minute is {requests_per_minute}, expected at least 1, or none for no limit"
            )
        self._interval = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._next = clock()

    def wait(self) -> None:
        """Return when the next request may leave."""
        pause = self._next - self._clock()
        if pause > 0:
            self._sleep(pause)
        self._next = max(self._next, self._clock()) + self._interval


class ApiEncoder:
    """An encoder that is only reached over HTTP; what is sent is counted."""

    def __init__(
        self,
        model: str,
        *,
        url: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        prompt: str | None = None,
        task: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool = True,
        batch_size: int = 256,
        requests_per_minute: int | None = None,
        budget: int | None = None,
    ) -> None:
        self.name = model
        self.queries = 0
        self.max_tokens: int | None = None
        self._url = url
        self._key_variable = api_key_variable
        self._prompt = prompt or ""
        self._task = task
        self._truncate_dim = truncate_dim
        self._normalize = normalize
        self._batch_size = batch_size
        self._budget = budget
        self._dimension = truncate_dim
        self._client = self._connect(Pace(requests_per_minute))

    @classmethod
    def from_section(cls, section: EncoderSection, device: str = "auto") -> ApiEncoder:
        if not section.model:
            raise EncoderError("encoder 'api' needs a model; give the name that the server knows it by")
        return cls(
            section.model,
            url=section.url,
            api_key_variable=section.api_key_variable,
            prompt=section.prompt,
            task=section.task,
            truncate_dim=section.truncate_dim,
            normalize=section.normalize,
            batch_size=section.batch_size,
            requests_per_minute=section.requests_per_minute,
            budget=section.budget,
        )

    @property
    def dimension(self) -> int:
        """As the server answers; asking for it before any text was sent costs one query."""
        if self._dimension is None:
            self.encode(["dimension"])
        assert self._dimension is not None
        return self._dimension

    @cached_property
    def fingerprint(self) -> str:
        """Of the model's name and the settings; nobody can see the weights behind an API."""
        settings = {
            "dimension": self.dimension,
            "prompt": self._prompt,
            "task": self._task or "",
            "unit_length": self._normalize,
        }
        return fingerprint_of("api", {"model": self.name}, settings)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors in the order of the texts, (texts, dimension) float32; all or nothing within the budget."""
        texts = check_texts(texts)
        self.check_budget(len(texts))
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        starts = range(0, len(texts), self._batch_size)
        return np.concatenate([self._ask(texts[start : start + self._batch_size]) for start in starts])

    def check_budget(self, coming: int) -> None:
        """Refuse now what could not be sent to its end."""
        if self._budget is not None and self.queries + coming > self._budget:
            raise BudgetExhausted(
                f"{self.queries} of the {self._budget} texts that the budget allows are sent and {coming} more would "
                f"go over it; none of these was sent: raise the budget to {self.queries + coming}, or ask for fewer"
            )

    def _connect(self, pace: Pace) -> OpenAI:
        try:
            import openai
        except ImportError as error:
            raise MissingExtra("an encoder behind an API", "api") from error
        key = os.environ.get(self._key_variable)
        if not key and self._url is None:
            raise EncoderError(
                f"the environment variable {self._key_variable} holds no key; set it, "
                "or name the variable that does with api_key_variable"
            )
        # Each try passes through the hook, so that those after a refusal keep the pace, too.
        http_client = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: pace.wait()]})
        return openai.OpenAI(
            api_key=key or NO_KEY,
            base_url=self._url,
            max_retries=TRIES_AGAIN,
            timeout=TIMEOUT,
            http_client=http_client,
        )

    def _ask(self, texts: list[str]) -> np.ndarray:
        request: dict[str, Any] = {"model": self.name, "input": [self._prompt + text for text in texts]}
        if self._truncate_dim is not None:
            request["dimensions"] = self._truncate_dim
        if self._task is not None:
            request["extra_body"] = {"task": self._task}
        self.queries += len(texts)
        with self._explained():
            answer = self._client.embeddings.create(encoding_format="float", **request)
        values = self._read(answer, len(texts))
        if self._dimension is None:
            self._dimension = values.shape[1]
        values = check_answer(values, len(texts), self._dimension, self.name)
        norms = np.linalg.norm(values, axis=1, keepdims=True)  # (texts, 1)
        if not norms.all():
            raise EncoderError(f"'{self.name}' answered with a zero vector for {texts[int(norms.argmin())]!r:.60}")
        return values / norms if self._normalize else values

    def _read(self, answer: Any, texts: int) -> np.ndarray:
        """The vectors in the order of the texts, which is that of `index` and not of the answer."""
        items = getattr(answer, "data", None)
        if not isinstance(items, list) or len(items) != texts:
            found = f"{len(items)} vectors" if isinstance(items, list) else "something else than vectors"
            raise EncoderError(
                f"{self._place} answered {texts} texts with {found}; check that the URL is that of an "
                "OpenAI-compatible API (it usually ends in /v1)"
            )
        try:
            vectors = [item.embedding for item in sorted(items, key=lambda item: item.index)]
            values = np.asarray(vectors, dtype=np.float32)
        except (AttributeError, TypeError, ValueError) as error:
            raise EncoderError(
                f"{self._place} answered with vectors that are not {texts} equally long lists of numbers ({error}); "
                "check the model and the server"
            ) from error
        return values.reshape(texts, -1)

    @property
    def _place(self) -> str:
        return f"the API at {self._client.base_url}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The client's errors as sentences; a server's own words are quoted, the key never is."""
        import openai

        try:
            yield
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise EncoderError(
                f"{self._place} refused the key in {self._key_variable} (status {error.status_code}); "
                "check that it is complete, active and may use this model"
            ) from error
        except openai.NotFoundError as error:
            raise EncoderError(
                f"{self._place} knows no model '{self.name}' or no such path (status 404: {_words(error)}); "
                "check the model's name and that the URL ends as the server expects, often in /v1"
            ) from error
        except openai.RateLimitError as error:
            raise EncoderError(
                f"{self._place} still refuses after {TRIES_AGAIN + 1} tries (status 429: {_words(error)}); "
                "lower requests_per_minute, check your quota there, or try later"
            ) from error
        except openai.APIStatusError as error:
            raise EncoderError(
                f"{self._place} answered with status {error.status_code}: {_words(error)}; "
                + ("try later" if error.status_code >= 500 else "check the texts, the model and its truncate_dim")
            ) from error
        except openai.APITimeoutError as error:
            raise EncoderError(
                f"{self._place} did not answer within {TIMEOUT:.0f} s; lower batch_size or try later"
            ) from error
        except openai.APIConnectionError as error:
            raise EncoderError(
                f"{self._place} cannot be reached; check the URL, the network and that it runs"
            ) from error
        except (openai.OpenAIError, ValueError) as error:
            raise EncoderError(
                f"{self._place} gave no answer of an embeddings API ({type(error).__name__}); check the URL"
            ) from error


def _words(error: Any) -> str:
    """What the server itself says, shortened."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(message or error.message).split())[:200]
