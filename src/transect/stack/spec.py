# SPDX-License-Identifier: Apache-2.0
"""What a stack file says.  `transect run FILE` parses the file and never imports it; these classes are for editors and
type checkers, and the one place that lists keywords and defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Front:
    """A chain of elements in front of a service: `transect rpc run`."""

    chain: str
    """The chain file, beside the stack file."""
    name: str = "front"
    """Of the part; the instance is STACK.NAME."""
    workers: int | None = None
    """Envoy's threads; else one a core."""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The queue before LLM engines: `transect llm run`."""

    config: str
    """The gateway's TOML file."""
    name: str = "gateway"
    """Of the part; the instance is STACK.NAME."""


@dataclass(frozen=True, kw_only=True)
class Cores:
    """A scheduler for the processors: `transect cpu run`."""

    policy: str = ""
    """The scheduler's file; else what the stack shares by."""
    name: str = "cores"
    """Of the part; the instance is STACK.NAME."""
    vm: bool = False
    """In a machine of its own, for trying it."""
    cpus: int = 2
    """Processors of that machine."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Other machines' kernels, looked at by turns: `transect memory run`."""

    targets: Sequence[str]
    """As `transect memory run` takes them: `ram:FILE`, `raw:FILE`, `core:FILE`, `qmp:SOCKET`, `roce://HOST/GRANT`."""
    name: str = "watch"
    """Of the part; the instances are STACK.NAME, STACK.NAME-2 …"""
    kernel: str = ""
    """The targets' vmlinuz; else looked for by their release."""
    every: float = 1.0
    """Seconds between two rounds of a probe."""
    budget: str = ""
    """Bytes a second at most, as `64M`."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """Any other program of the stack: a service, an engine."""

    command: Sequence[str]
    """The program and its arguments; the folder of the stack file is its working folder."""
    name: str
    """Of the part."""
    ready: str = ""
    """`HOST:PORT` or `unix:PATH` where it listens once it is ready; without it, it is ready when it has begun."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Parts that start in this order, and end in the reverse one."""

    parts: Sequence[Front | Gateway | Cores | Watch | Program]
    tenants: Mapping[str, int] | str = field(default_factory=dict)
    """Weights in percent of an ordinary share; or a TOML file that has them in `[tenants]`, followed while it runs."""
    identity: str = ""
    """A file of keys under which parts tell each other whose a request is, and until when."""
    share: object = None
    """The `Arbiter` of all parts that name no other policy."""
