# SPDX-License-Identifier: Apache-2.0
"""`transect memory ps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transect.cli.memory.listing import listing
from transect.cli.memory.opening import Kernel, Target, with_target

if TYPE_CHECKING:
    from transect.memory.machine import Machine


def ps(target: Target, kernel: Kernel = None) -> int:
    """The processes of a target, by its list of tasks and its table of process numbers.

    `hidden` marks those which only one of the two knows; the exit code is then 1.
    """

    def work(machine: Machine) -> int:
        return listing(machine, "Processes", ("pid", "parent", "uid", "state", "comm", "hidden"))

    return with_target(target, kernel, work)
