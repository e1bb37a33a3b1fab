# SPDX-License-Identifier: Apache-2.0
"""What `status`, `set` and `record` reach while a chain runs in Envoy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.core.schema import schema
from transect.rpc.envoy.control import Control, ControlError
from transect.rpc.envoy.process import Envoy
from transect.rpc.envoy.recording import Recording
from transect.rpc.params import BadParameter, find, patched, value_of

CAUSES = ("reply", "reject", "cancel", "deadline", "reset")


@dataclass
class EnvoyHost:
    """One chain in one Envoy."""

    name: str
    programs: Sequence[Program]
    sources: Mapping[str, str]
    envoy: Envoy
    control: Control
    recording: Recording | None = None
    since: float = field(default_factory=time.time)

    def status(self) -> Mapping[str, Any]:
        """What runs, where it serves, and counters of the whole chain and of each element."""
        counted = self._asked(self.control.status)
        elements = per_element([p.name for p in self.programs], counted)
        plain = {k: v for k, v in counted.items() if not isinstance(v, list)}
        return {
            "policies": [{"name": p.name, "version": 1, "hash": schema(p).hash} for p in self.programs],
            "since": self.since,
            "real": True,
            "envoy": {"pid": self.envoy.pid, "address": str(self.envoy.address)},
            "counters": plain | {"ended_by": dict(zip(CAUSES, counted["causes"], strict=True))},
            "elements": elements,
            "recording": str(self.recording.path) if self.recording else None,
        }

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        """Give a parameter another value, between two calls of the chain."""
        try:
            element, f = find(self.programs, param)
            after = value_of(f.type, value)
        except BadParameter as wrong:
            raise Refused(str(wrong)) from wrong
        program, seen = self.programs[element], list[object]()

        def change(image: bytes) -> bytes:
            new, before = patched(program, image, f.name, after)
            seen.append(before)
            return new

        self._asked(self.control.change, element, change)
        return {"param": f"{program.name}.{f.name}", "before": seen[0], "after": after}

    def record_start(self, path: str) -> Mapping[str, Any]:
        """Begin a log; RPCs that are under way are counted in it."""
        if self.recording is not None:
            raise Refused(f"a recording to {self.recording.path} is under way", "end it first: record --stop")
        recording = Recording(Path(path), self.name, self.programs, self.sources)
        try:
            under_way = self._asked(recording.join, self.control)
        except OSError as wrong:
            raise Refused(f"{path} cannot be written: {wrong.strerror}") from wrong
        self.recording = recording
        return {"path": path, "under_way": under_way}

    def record_stop(self) -> Mapping[str, Any]:
        """Close the log."""
        if self.recording is None:
            raise Refused("nothing is being recorded")
        recording, self.recording = self.recording, None
        trailer = self._asked(recording.end, self.control)
        return {"path": str(recording.path), "records": trailer.records, "dropped": trailer.dropped}

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        """Not yet."""
        raise Unavailable(
            "upgrade",
            "an Envoy's chain is not upgraded in place in this version",
            "stop it and run the new file",
        )

    def _asked(self, ask: Any, *arguments: Any) -> Any:
        try:
            return ask(*arguments)
        except ControlError as wrong:
            gone = "" if self.envoy.alive else f"Envoy has gone; its log is {self.envoy.log}"
            raise Refused(gone or str(wrong)) from wrong


def per_element(names: Sequence[str], counted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each element did; a request that one rejects or answers, the next one does not see."""
    calls, found = counted["requests"] - counted["refused"], []
    for i, name in enumerate(names):
        did = {what: counted[what][i] for what in ("rejected", "responded", "withheld")}
        found.append({"name": name, "requests": calls} | did)
        calls -= did["rejected"] + did["responded"]
    return found
