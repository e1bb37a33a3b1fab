# SPDX-License-Identifier: Apache-2.0
"""A fault of QEMU's emulation (TCG) that kills machines of several processors, told apart from what runs in them.

Linux patches its own code while other processors run it: a breakpoint over the first byte, the rest, then the first
byte.  QEMU drops its translations of that code *before* it stores a byte; a processor that arrives in between
translates the old one and keeps it.  When such a breakpoint is hit that is no longer in memory, the kernel dies.
Static keys are patched in this way, and loading or unloading a scheduler switches several of them.
"""

from __future__ import annotations

import re

WHY = (
    "QEMU's emulation killed the machine, not what ran in it: a breakpoint that the kernel had taken out of its own "
    "code was still in QEMU's translation of it"
)
STRAY = re.compile(r"Oops: int3:.*?Code: [^<]*?(?P<byte>[0-9a-f]{2}) <", re.DOTALL)
BREAKPOINT = "cc"


def killed_by(console: str) -> bool:
    """Whether the kernel died of a breakpoint which is not in its memory."""
    found = STRAY.search(console)
    return found is not None and found["byte"] != BREAKPOINT
