"""How a server is set up."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from unmask.errors import InputError
from unmask.serve.engine import Limits

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080
LEAST_TOKEN = 16  # characters


@dataclass(frozen=True)
class ServerSettings:
    models: tuple[str, ...] = ("minilm",)  # names or folders; the first answers where none is named
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of them
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    token: str | None = None  # that every request but those for health must bear
    needs_token: bool = True  # wherever the server is not only for this machine
    origins: tuple[str, ...] = ()  # of other pages that may send requests
    limits: Limits = field(default_factory=Limits)
    characters: int = 4_000  # of one text
    vectors: int = 10_000  # of one request
    upload: int = 32 * 2**20  # bytes of one request
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("no model was given, expected at least one; see unmask models")
        if not 0 <= self.port <= 65535:
            raise InputError(f"the port is {self.port}, expected 0 (any that is free) to 65535; change --port")
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise InputError(
                f"the token has {len(self.token)} characters, expected at least {LEAST_TOKEN}; make a longer one"
            )
        if self.token is None and self.needs_token and not self.is_local:
            raise InputError(
                f"the server would listen on {self.host}, where others can reach it, without a token; set "
                "UNMASK_TOKEN, listen on 127.0.0.1, or switch it off with --no-token"
            )
        unknown = sorted(set(self.aliases.values()) - set(self.models))
        if unknown:
            raise InputError(
                f"an alias stands for '{unknown[0]}', which is not served (served: {', '.join(self.models)}); add it "
                "with --model"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
