# SPDX-License-Identifier: Apache-2.0
"""The demonstration: bob floods a stack of real parts, alice sends a trickle; then both flood it with calls."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.cpu.kernel import Ended
from transect.demos.paint import GREEN, YELLOW, painted
from transect.demos.shown import Shown
from transect.demos.stack import picture, table
from transect.demos.stack.cores import Cores
from transect.demos.stack.files import ALL, NONE, SHOP, Files
from transect.demos.stack.load import CALLS, FLOOD, QUIET, TRICKLE
from transect.demos.stack.seen import Seen
from transect.demos.stack.whole import begun
from transect.emit.c import toolchain
from transect.linux.libbpf import BpfError
from transect.rpc.envoy import binary
from transect.stack.running import NotBegun
from transect.vm import VmError

SECONDS = 2.5  # of a load
LATEST_S = 45.0  # into the demonstration; later than that, its last part would take too long
ALONE = {"alice": TRICKLE, "bob": QUIET}
FLOODED = {"alice": TRICKLE, "bob": FLOOD}
BOTH = {"alice": CALLS, "bob": CALLS}

Say = Callable[[str], None]


def run(say: Say = print, *, color: bool = False, drawn: Path | None = None) -> Shown:
    """The demo; right when alice waits less than half as long where all layers share, and those who flood are served
    by their weights.  `drawn`: where to write its picture."""
    began = time.monotonic()
    envoy, missing = _envoy()
    stand_ins = ["clients that vouch for themselves, for Envoy"] if missing else []

    def lacking(text: str) -> None:
        say(painted(f"  {text}", YELLOW, color))

    say(painted(f"stack: {_parts(envoy)}", GREEN, color))
    if missing:
        lacking(f"no chain in Envoy, for lack of {missing}: clients vouch for themselves")
    try:
        with Cores() as cores:
            seen = _seen(bool(envoy), cores)
            for line in table.lines(seen):
                say(line)
            shared = _cpu(cores, began, say, lacking)
    except NotBegun as problem:
        say(painted(f"stack: it does not begin: {problem}", YELLOW, color))
        return Shown(False)
    if shared is None:
        stand_ins.append("nothing for the CPU's part of the stack")
    if drawn is not None:
        drawn.write_text(picture.drawn(seen))
        say(f"  drawn: {drawn}")
    say(f"\n{time.monotonic() - began:.1f} s.  Try next:")
    say("  transect demo stack --picture stack.svg   the same as a picture")
    say("  transect run stack.py                     a stack of your own (docs/stack.md)")
    return Shown(seen.right and shared is not False, tuple(stand_ins))


def _cpu(cores: Cores, began: float, say: Say, lacking: Say) -> bool | None:
    """Whether alice's requests are done sooner where the scheduler knows whose they are; None: this is not shown."""
    if time.monotonic() - began > LATEST_S:
        lacking(f"the CPU's part is left out: this machine is busy, and has taken {LATEST_S:.0f} s so far")
        return None
    try:
        found = cores.seen()
    except Unavailable as why:
        lacking(f"the CPU's part is left out, for lack of {why}")
        return None
    except (VmError, BpfError, Ended) as problem:
        lacking(f"the machine of the CPU's part failed: {problem}")
        return False
    for line in table.cores(found):
        say(line)
    return found.right


def _envoy() -> tuple[str, str]:
    """Envoy's version, and what is missing to run a chain in it: one of the two is empty."""
    try:
        toolchain.compiler()
        return binary.find().version, ""
    except Unavailable as lacking:
        return "", str(lacking)


def _parts(envoy: str) -> str:
    chain = f"Envoy {envoy} with a chain → " if envoy else ""
    return f"clients → {chain}a gRPC service → a gateway → a stand-in for an engine, which computes"


def _seen(envoy: bool, cores: Cores) -> Seen:
    """Run the loads one by one, under each way of sharing.  Raises `NotBegun`, `Unavailable`."""
    with tempfile.TemporaryDirectory(prefix="transect-demo-") as folder:
        with begun(Files(Path(folder), envoy), NONE) as whole:
            cores.wait()  # booting takes processor time that alice's calls would miss
            alone = whole.loaded("alice alone", ALONE, SECONDS)
            flooded = [whole.loaded(NONE.name, FLOODED, SECONDS)]
            both = [whole.loaded(NONE.name, BOTH, SECONDS)]
            for sharing in (SHOP, ALL):
                whole.share(sharing)
                flooded.append(whole.loaded(sharing.name, FLOODED, SECONDS))
            both.append(whole.loaded(ALL.name, BOTH, SECONDS))
    return Seen(alone, flooded, both)
