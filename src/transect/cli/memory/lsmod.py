# SPDX-License-Identifier: Apache-2.0
"""`transect memory lsmod`."""

from __future__ import annotations

from transect.cli.memory.listing import listing
from transect.cli.memory.options import Kernel, Target


def lsmod(target: Target, kernel: Kernel = None) -> int:
    """The modules of a target, by its list, by sysfs and by the tree of addresses.

    `hidden` marks those which the list does not know; the exit code is then 1.
    """
    return listing("lsmod", target, kernel)
