# SPDX-License-Identifier: Apache-2.0
"""How `status`, `set`, `record` and `upgrade` reach a running policy: one socket protocol for all strata.

Whatever runs a policy opens a `Server` with the verbs it has; the command line asks through a `Client`.
"""

from transect.control.client import Client, ControlError
from transect.control.host import Host, verbs_of
from transect.control.protocol import Refused
from transect.control.server import Server, Taken
from transect.control.sockets import folder, found, socket_path

__all__ = [
    "Client",
    "ControlError",
    "Host",
    "Refused",
    "Server",
    "Taken",
    "folder",
    "found",
    "socket_path",
    "verbs_of",
]
