# SPDX-License-Identifier: Apache-2.0
"""A host whose policy is in force nowhere."""

from __future__ import annotations

from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.control.answers import Told
from transect.control.host import NOTHING_BEFORE, Outcome
from transect.control.operating import policy
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.core.frontend import compile_text
from transect.replay.log import Trailer

TEXT = """
from transect.lang import Param, param
from transect.rpc import Element

class Acl(Element):
    limit: Param[int] = param(3)
"""


class Plain:
    version = 1

    def __init__(self) -> None:
        self.programs = compile_text(TEXT, "acl.py").programs
        self.limit: object = 3
        self.dropped = 0
        self.recording: Path | None = None

    def told(self) -> Told:
        return {
            "carrier": "Envoy 1.40.0",
            "settled": True,
            "policies": [policy(program, calls=12) for program in self.programs],
            "state": [],
            "counters": {"rpcs": 12, "rejected": 3},
            "details": {"limit": self.limit, "latency": []},
        }

    def change(self, param: Param, value: object) -> object:
        if value == 13:
            raise ValueError("bad luck")
        before, self.limit = self.limit, value
        return before

    def record(self, path: Path, name: str) -> int:
        with path.open("x"):
            self.recording = path
        return 0

    def end_record(self) -> Trailer:
        self.recording = None
        return Trailer(7, self.dropped, {})

    def go_back(self) -> Outcome:
        raise Refused(*NOTHING_BEFORE)

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        raise Unavailable("gcc", "not on PATH", "apt-get install gcc")
