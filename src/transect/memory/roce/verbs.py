# SPDX-License-Identifier: Apache-2.0
"""Memory that another machine granted, by this machine's RDMA card and the system's verbs library (libibverbs).

The card numbers its queue pairs itself, so it is introduced to the target by the connection manager (librdmacm); the
rest is one-sided READs.  The C beside it (`runtime/verbs.c`) is compiled at first use, where the libraries are.
"""

from __future__ import annotations

import ctypes as ct
import socket
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.linux.errors import KernelDataError
from transect.memory.native.build import loaded
from transect.memory.roce.grant import Grant, GrantedMemory
from transect.memory.roce.requester import PeerGone

WHAT = "an RDMA card"
INSTALL = "as root: apt-get install gcc libibverbs-dev librdmacm-dev ibverbs-providers"
HEADER = Path("/usr/include/rdma/rdma_cma.h")


@cache
def library() -> ct.CDLL:
    """Raises `Unavailable` without the libraries, or a compiler."""
    if not HEADER.is_file():
        raise Unavailable(WHAT, f"there is no {HEADER}", INSTALL)
    source = (files("transect.memory") / "runtime" / "verbs.c").read_bytes()
    lib = loaded(WHAT, {"verbs.c": source}, "verbs", libraries=("rdmacm", "ibverbs"))
    lib.tv_open.restype, lib.tv_open.argtypes = ct.c_void_p, [ct.c_uint32, ct.c_uint16]
    lib.tv_wrong.restype, lib.tv_wrong.argtypes = ct.c_char_p, [ct.c_void_p]
    lib.tv_close.restype, lib.tv_close.argtypes = None, [ct.c_void_p]
    lib.tv_read.restype = ct.c_bool
    lib.tv_read.argtypes = [ct.c_void_p, ct.c_uint32, ct.c_uint32, ct.c_void_p, ct.c_void_p, ct.c_char_p]
    return lib


class VerbsMemory(GrantedMemory):
    """Physical memory of a machine that granted it, by an RDMA card."""

    def __init__(self, grant: Grant, host: str) -> None:
        """Raises `Unavailable` (no card, no libraries), `PeerGone`, OSError: no such host."""
        super().__init__(grant)
        if not library().tv_devices():
            raise Unavailable(WHAT, "this machine has none", "leave `via=verbs` away: packets need no card")
        if not grant.port:
            raise KernelDataError(
                "the grant names no port for RDMA cards: on the target, load grant.ko with port=18515"
            )
        self._host, self._address = host, socket.inet_aton(socket.gethostbyname(host))
        self._connection = ct.c_void_p()
        self._connect()

    def _connect(self) -> None:
        there = int.from_bytes(self._address, "little")  # the bytes as they lie in memory
        self._connection = ct.c_void_p(library().tv_open(there, self.grant.port))
        if not self._connection:
            raise MemoryError
        self._check()

    def _check(self) -> None:
        """A connection in which something went wrong is of no more use; the next read makes a new one."""
        wrong = library().tv_wrong(self._connection)
        if wrong:
            self.close()
            raise PeerGone(f"{self._host}: {wrong.decode(errors='replace')}")

    def _fetch(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        if not self._connection:
            self._connect()
        whole = [place for place in places if place[1]]
        addresses = (ct.c_uint64 * len(whole))(*(address for address, _ in whole))
        sizes = (ct.c_uint64 * len(whole))(*(size for _, size in whole))
        into = ct.create_string_buffer(sum(sizes))
        library().tv_read(self._connection, self.grant.key, len(whole), addresses, sizes, into)
        self._check()
        data, read, at = into.raw, [], 0
        for _, size in places:
            read.append(data[at : at + size])
            at += size
        return read

    def close(self) -> None:
        """End the connection."""
        if self._connection:
            library().tv_close(self._connection)
        self._connection = ct.c_void_p()
