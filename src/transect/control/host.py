# SPDX-License-Identifier: Apache-2.0
"""What whatever runs a policy offers to the operator, the same in every stratum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Verb = Callable[..., Any]


class Host(Protocol):
    """A running policy, or chain of them.  Values are plain: what JSON can say.

    Each raises `Refused` for a no, `Unavailable` for what this host or machine lacks.
    """

    def status(self) -> Mapping[str, Any]:
        """What runs (`policies` with version and schema hash), since when, its counters, whether it records."""
        ...

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        """Give a parameter (`limit`, or `Acl.limit`) the value that the text says; the values before and after."""
        ...

    def record_start(self, path: str) -> Mapping[str, Any]:
        """Write every handler call into a new log at the path, as the host sees it."""
        ...

    def record_stop(self) -> Mapping[str, Any]:
        """Close the log: its path, `records`, `dropped`."""
        ...

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        """Put the policies of a file in the place of those that run, state kept; what became of each field."""
        ...


def verbs_of(host: Host) -> dict[str, Verb]:
    """The verbs of a host, for `Server`."""
    return {
        "status": host.status,
        "set": host.set,
        "record-start": host.record_start,
        "record-stop": host.record_stop,
        "upgrade": host.upgrade,
    }
