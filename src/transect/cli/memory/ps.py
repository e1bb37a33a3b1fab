# SPDX-License-Identifier: Apache-2.0
"""`transect memory ps`."""

from __future__ import annotations

from transect.cli.memory.listing import listing
from transect.cli.memory.options import Kernel, Target


def ps(target: Target, kernel: Kernel = None) -> int:
    """The processes of a target, by its list of tasks and its table of process numbers.

    `hidden` marks those which only one of the two knows; the exit code is then 1.
    """
    return listing("ps", target, kernel)
