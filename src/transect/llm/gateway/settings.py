# SPDX-License-Identifier: Apache-2.0
"""The configuration of a gateway: the settings of an engine, and upstreams, listeners and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from transect.llm.config import Config, Name, parse, read

Address = Annotated[str, msgspec.Meta(pattern=r"^[^\s:]+:\d{1,5}$", description="HOST:PORT")]
_LABEL = "[A-Za-z0-9_-]{1,63}"  # longer ones, and empty ones, are in no name
HOST = rf"({_LABEL}(\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])"
Url = Annotated[
    str, msgspec.Meta(pattern=rf"^https?://{HOST}(:\d{{1,5}})?(/\S*)?$", description="http://HOST:PORT")
]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine, or anything that speaks OpenAI's API."""

    url: Url
    """Its address, without `/v1`, as `http://127.0.0.1:9000`."""
    key_env: str | None = None
    """The environment variable that holds the key it wants; keys of clients are never passed on."""
    window: Annotated[int, msgspec.Meta(ge=1)] | Literal["auto"] = "auto"
    """Tokens in flight at most (prompts, and outputs as far as they are expected); `auto`: tuned by its metrics."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What keeps memory, connections and patience bounded."""

    waiting: Count = 10_000
    """Requests that wait, of all tenants; one more is turned away (503)."""
    waiting_each: Count = 1_000
    """Requests that wait, of one tenant; one more is turned away (429)."""
    wait_s: Seconds = 600.0
    """How long a request waits before it is given up (503)."""
    body_bytes: Count = 16 << 20
    """Of a request; a larger one is turned away (413)."""
    held_bytes: Count = 1 << 30
    """Of the bodies of all requests that are here; one more is turned away (503)."""
    held_bytes_each: Count = 256 << 20
    """Of the bodies of one tenant's requests that are here; one more is turned away (429)."""
    open_each: Count | Literal["auto"] = "auto"
    """Requests of one tenant under way, however far (429 beyond); `auto`: half of the connections."""
    body_s: Seconds = 120.0
    """How long a client may take to send the body of a request (408)."""
    head_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 32 << 10
    """Of the head of a request; a larger one is turned away (431)."""
    head_lines: Annotated[int, msgspec.Meta(ge=16)] = 100
    """Headers of a request; one with more is turned away (431)."""
    head_s: Seconds = 10.0
    """How long a client may take to send the head of a request (408), from the moment that it connects."""
    idle_s: Seconds = 75.0
    """How long a connection may be idle between two requests."""
    unread_s: Seconds = 60.0
    """How long a client may take less than 64 KiB of an answer that waits for it, before it is cut off."""
    connections: Count | Literal["auto"] = "auto"
    """Of clients at the same time; more wait to be accepted.  `auto`: as many as the process may have descriptors for,
    beside those for engines and operators."""
    connections_each: Count = 128
    """Of one address that have shown no key; beyond them the oldest is closed."""
    silence_s: Seconds = 300.0
    """How long an upstream may say nothing while it answers (504)."""
    answer_s: Seconds = 3600.0
    """How long an answer may take altogether, from the moment that its request is sent (504)."""
    drain_s: Seconds = 60.0
    """How long running requests may go on after SIGTERM."""


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counters shared with other gateways, eventually; without it each gateway has its own."""

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(redis|rediss|unix|valkey)://", description="redis://HOST:PORT, or unix:///PATH"
        ),
    ]
    """Of a Valkey or Redis server, as `valkey://127.0.0.1:6379`."""
    name: Name
    """This gateway's own name among those that share."""
    group: Name = "default"
    """Of the gateways that share."""
    every_s: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = 0.1
    """Between rounds; what is served meanwhile enters the bound."""


class GatewayConfig(Config, frozen=True, forbid_unknown_fields=True):
    """The whole file of `transect llm run`."""

    listen: Address = "127.0.0.1:8000"
    """Where clients come: host and port."""
    admin: Address = "127.0.0.1:8001"
    """Where operators come: metrics, health, the live page.  It asks for no key: keep it private."""
    upstreams: tuple[Upstream, ...] = ()
    """The engines; several share the load."""
    limits: Limits = Limits()
    share: Share | None = None
    state: str | None = None
    """A file that keeps the policy's state across restarts, relative to this one."""


def read_gateway(path: Path) -> GatewayConfig:
    """Raises `config.ConfigError`, OSError."""
    return read(path, GatewayConfig)


def parse_gateway(text: str, path: Path) -> GatewayConfig:
    """Raises `config.ConfigError`."""
    return parse(text, path, GatewayConfig)


def host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def name_of(upstream: Upstream) -> str:
    """How it is called in metrics and messages."""
    return upstream.url.partition("://")[2].partition("/")[0]
