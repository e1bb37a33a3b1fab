# SPDX-License-Identifier: Apache-2.0
"""The files of the demonstration's stack, in a folder, for each way of sharing."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile

from transect.base.shipped import path_of
from transect.base.weights import written
from transect.demos.stack.engine import ROUNDS as ENGINE_ROUNDS
from transect.demos.stack.shop import ROUNDS as SHOP_ROUNDS
from transect.llm import keys as llm_keys
from transect.rpc import digest

WEIGHTS = {"alice": 400, "bob": 100}
TENANT, NOBODY = (
    "x-transect-tenant",
    "x-nobody",
)  # metadata by which the shop's callers take turns; by the second, all callers are one
WINDOW = 960  # tokens that the gateway lets the engine have: about its batch

PROTO = """\
syntax = "proto3";
package shop;
message Item { uint32 tokens = 1; uint32 number = 2; }
service Shop { rpc Buy (Item) returns (Item); }
"""
CHAIN = """\
from transect.examples.rpc.identify import Identify
from transect.rpc import Chain

chain = Chain(
    service="shop.Shop",
    upstream="127.0.0.1:{shop}",
    listen="127.0.0.1:{front}",
    protos=["shop.proto"],
    elements=[Identify(keys={known})],
)
"""
GATEWAY = """\
listen = "127.0.0.1:{gateway}"
admin = "127.0.0.1:{admin}"
{policy}
[[upstreams]]
url = "http://127.0.0.1:{engine}"
window = {window}
[identity]
unknown = "share"
"""
TENANTS = """\
[tenants.{name}]
keys = ["{hashed}"]
"""
STACK = """\
from share import FairShare
from transect.stack import Front, Gateway, Program, Stack

stack = Stack(
    tenants={weights},
{identity}    share=FairShare(),
    parts=[
        Program(name="engine", command={engine}, ready="127.0.0.1:{engine_port}"),
        Gateway(config="gateway.toml"),
        Program(name="shop", command={shop}, ready="127.0.0.1:{shop_port}"),
{front}    ],
)
"""
IDENTITY = '    identity="identity.key",\n'
FRONT = '        Front(chain="front.py", workers=1),\n'


@dataclass(frozen=True, slots=True)
class Sharing:
    """Which layers share by tenants' weights."""

    name: str
    shop: bool
    gateway: bool
    hands_on: bool = True
    """Whether the shop tells the gateway whose a request is."""
    shop_weights: Mapping[str, int] | None = field(default=None, hash=False)
    """The shop's own weights; None: those of the stack."""
    shop_rounds: int = SHOP_ROUNDS
    """Rounds of a hash that the shop computes for a call."""
    identity: bool = True
    """Whether layers vouch for callers, and tell each other their deadlines."""


NONE = Sharing("nothing shares", shop=False, gateway=False)
SHOP = Sharing("the service alone shares", shop=True, gateway=False)
GATEWAY_ALONE = Sharing("the gateway alone shares", shop=False, gateway=True)
ALL = Sharing("all layers share", shop=True, gateway=True)


@dataclass(frozen=True, slots=True)
class Files:
    """A folder with a stack's files; `write` changes them to another way of sharing."""

    folder: Path
    envoy: bool
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)
    ports: Mapping[str, int] = field(
        default_factory=lambda: free_ports("shop", "front", "gateway", "admin", "engine")
    )
    keys: Mapping[str, str] = field(default_factory=lambda: {name: llm_keys.new()[0] for name in WEIGHTS})
    """Each tenant's key, by which both the chain and the gateway know the tenant."""
    chain: str = CHAIN
    """The text of the chain's file, with placeholders for ports and keys."""
    rounds: int = ENGINE_ROUNDS
    """Rounds of a hash that the engine computes for a step."""

    @property
    def name(self) -> str:
        """The stack's name; no two are equal, since as root all instances of a machine are in one folder."""
        return f"demo{self.ports['shop']}"

    @property
    def stack(self) -> Path:
        return self.folder / "stack.py"

    @property
    def identity(self) -> Path:
        return self.folder / "identity.key"

    def address(self, part: str) -> str:
        return f"127.0.0.1:{self.ports[part]}"

    def write(self, sharing: Sharing) -> None:
        if not self.identity.exists():
            self.identity.touch(0o600)
            self.identity.write_text(secrets.token_hex(32) + "\n")
        texts = {
            "shop.proto": PROTO,
            "front.py": self.front(self.chain),
            "gateway.toml": self._gateway(sharing),
            "stack.py": self._stack(sharing),
        }
        if sharing.shop_weights is not None:
            texts["shop.toml"] = written(sharing.shop_weights)
        copyfile(path_of("fair_share"), self.folder / "share.py")
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def front(self, chain: str) -> str:
        """The text of a chain's file, with its placeholders filled in."""
        return chain.format(**self.ports, known={digest(key): name for name, key in self.keys.items()})

    def _gateway(self, sharing: Sharing) -> str:
        policy = "" if sharing.gateway else 'policy = "fcfs"'
        text = GATEWAY.format(**self.ports, policy=policy, window=WINDOW)
        return text + "".join(
            TENANTS.format(name=n, hashed=llm_keys.hash_of(k)) for n, k in self.keys.items()
        )

    def _stack(self, sharing: Sharing) -> str:
        by = TENANT if sharing.shop else NOBODY
        hands_on = "yes" if sharing.identity and sharing.hands_on else "no"
        own = [] if sharing.shop_weights is None else [self.folder / "shop.toml"]
        return STACK.format(
            weights=dict(self.weights),
            engine=module("engine", self.ports["engine"], self.rounds),
            engine_port=self.ports["engine"],
            shop=module(
                "shop", self.ports["shop"], self.address("gateway"), by, hands_on, sharing.shop_rounds, *own
            ),
            shop_port=self.ports["shop"],
            front=FRONT if self.envoy else "",
            identity=IDENTITY if sharing.identity else "",
        )


def module(name: str, *words: object) -> list[str]:
    """The command that runs a program of this folder."""
    return [sys.executable, "-m", f"transect.demos.stack.{name}", *map(str, words)]


def free_ports(*names: str) -> dict[str, int]:
    """A free port for each, all different."""
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()
