# SPDX-License-Identifier: Apache-2.0
"""What the operator may ask of an attached chain: `status`, `set`, `record`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.control import params
from transect.control.protocol import Refused
from transect.control.readings import readings
from transect.rpc.chain.metrics import causes, counters, rows
from transect.rpc.chain.times import latencies

if TYPE_CHECKING:
    from transect.rpc.grpcio.attached import Attached


class GrpcioHost:
    """An attached chain, as `control.host.Host` wants it."""

    def __init__(self, chain: Attached) -> None:
        self._chain = chain
        self._since = time.time()

    def status(self) -> Mapping[str, Any]:
        chain = self._chain
        now = chain.now  # an upgrade may come meanwhile
        programs = [element.program for element in now.binding.elements]
        found = now.handle.counts
        more = {
            "open": now.handle.open,
            "traced": now.traced.written,
            "traces_left_out": now.traced.left_out,
        }
        images = [now.handle.save(index) for index in range(len(programs))]
        return {
            "carrier": chain.carrier,
            "name": chain.name,
            "since": self._since,
            "native": chain.native,
            "why": chain.reason,
            "policies": rows(programs, found, map(len, images)),
            "state": readings(programs, images),
            "latency": latencies(now.elements, found),
            "version": chain.number,
            "settled": chain.settled,
            "counters": counters({**found, **more}),
            "causes": causes(found),
            "recording": None if chain.recording is None else str(chain.recording.path),
        }

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        found = params.find(self._chain.programs, param)
        after = found.parse(value)
        before: list[object] = []
        self._chain.swap(found.element, found.put(after, before.append))
        return found.changed(before[-1], after)

    def record_start(self, path: str) -> Mapping[str, Any]:
        if self._chain.recording is not None:
            raise Refused(f"it records already, into {self._chain.recording.path}", "stop that first")
        try:
            recording = self._chain.record(Path(path))
        except FileExistsError:
            raise Refused(f"{path} is there already", "give a new name") from None
        except OSError as wrong:
            raise Refused(f"{path} cannot be written: {wrong.strerror}", "give another place") from wrong
        return {"path": path, "under_way": recording.under_way}

    def record_stop(self) -> Mapping[str, Any]:
        recording = self._chain.recording
        if recording is None:
            raise Refused("nothing is recorded", "begin with `transect rpc record FILE`")
        trailer = self._chain.end_record()
        return {"path": str(recording.path), "records": trailer.records, "dropped": trailer.dropped}

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        before = self._chain.number
        fields = self._chain.upgrade(Path(path), automatic_return)
        return {"before": before, "version": self._chain.number, "fields": fields}
