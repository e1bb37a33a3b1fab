# SPDX-License-Identifier: Apache-2.0
"""What was seen, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from transect.demos.stack.cores import Requests
from transect.demos.stack.seen import Seen, Window


def lines(seen: Seen) -> Iterator[str]:
    yield "  alice sends a trickle, bob floods RPCs and prompts"
    yield f"  {'':26}alice, end to end            bob"
    yield f"  {'':26}{'p50':>8}  {'p99':>8}  {'answers/s':>15}"
    yield _waits(seen.alone, "alice alone") + f"{'—':>17}"
    for window in seen.flooded:
        yield _waits(window, window.sharing) + f"{window.bobs_rate:17.0f}"
    yield "  both flood it with RPCs; alice weighs 400, bob 100"
    yield f"  {'':26}what is served, alice : bob"
    yield f"  {'':26}" + "  ".join(f"{f'at the {layer}':>15}" for layer in seen.both[0].shares)
    for window in seen.both:
        shares = "  ".join(f"{ratio(share):>15}" for share in window.shares.values())
        yield f"  {window.sharing:26}{shares}"
    for why in sorted(set(seen.failed)):
        yield f"  FAILED: {why}"


def cores(found: Requests) -> Iterator[str]:
    """The CPU's part."""
    how = "under KVM" if found.kvm else "emulated"
    yield f"  one CPU of a machine of its own, Linux {found.release} ({how}): three hogs of bob's, alice's 10 ms take"
    for scheduler, took_s in found.took_s.items():
        yield f"  {scheduler:26}{took_s * 1000:5.0f} ms"


def _waits(window: Window, name: str) -> str:
    alice = window.alice
    return f"  {name:26}{alice.p50_s * 1000:5.0f} ms  {alice.p99_s * 1000:5.0f} ms"


def ratio(share: float | None) -> str:
    """Alice's share to bob's, in percent."""
    return "all are one" if share is None else f"{share * 100:.0f} : {(1 - share) * 100:.0f}"
