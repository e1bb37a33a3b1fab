# SPDX-License-Identifier: Apache-2.0
"""What the queue of `take_turns` does for its operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from transect.control.answers import Told
from transect.control.host import NOTHING_BEFORE, Outcome, Trailer
from transect.control.operating import policy
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.rpc.arbiter import Queue

AGAIN = "begin the server anew with others"


class Turns(TypedDict):
    """`details` of a server whose callers take turns (`take_turns`)."""

    at_once: int
    """RPCs in service at most."""
    most_waiting: int


class TurnsHost:
    """A queue, as `control.host.Host` wants it."""

    version = 1

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.recording: Path | None = None

    @property
    def programs(self) -> Sequence[Program]:
        return [self._queue.program]

    def told(self) -> Told:
        queue = self._queue
        shares = queue.shares()
        details: Turns = {"at_once": queue.at_once, "most_waiting": queue.most_waiting}
        return {
            "carrier": "grpcio server",
            "settled": True,
            "policies": [policy(queue.program, "Python: it runs as `take_turns` was given it")],
            "state": queue.state(),
            "counters": {
                "waiting": sum(row["waiting"] for row in shares),
                "running": sum(row["running"] for row in shares),
            },
            "shares": shares,
            "details": details,
        }

    def change(self, param: Param, value: object) -> object:
        raise Refused("a policy of `take_turns` has the parameters that it was made with", AGAIN)

    def record(self, path: Path, name: str) -> int:
        self._queue.record(path, name)
        self.recording = path
        return 0

    def end_record(self) -> Trailer:
        self.recording = None
        return self._queue.end_record()

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        raise Refused("a policy of `take_turns` stays as long as its server", AGAIN)

    def go_back(self) -> Outcome:
        raise Refused(*NOTHING_BEFORE)
