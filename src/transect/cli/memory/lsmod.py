# SPDX-License-Identifier: Apache-2.0
"""`transect memory lsmod`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transect.cli.memory.listing import listing
from transect.cli.memory.opening import Kernel, Target, with_target

if TYPE_CHECKING:
    from transect.memory.machine import Machine


def lsmod(target: Target, kernel: Kernel = None) -> int:
    """The modules of a target, by its list, by sysfs and by the tree of addresses.

    `hidden` marks those which the list does not know; the exit code is then 1.
    """

    def work(machine: Machine) -> int:
        return listing(machine, "Modules", ("name", "text", "size", "taints", "hidden"))

    return with_target(target, kernel, work)
