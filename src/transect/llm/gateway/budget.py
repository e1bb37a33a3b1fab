# SPDX-License-Identifier: Apache-2.0
"""Descriptors of the process, divided: clients never take those that operators, engines and files need.

A request that runs has a connection of its client and one to its engine, so there is one connection to an engine for
every two of clients; a request that finds none free waits in the queue.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from transect.base.unavailable import Unavailable
from transect.llm.gateway.settings import Limits

FILES = 64  # descriptors of the process itself: files, control socket, store, looks at engines, an upgrade's compiler
OPERATORS = 32  # connections to the admin listener
LEAST = 32  # connections of clients
MOST = 16_384  # of clients, where the configuration says nothing
ENDLESS = 1 << 20  # descriptors, where the system sets no limit


@dataclass(frozen=True, slots=True)
class Budget:
    """Connections at the same time, at most."""

    clients: int
    engines: int

    @property
    def descriptors(self) -> int:
        return self.clients + self.engines + OPERATORS + FILES


def budget(limits: Limits, descriptors: int) -> Budget:
    """What a process with so many descriptors can do.  Raises `Unavailable` where that is less than is wanted."""
    left = descriptors - OPERATORS - FILES
    clients = min(MOST, left * 2 // 3) if limits.connections == "auto" else limits.connections
    found = Budget(clients, (clients + 1) // 2)
    if clients < LEAST or found.descriptors > descriptors:
        wanted = LEAST if limits.connections == "auto" else max(LEAST, clients)
        needs = Budget(wanted, (wanted + 1) // 2).descriptors
        raise Unavailable(
            f"{wanted} connections of clients",
            f"they need {needs} descriptors, and the process may have {descriptors}",
            f"`ulimit -n {needs}`, LimitNOFILE= of the unit, or fewer `limits.connections`",
        )
    return found


def claimed(limits: Limits) -> Budget:
    """The budget of this process, after raising its soft limit of descriptors as far as needed.  Raises
    `Unavailable`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = budget(limits, ENDLESS if hard == resource.RLIM_INFINITY else hard)
    if found.descriptors > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (found.descriptors, hard))
    return found
