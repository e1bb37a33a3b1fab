# SPDX-License-Identifier: Apache-2.0
"""One request as engines, gateways and the simulator hold it; policies see it as `llm.Request`."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from transect.base.request_id import NAMELESS, Named
from transect.llm.hooks import Request

FIELDS = tuple(Request.__annotations__)
"""Fields of a request as policies see it; emitted structs and recordings hold them in this order, with 64 bits each."""
ORDINARY = 100  # a weight in percent

_numbers = itertools.count()


@dataclass(slots=True, eq=False)
class Held:
    """A request.  Sizes in tokens; the fields are explained in `hooks.py`."""

    client: Hashable
    input: int
    limit: int = 0
    reserved: int = 0
    hint: int = 0
    cached: int = 0
    weight: int = ORDINARY  # percent, at least 1
    lane: int = 0
    group: Hashable = None  # None: a group of its own
    number: int = field(default_factory=_numbers.__next__)
    produced: int = 0
    charged: int = 0  # tokens of the prompt that the client has been charged for
    preemptions: int = 0  # how often it was put back
    admitted: bool = False  # it has entered the batch at least once, and was not retracted
    named: Named = NAMELESS  # what the request's headers call it
    own: Any = None  # what the engine or gateway keeps with it
    seen: Any = None  # the request as machine code sees it, and for which policy: `native.Seen`
    __locals__: dict[Any, Any] = field(
        default_factory=dict, repr=False
    )  # the policy's own, one value per request

    def __post_init__(self) -> None:
        if self.group is None:
            self.group = self.client
        assert self.weight >= 1, f"a weight of {self.weight} percent"
