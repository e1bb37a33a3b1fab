# SPDX-License-Identifier: Apache-2.0
"""The cpu stratum: what its policies import.  The modules beside this one put policies in force.

Names are imported when they are first asked for: the loader, which may run in emulation, needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transect.cpu.hooks import (
        Fifo,
        Fifos,
        Hint,
        Lanes,
        NodeFifos,
        NodeTimelines,
        Said,
        Scheduler,
        Task,
        Timeline,
        Timelines,
        cpus,
        here,
        idle_cpu,
        node_of,
        nodes,
        preempt,
        set_alarm,
        start,
        start_first,
        wake_cpu,
    )

__all__ = [
    "Fifo",
    "Fifos",
    "Hint",
    "Lanes",
    "NodeFifos",
    "NodeTimelines",
    "Said",
    "Scheduler",
    "Task",
    "Timeline",
    "Timelines",
    "cpus",
    "here",
    "idle_cpu",
    "node_of",
    "nodes",
    "preempt",
    "set_alarm",
    "start",
    "start_first",
    "wake_cpu",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("transect.cpu.hooks"), name)
