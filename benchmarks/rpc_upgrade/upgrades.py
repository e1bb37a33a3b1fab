# SPDX-License-Identifier: Apache-2.0
"""The process that upgrades: `python upgrades.py [--unnamed] NAME…`.  Each line of standard input has a chain file for
each of the named instances; prints a line when all is settled."""

from __future__ import annotations

import sys
from pathlib import Path

from transect.control.client import Client
from transect.rpc.versions.edge import STAGE_S, Edge


def main() -> None:
    unnamed = sys.argv[1] == "--unnamed"
    names = sys.argv[1 + unnamed :]
    clients = [Client("rpc", name, STAGE_S) for name in names]
    edge = Edge([client.ask for client in clients])
    if len(clients) > 1:
        edge.join()
    if unnamed:  # the toy: RPCs do not say which version they are for
        clients[0].ask("edge-join", version="1", stamps=False)
    print("ready", flush=True)
    for line in sys.stdin:
        files = [Path(word) for word in line.split()]
        if len(files) > 1:
            edge.upgrade(files)
        else:
            clients[0].upgrade(files[0], automatic_return=False)
        print("done", flush=True)


if __name__ == "__main__":
    main()
