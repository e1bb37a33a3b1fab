# SPDX-License-Identifier: Apache-2.0
"""Recording what a policy decides, laid out as `replay/queues.py` says; a request's fields are those of `FIELDS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.core.ir import Program
from transect.llm.adapter import Chooser, chooser_of
from transect.llm.native import image
from transect.llm.request import FIELDS, Held
from transect.replay.log import Header, Trailer
from transect.replay.queues import EPOCH, QueueRecording, Recorded, epoch
from transect.replay.writer import Writer

if TYPE_CHECKING:
    from transect.llm.tenants import Tenants

ABOUT_REQUESTS = ("accept", "arrive", "head", "admit", "charge", "retract", "finish")


class Recording:
    """A log under way.  Used under the lock of its service."""

    def __init__(self, path: Path, name: str, tenants: Tenants, *, real: bool) -> None:
        """Raises FileExistsError, OSError."""
        self.path = path
        notes = {"tenants": {str(number): known for number, known in tenants.names().items()}, EPOCH: epoch()}
        writer = Writer(path, Header("llm", name, real, notes))

        def name_of(number: int) -> str:
            return tenants.name_of(number) if tenants.is_named(number) else str(number)

        self._recording = QueueRecording(writer, FIELDS, name_of)

    def through(
        self, policy: Any, program: Program, sources: Mapping[str, str], there: Iterable[Held] = ()
    ) -> Chooser:
        """The chooser of the policy that is in force, with every call of it recorded from now on.

        `there`: requests that wait or run already.
        """
        recording = self._recording
        recording.policy(program, image(policy), list(policy.waiting), sources)
        for request in there:
            recording.came(request)
        chooser = chooser_of(Recorded(policy, program, recording), program)
        chooser.came = recording.came
        for hook in ABOUT_REQUESTS:
            inner = getattr(chooser, hook)
            if inner is not None:
                setattr(chooser, hook, self._about(inner))
        return chooser

    def _about(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        return lambda request, *rest: self._recording.about(request, inner, request, *rest)

    def close(self, final: bytes) -> Trailer:
        """Raises OSError."""
        return self._recording.close(final)
