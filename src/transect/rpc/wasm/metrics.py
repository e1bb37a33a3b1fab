# SPDX-License-Identifier: Apache-2.0
"""What a plugin in Envoy reports: counters as Envoy's metrics; records and states, when it records, as lines of Envoy's
log."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.base.bounded import lines
from transect.rpc.chain.record import Record
from transect.rpc.chain.status import COUNTERS
from transect.rpc.chain.times import BUCKETS
from transect.rpc.envoy.process import Envoy

PATIENCE_S = 10.0
LONGEST = 64 << 20  # bytes of a line: a state, or a call with its messages
_LINE = re.compile(rb"transect-(?P<kind>record|state|told) (?P<rest>[^\r\n]*)")
TOLD = (*COUNTERS, "finishes", "bad_headers")


class Silent(Exception):
    """The plugin reports nothing any more, or a line that is too long."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the plugin of a running Envoy has reported so far."""

    envoy: Envoy
    elements: int
    version: int = 0  # of the chain, when there may be several
    workers: int = 1  # each has a machine of its own, and Envoy's main thread has one that sees no RPC

    @property
    def log(self) -> Path:
        return self.envoy.log

    def counters(self) -> dict[str, Any]:
        """Totals over all workers, a second old at most; some are lists by element."""
        found = json.loads(self.envoy.admin("/stats?format=json&filter=transect%5C."))["stats"]
        prefix = f"transect.{self.version}." if self.version else "transect."
        values = {s["name"].partition(prefix)[2]: s["value"] for s in found if "name" in s}
        by_element = {
            name: [values.get(f"{name}.{i}", 0) for i in range(self.elements)]
            for name in ("rejected", "responded", "withheld")
        }
        causes = [values.get(f"causes.{i}", 0) for i in range(5)]
        times = [_times(values, which) for which in range(1 + self.elements)]
        plain = {name: values.get(name, 0) for name in TOLD}
        open = {"open": plain["rpcs"] - plain["finishes"]}
        return plain | open | by_element | {"causes": causes, "times": times}

    def wait(self) -> None:
        """Wait until the plugin has reported everything that happened before.  Raises Silent."""
        since, until = time.monotonic_ns(), time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            last = {machine: int(rest[0]) for machine, rest in self._of(b"told")}
            if len(last) > self.workers and min(last.values()) > since:
                return
            time.sleep(0.02)
        raise Silent(f"the plugin has not said anything for {PATIENCE_S:g} s")

    def states(self) -> dict[int, bytes]:
        """The last image of each element, in the one machine that has seen an RPC; empty when no machine has."""
        seen = {machine for machine, rest in self._of(b"told") if int(rest[1])}
        assert len(seen) < 2, "each worker has states of its own"
        return {
            int(element): _bytes(image)
            for machine, (element, image, *_) in self._of(b"state")
            if machine in seen
        }

    def records(self) -> Iterator[Record]:
        """Handler calls, in the order in which they ended."""
        for _, fields in self._of(b"record"):
            sequence, rpc, element, hook = map(int, fields[:4])
            yield Record(sequence, rpc, element, hook, *map(_bytes, fields[4:7]))

    def _of(self, wanted: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
        """The log's lines of that kind: for each, the machine and the fields after it."""
        for line in lines(self.log, LONGEST):
            found = _LINE.search(line)
            if found is None or found["kind"] != wanted:
                continue
            if not line.endswith(b"\n"):
                raise Silent(f"a line of its log has more than {LONGEST:,} bytes")
            machine, *fields = found["rest"].split(b" ")
            yield machine, fields


def _times(values: Mapping[str, int], which: int) -> tuple[int, list[int]]:
    """The times of whole RPCs (0), or of an element, as `times.Times.of` takes them."""
    name = f"took.{which}"
    buckets = ((index, values.get(f"{name}.{index}", 0)) for index in range(BUCKETS))
    return values.get(name, 0), [number for pair in buckets if pair[1] for number in pair]


def _bytes(text: bytes) -> bytes:
    return b"" if text == b"-" else base64.b64decode(text, validate=True)
