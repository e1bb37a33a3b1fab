# SPDX-License-Identifier: Apache-2.0
"""What a request is called by who traces it: `x-request-id`, and the trace of OpenTelemetry's `traceparent`.

Whoever calls may choose both, so that an id proves nothing, and two requests may have the same one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

HEADER, TRACEPARENT = "x-request-id", "traceparent"
LONGEST = 128  # characters of an id
_ID = re.compile(rf"[\x21-\x7e]{{1,{LONGEST}}}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@dataclass(frozen=True, slots=True)
class Named:
    """What a request's headers call it, as they came."""

    request_id: str = ""  # empty: it has none
    traceparent: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """By which it can be asked for: 1 to 128 visible ASCII characters, and the trace's 32 digits."""
        own = (self.request_id,) if _ID.fullmatch(self.request_id) else ()
        trace = _trace(self.traceparent)
        return (*own, trace) if trace else own

    @property
    def headers(self) -> dict[str, str]:
        """For the next layer: those of the two that say something."""
        found = {HEADER: self.request_id} if _ID.fullmatch(self.request_id) else {}
        return found | ({TRACEPARENT: self.traceparent} if _trace(self.traceparent) else {})


NAMELESS = Named()


def called(named: Named) -> Named:
    """The same with a `request_id`: its own where that is one, else a new one."""
    if _ID.fullmatch(named.request_id):
        return named
    return Named(secrets.token_hex(16), named.traceparent)


def named(pairs: Iterable[tuple[str, object]] | None) -> Named:
    """By the headers of a request; where one comes twice it is none."""
    found: dict[str, list[str]] = {HEADER: [], TRACEPARENT: []}
    for name, value in pairs or ():
        if name in found:
            found[name].append(str(value))
    once = {name: values[0] for name, values in found.items() if len(values) == 1}
    return Named(once.get(HEADER, ""), once.get(TRACEPARENT, ""))


def asked(text: str) -> str:
    """The id that a person means, who may have copied a whole `traceparent`."""
    return _trace(text) or text


def _trace(text: str) -> str:
    found = _TRACEPARENT.fullmatch(text)
    return found[1] if found and found[1].strip("0") else ""
