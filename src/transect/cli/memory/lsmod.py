# SPDX-License-Identifier: Apache-2.0
"""`transect memory lsmod`."""

from __future__ import annotations

from transect.cli.memory.listing import listing
from transect.cli.memory.options import Kernel, Target


def lsmod(target: Target, kernel: Kernel = None) -> int:
    """Show the modules of a target, from its list of modules, from sysfs and from the tree of addresses.

    `hidden` marks modules that are not in the list; the exit code is then 1.
    """
    return listing("lsmod", target, kernel)
