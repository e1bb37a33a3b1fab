# SPDX-License-Identifier: Apache-2.0
"""Stored answers in a chain with routes: an element that answers calls with stored replies gives them to the calls of
every route, unless it looks at what determined the route.

This is only a warning: replicas of one service are routes, too, and there any of them may have given the reply.
"""

from __future__ import annotations

from collections.abc import Iterable

from transect.base.diagnostic import Diagnostics
from transect.core.ir import Program
from transect.rpc.chain.needs import Made, Needs, headers_named, needs, structs_made

BODY = "rpc.body"
HEADERS = "rpc.headers"  # stands for headers whose names are computed


def warn_of_shared_answers(programs: Iterable[Program], diagnostics: Diagnostics) -> None:
    """Warn of each element that answers with stored replies and ignores what another element chooses routes by."""
    elements = [needs(program) for program in programs]
    routing = [(element, _looked_at(element)) for element in elements if _made(element, "Forward", "to")]
    for element in elements:
        answer = _made(element, "Respond", "body") if _keeps_replies(element) else None
        if answer is None:
            continue
        seen = _looked_at(element)
        for router, chosen_by in routing:
            unseen = [what for what in chosen_by if not _covered(what, seen)]
            if unseen:
                _warn(element, answer, router, unseen, diagnostics)
                break


def _warn(element: Needs, answer: Made, router: Needs, unseen: list[str], diagnostics: Diagnostics) -> None:
    named = " and ".join(f"`{what}`" for what in unseen)
    diagnostics.warning(
        "R036",
        f"`{element.program.name}` answers calls of one route with replies of another",
        answer.span,
        label="a reply that any route may have given",
        help=f"`{router.program.name}` chooses the route by {named}: make that a part of the key, "
        "unless all routes give the same replies",
    )


def _made(element: Needs, name: str, field: str) -> Made | None:
    """A place where `request` makes such a verdict."""
    return next(
        (
            made
            for made in structs_made(element.program)
            if made.name == name and made.hook == "request" and field in made.given
        ),
        None,
    )


def _keeps_replies(element: Needs) -> bool:
    return bool(element.uses_of("response", "reply", "reply_body"))


def _looked_at(element: Needs) -> tuple[str, ...]:
    """What `request` reads of a call, as a policy writes it; each once."""
    fields = (
        f"rpc.msg.{access.field}"
        for access in element.accesses
        if access.hook == "request" and not access.write and any(root.name == "msg" for root in access.roots)
    )
    uses = (f"rpc.{use.field}" for use in element.uses_of("request", "body", "peer", "method"))
    return tuple(dict.fromkeys((*fields, *uses, *_headers(element))))


def _headers(element: Needs) -> Iterable[str]:
    if not element.uses_of("request", "headers"):
        return ()
    names = [header.name for header in headers_named(element.program) if not header.written]
    return [f'rpc.headers.get("{name}")' for name in names] or [HEADERS]


def _covered(what: str, seen: tuple[str, ...]) -> bool:
    whole = BODY if what.startswith("rpc.msg.") else HEADERS if what.startswith(HEADERS) else what
    return what in seen or whole in seen
