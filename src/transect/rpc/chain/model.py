# SPDX-License-Identifier: Apache-2.0
"""A chain as data: the content of its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transect.base.span import Span
from transect.core.ir import Program
from transect.rpc.chain.address import PLAIN, Endpoint, Tls
from transect.rpc.chain.arrangement import NOTHING_SAID, Wishes, names


@dataclass(frozen=True, slots=True)
class ElementUse:
    """One element of a chain: its program, and the values that the chain file gives to its state."""

    program: Program
    values: Mapping[str, object]  # plain values; for a table a dict, for an array a list
    span: Span


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A chain, as its file gives it."""

    path: Path
    service: str
    upstream: Endpoint
    listen: Endpoint
    elements: tuple[ElementUse, ...]
    protos: tuple[Path, ...]
    methods: tuple[str, ...]
    routes: Mapping[str, Endpoint]
    on_compressed: str
    max_message: int
    spans: Mapping[str, Span] = field(repr=False)  # the places of its keywords' values
    proto_path: tuple[Path, ...] = ()
    pass_by: tuple[str, ...] = ()
    tls: Tls = PLAIN
    upstream_tls: Tls = PLAIN
    wishes: Wishes = NOTHING_SAID
    speaks_first: tuple[str, ...] = ()  # methods whose service may speak before its client does

    @property
    def span(self) -> Span:
        """The place of the service's name."""
        return self.spans["service"]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its elements."""
        return names([use.program.name for use in self.elements])
