# SPDX-License-Identifier: Apache-2.0
"""For tests of policies: an engine that serves one request at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from transect.llm.adapter import chooser_of
from transect.llm.queue import TenantQueues
from transect.llm.request import Held


def order(policy: Any, requests: Iterable[tuple[Hashable, int, int]]) -> list[Hashable]:
    """Whose turn it is, in order, when all these wait: (client, prompt, output), sizes in tokens.

    `policy`: an object of an `Admission` or an `Arbiter` policy.  Requests that it refuses are left out.
    """
    queues = TenantQueues(chooser_of(policy))
    outputs: dict[Held, int] = {}
    for client, prompt, output in requests:
        held = Held(client, input=prompt, limit=output, reserved=output)
        if queues.add(held) is None:
            outputs[held] = output
    served = []
    while len(queues):
        held = queues.pop()
        queues.produced(held, outputs[held])
        queues.finish(held)
        served.append(held.client)
    return served
