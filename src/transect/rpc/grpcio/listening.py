# SPDX-License-Identifier: Apache-2.0
"""The sockets by which operators reach what runs in an application."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from transect.base.unavailable import Unsafe
from transect.control.host import Host
from transect.control.operating import Operated
from transect.control.server import Server, Taken, Verb
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.host import GrpcioHost
from transect.rpc.grpcio.part import Part

log = logging.getLogger("transect.rpc")


def listen(chain: Attached, name: str) -> None:
    """Make a chain reachable by `transect rpc status`, `set`, `record` and `upgrade` under a name, until `close`."""
    chain.name = name
    chain.server = reachable("chain", name, GrpcioHost(chain), Part(chain).verbs())
    if chain.server is not None:
        chain.name = chain.server.name


def reachable(what: str, name: str, host: Host, more: Mapping[str, Verb] | None = None) -> Server | None:
    """Make a host reachable by the verbs of `transect rpc` under a name.

    `what`: its kind, for messages; `more`: further verbs.

    A failure here does not stop the service: where the name is taken, as by the first of several processes of one
    server, the host is `NAME-2`, `NAME-3` …; where no socket can be made, it has none.  A warning says so.  Raises
    ValueError for an invalid name.
    """
    try:
        server = Operated("rpc", name, host).serve(more, numbered=True)
    except (Taken, Unsafe, OSError) as wrong:
        log.warning(
            "the %s `%s` cannot be reached by `transect rpc status` and the like: %s", what, name, wrong
        )
        return None
    if server.name != name:
        log.warning("a %s `%s` runs already; this one is `%s`", what, name, server.name)
    return server
