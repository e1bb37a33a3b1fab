# SPDX-License-Identifier: Apache-2.0
"""The cpu stratum: what its policies import.  What puts them in force is in the modules beside."""

from transect.cpu.hooks import (
    Fifo,
    Fifos,
    Scheduler,
    Task,
    Timeline,
    Timelines,
    cpus,
    idle_cpu,
    preempt,
    start,
    start_first,
    wake_cpu,
)

__all__ = [
    "Fifo",
    "Fifos",
    "Scheduler",
    "Task",
    "Timeline",
    "Timelines",
    "cpus",
    "idle_cpu",
    "preempt",
    "start",
    "start_first",
    "wake_cpu",
]
