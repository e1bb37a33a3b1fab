# SPDX-License-Identifier: Apache-2.0
"""`transect memory ps`."""

from __future__ import annotations

from transect.cli.memory.listing import listing
from transect.cli.memory.options import Kernel, Target


def ps(target: Target, kernel: Kernel = None) -> int:
    """Show the processes of a target, from its list of tasks and from its table of process numbers.

    `hidden` marks processes that are in only one of the two; the exit code is then 1.
    """
    return listing("ps", target, kernel)
