"""What stands before every request: who asks, from where, and how much they send."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from unmask.serve.settings import ServerSettings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Free of the token: whatever watches over the server has none, and the page asks for it.
FREE, PAGE = ("/", "/docs", "/health", "/ready"), "/page"
READING = ("GET", "HEAD", "OPTIONS")
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class TooLarge(Exception):
    """More was sent than may be."""


class Guards:
    """ASGI middleware; answers with {error} what may not pass."""

    def __init__(self, app: App, settings: ServerSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        complaint = self._complaint(scope, headers)
        if complaint is not None:
            await refuse(send, *complaint)
            return
        taken, is_refused = 0, False

        async def receive_some() -> dict[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.settings.upload:
                raise TooLarge
            return message

        async def send_on(message: dict[str, Any]) -> None:
            nonlocal is_refused
            if is_refused:
                return
            if message["type"] == "http.response.start":
                if taken > self.settings.upload:  # whatever the application made of that
                    is_refused = True
                    await refuse(send, *self._too_large())
                    return
                known = {name for name, _ in message.get("headers", [])}
                message["headers"] = [*message.get("headers", []), *(h for h in HEADERS if h[0] not in known)]
            await send(message)

        with suppress(TooLarge):
            await self.app(scope, receive_some, send_on)

    def _complaint(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = _name_of(f"//{headers.get('host', '')}")
        if self.settings.is_local and host not in LOCAL_NAMES:
            # A page elsewhere whose name was made to point here must not read what this server says.
            return 403, f"the request is for '{host}', this server answers for {', '.join(LOCAL_NAMES)} only"
        if not self._bears_token(scope, headers):
            return 401, "the request bears no valid token; send it as 'Authorization: Bearer TOKEN'"
        origin = headers.get("origin")
        if scope["method"] not in READING and origin is not None and not self._is_ours(origin, headers):
            return (
                403,
                f"a page of {origin[:200]} may not send requests here; start the server with --origin {origin[:200]}",
            )
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            return 400, "content-length is no number, expected how many bytes are sent"
        return self._too_large() if length > self.settings.upload else None

    def _too_large(self) -> tuple[int, str]:
        return 413, f"more than {self.settings.upload} bytes were sent, which is the most; send fewer vectors at a time"

    def _bears_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        token = self.settings.token
        if token is None or scope["path"] in FREE or scope["path"].startswith(f"{PAGE}/"):
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())

    def _is_ours(self, origin: str, headers: dict[str, str]) -> bool:
        return urlsplit(origin).netloc == headers.get("host") or origin in self.settings.origins


async def refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": message}).encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length), *HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _name_of(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
