# SPDX-License-Identifier: Apache-2.0
"""A witness on a real carrier: both arrangements, and whether they really differ."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from transect.base.temporary import Temporary
from transect.core.ir import Program
from transect.rpc.equivalence.levels import Level
from transect.rpc.equivalence.sendable import Unsendable, check_headers
from transect.rpc.equivalence.simulate import Arranged, observed
from transect.rpc.equivalence.streams import Ends, Run, Witness
from transect.rpc.trying.carriers import Carrier
from transect.rpc.trying.sending import sent

MARGIN = 5 * 10**7  # ns: how exactly waiting is measured


@dataclass(frozen=True)
class Tried:
    """What came of a counter-example on a carrier."""

    carrier: Carrier
    witness: Witness
    real: tuple[Run, Run]
    level: Level

    @property
    def differs(self) -> bool:
        """Whether the two arrangements treat the stream differently, on the carrier, at the level."""
        a, b = (observed(run, self.level is not Level.LOOSE) for run in self.real)
        pairs = zip(a.seen, b.seen, strict=True)
        told = any(x.what != y.what or _apart(x.after, y.after) for x, y in pairs)
        return told or (self.level is Level.IDENTICAL and dict(a.state) != dict(b.state))

    @property
    def as_interpreted(self) -> bool:
        """Whether the carrier did just what the interpreter says; it may hold back a message for longer."""
        pairs = [
            (x, y)
            for real, said in zip(self.real, self.witness.runs, strict=True)
            for x, y in zip(real.seen, said.seen, strict=True)
        ]
        return all(x.what == y.what and _held_as(x.after, y.after) for x, y in pairs)

    def table(self) -> str:
        why = f"seen on {self.carrier}: " + ("the arrangements differ" if self.differs else "no difference")
        return replace(self.witness, runs=self.real, why=why).table()


def _apart(a: int, b: int) -> bool:
    """Whether one was held back and the other was not, or was clearly longer; both measured, in ns."""
    a, b = sorted((a, b))
    return (a == 0) != (b == 0) or (b > 1.5 * a and b - a > MARGIN)


def _held_as(measured: int, said: int) -> bool:
    return (measured == 0) == (said == 0) and measured > said - MARGIN


def tried(
    programs: Mapping[str, Program],
    witness: Witness,
    arranged: tuple[Arranged, Arranged],
    level: Level,
    carrier: Carrier = Carrier.ENVOY,
) -> Tried:
    """Send a counter-example through both arrangements.  Raises Unsendable, Unavailable, EnvoyFailed."""
    check_headers(witness.stream)
    if witness.ends is Ends.LATER:
        raise Unsendable("an RPC's end would have to wait for another RPC, which no carrier can be told")
    with Temporary("transect-try-") as folder, ThreadPoolExecutor(2) as both:

        def send(number: int) -> Run:
            return sent(programs, witness, arranged[number], carrier, Path(folder) / str(number))

        a, b = both.map(send, (0, 1))
    return Tried(carrier, witness, (a, b), level)
