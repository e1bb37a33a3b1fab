# SPDX-License-Identifier: Apache-2.0
"""The published artifact's way of counting, where it is not the paper's algorithm."""

from __future__ import annotations

from transect.llm.adapter import Chooser
from transect.llm.queue import TenantQueues
from transect.llm.request import Held


class ArtifactQueues(TenantQueues):
    """The first output token of a request is free; when a request ends, each running one is charged one more token."""

    def __init__(self, chooser: Chooser) -> None:
        super().__init__(chooser)
        self._now: dict[Held, None] = {}

    def pop(self) -> Held:
        request = super().pop()
        self._now[request] = None
        return request

    def produced(self, request: Held, tokens: int) -> None:
        free = min(tokens, 1) if request.produced == 0 else 0
        request.produced += tokens
        self._charge(request, 0, tokens - free)

    def finish(self, request: Held) -> None:
        for running in self._now:
            self._charge(running, 0, 1)
        del self._now[request]
        super().finish(request)
