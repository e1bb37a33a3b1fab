# SPDX-License-Identifier: Apache-2.0
"""What probes ask about a kernel besides its structures: symbols and code."""

from __future__ import annotations

from transect.memory.machine import Machine


class Answers:
    """The functions with arguments of `transect.memory.linux`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def symbol(self, name: str) -> int:
        """Where a symbol of the kernel is now."""
        return self.machine.symbol(name)
