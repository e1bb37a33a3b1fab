# SPDX-License-Identifier: Apache-2.0
"""Run inside of a machine with an RDMA card: reads what the machine granted to itself, by verbs, and says what came.

It imports little: an emulated machine takes its time for that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from transect.linux.errors import KernelDataError
from transect.memory.roce.grant import Grant
from transect.memory.roce.verbs import VerbsMemory

CARD = Path("/sys/class/net/eth0/address")


def main(host: str, told: str, at: str, module: str) -> dict[str, str | int]:
    """What was read, and what was refused; the grant is taken back meanwhile, and given to somebody else."""
    memory, base = VerbsMemory(Grant.parse(Path(told).read_text()), host), int(at)
    places = [(base + 3000 * i, 2500) for i in range(64)] + [(base, 1 << 20), (base, 0)]
    said: dict[str, str | int] = {}
    said["read"] = zlib.crc32(b"".join(memory.read_many(places)))
    said["outside"] = wrong(lambda: memory.read(max(r.end for r in memory.ranges), 8))
    key, memory.grant = memory.grant, replace(memory.grant, key=memory.grant.key + 1)
    said["key"] = wrong(lambda: memory.read(base, 8))
    memory.grant = key
    said["again"] = zlib.crc32(memory.read(base, 4096))
    with lost():
        said["lost"] = wrong(lambda: memory.read(base, 8))
    said["found"] = zlib.crc32(memory.read(base, 4096))
    said["nobody"] = wrong(lambda: VerbsMemory(memory.grant, "10.99.0.77"))
    run("rmmod grant")
    said["taken back"] = wrong(lambda: memory.read(base, 8))
    said["gone"] = wrong(lambda: memory.read(base, 8))
    run("ip neigh replace 10.99.0.9 lladdr 52:54:00:aa:00:09 dev eth0")
    run(f"insmod {module} device=eth0 peer=10.99.0.9 port={memory.grant.port}")
    said["another's"] = wrong(lambda: memory.read(base, 8))
    memory.close()
    return said


@contextmanager
def lost() -> Iterator[None]:
    """Packets to the card's address leave the machine, and nobody is there."""
    own = CARD.read_text().strip()
    run("ip link set dev eth0 address 52:54:00:aa:00:08")
    try:
        yield
    finally:
        run(f"ip link set dev eth0 address {own}")


def run(words: str) -> None:
    subprocess.run(["/usr/bin/env", "PATH=/usr/sbin:/sbin", *words.split()], check=True, timeout=30)


def wrong(read: Callable[[], object]) -> str:
    """Why it cannot be; "": it can."""
    try:
        read()
    except KernelDataError as error:
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
