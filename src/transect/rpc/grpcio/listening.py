# SPDX-License-Identifier: Apache-2.0
"""The socket by which an attached chain is reachable for operators."""

from __future__ import annotations

import logging

from transect.control.operating import Operated
from transect.control.server import Taken
from transect.control.sockets import Unsafe
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.host import GrpcioHost
from transect.rpc.grpcio.part import Part

log = logging.getLogger("transect.rpc")


def listen(chain: Attached, name: str) -> None:
    """Make a chain reachable by `transect rpc status`, `set`, `record` and `upgrade` under a name, until `close`.

    The service matters more than who looks after it: where the name is taken, as by the first of several processes
    of one server, it is `NAME-2`, `NAME-3` …, and where no socket can be made there is none; a warning says so.
    Raises ValueError for a name that cannot be one.
    """
    chain.name = name
    try:
        operated = Operated("rpc", name, GrpcioHost(chain))
        chain.server = operated.serve(Part(chain).verbs(), numbered=True)
    except (Taken, Unsafe, OSError) as wrong:
        log.warning("the chain `%s` cannot be reached by `transect rpc status` and the like: %s", name, wrong)
        return
    chain.name = chain.server.name
    if chain.name != name:
        log.warning("a chain `%s` runs already; this one is `%s`", name, chain.name)
