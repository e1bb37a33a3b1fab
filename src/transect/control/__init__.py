# SPDX-License-Identifier: Apache-2.0
"""How `status`, `set`, `record` and `upgrade` reach a running policy: one socket protocol for all strata.

Whatever runs a policy is a `Host`; `Operated` turns its methods into verbs, and serves them.  The command line asks
through a `Client`, and both know the answers by `answers`.
"""

from transect.control.client import Client, ControlError
from transect.control.host import Host
from transect.control.operating import Operated
from transect.control.protocol import Refused
from transect.control.server import Server, Taken
from transect.control.sockets import folder, found, socket_path

__all__ = [
    "Client",
    "ControlError",
    "Host",
    "Operated",
    "Refused",
    "Server",
    "Taken",
    "folder",
    "found",
    "socket_path",
]
