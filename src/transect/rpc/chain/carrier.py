# SPDX-License-Identifier: Apache-2.0
"""What a carrier can do, as data.  If a chain needs more, the diagnostic names a carrier that can."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from transect.base.diagnostic import Diagnostics, closest
from transect.core.ir import Program
from transect.rpc.chain.binding import Binding, BoundElement
from transect.rpc.chain.needs import structs_made
from transect.rpc.messages.wire import ProtoMethod


class Streams(StrEnum):
    """The kinds of streaming methods: their headers may be sent before any of their messages has passed the chain."""

    REQUESTS = "requests stream"
    REPLIES = "replies stream"


def streams_of(method: ProtoMethod) -> Streams | None:
    if method.client_streams:
        return Streams.REQUESTS
    return Streams.REPLIES if method.server_streams else None


Sets = Mapping[str, frozenset[Streams]]
"""For each hook, the kinds of streams in which it can still set or remove headers."""
SETS_ALL: Sets = {"request": frozenset(Streams), "response": frozenset(Streams)}


@dataclass(frozen=True, slots=True)
class Can:
    name: str
    delay: bool = True  # Forward(after=…)
    route: bool = False  # Forward(to=…)
    retry: bool = False  # Retry in finish, of unary methods
    respond: bool = True  # Respond in request
    client: bool = False
    by_worker: bool = False  # state may be `scope="worker"`
    sets: Sets = field(default_factory=lambda: SETS_ALL)


ENVOY = Can("Envoy", route=True)
ANYWHERE = Can("some carrier", route=True, retry=True, client=True, by_worker=True)
"""A carrier that can do everything: what does not fit it fits no carrier."""


def check(binding: Binding, carrier: Can, diagnostics: Diagnostics) -> None:
    """Report what the chain needs and the carrier cannot do."""
    for element in binding.elements:
        _verdicts(element, carrier, diagnostics)


def check_routes(programs: Iterable[Program], routes: Collection[str], diagnostics: Diagnostics) -> None:
    """Report each route that a policy names and the chain does not have: the RPC would end with UNAVAILABLE."""
    for program in programs:
        for made in structs_made(program):
            if made.route is None or made.route in routes:
                continue
            close = closest(made.route, routes)
            diagnostics.error(
                "R024",
                f"the chain has no route `{made.route}`" if made.route else "the empty text is no route",
                made.span,
                label="names a route",
                help=f'write `to="{close}"`' if close else _routes_help(made.route, routes),
            )


def _routes_help(route: str, routes: Collection[str]) -> str:
    if not route:
        return "write `Forward()` for the way to `upstream`"
    known = f"it has {', '.join(routes)}; " if routes else ""
    return f'{known}write `routes={{"{route}": "host:port"}}` in the chain file'


def _verdicts(element: BoundElement, carrier: Can, diagnostics: Diagnostics) -> None:
    for made in structs_made(element.program):
        if made.name == "Forward" and "to" in made.given and not carrier.route:
            diagnostics.error(
                "R020",
                f"{carrier.name} cannot route: `Forward(to=…)`",
                made.span,
                label="names a route",
                help="run this element in Envoy: `transect rpc run`",
            )
        if made.name == "Respond" and made.hook == "request" and not carrier.respond:
            diagnostics.error(
                "R020",
                f"{carrier.name} cannot answer a call: `Respond`",
                made.span,
                label="a reply of the policy's own",
                help="run this element in Envoy as native code, or attach it to a channel or server",
            )
        if made.name == "Retry" and not carrier.retry:
            diagnostics.error(
                "R020",
                f"{carrier.name} cannot send a request again: `Retry`",
                made.span,
                label="asks for another attempt",
                help="attach this element to the client's channel",
            )
