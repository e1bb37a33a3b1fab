# SPDX-License-Identifier: Apache-2.0
"""How packets of RoCEv2 travel: over an ordinary UDP socket, or as whole Ethernet frames over QEMU's datagram netdev.

With a UDP socket, IP headers are the kernel's.  The socket forbids fragments, so that the identification of our
packets, which the ICRC covers, is 0; that of the peer's packets, which the kernel does not pass on, follows from their
ICRC.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from transect.memory.roce.packet import BTH, DO_NOT_FRAGMENT, ICRC, IP, PORT, UDP, Ends

ARP = struct.Struct(">HHBBH6s4s6s4s")
FRAME = struct.Struct(">6s6sH")
TYPE_IP, TYPE_ARP = 0x0800, 0x0806
IP_MTU_DISCOVER, PROHIBIT_FRAGMENTS = 10, 2
SO_NO_CHECK = 11  # no checksum of UDP: on a link to a virtual machine the kernel would leave it half done
LARGEST = 65536


class Transport(Protocol):
    """Sends and receives IP packets."""

    ends: Ends

    def send(self, packet: bytes) -> None:
        """A whole IP packet."""
        ...

    def receive(self, timeout_s: float) -> bytes | None:
        """The next IP packet; None when none came in time."""
        ...

    def close(self) -> None: ...


class Udp:
    """A UDP socket to a peer on the network; no privileges.

    It is not connected: a connected socket numbers its packets, and the ICRC covers that number; and it receives only
    from one port of the peer, while RDMA devices send from many.
    """

    def __init__(self, peer: str) -> None:
        """Raises OSError: no route, or the port of RoCE is taken here."""
        self._peer = (socket.gethostbyname(peer), PORT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
            route.connect(self._peer)
            own = route.getsockname()[0]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROHIBIT_FRAGMENTS)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        try:
            self._socket.bind((own, PORT))
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._waiting = select.poll()
        self._waiting.register(self._socket, select.POLLIN)
        self.ends = Ends(socket.inet_aton(own), socket.inet_aton(self._peer[0]), numbers=False)

    def send(self, packet: bytes) -> None:
        self._socket.sendto(packet[IP.size + UDP.size :], self._peer)

    def receive(self, timeout_s: float) -> bytes | None:
        """The socket passes no headers on, so they are rebuilt as they must have been."""
        try:
            data, (source, port) = self._socket.recvfrom(LARGEST)
        except BlockingIOError:
            if not self._waiting.poll(max(timeout_s * 1000, 0.1)):
                return None
            try:
                data, (source, port) = self._socket.recvfrom(LARGEST)
            except (BlockingIOError, ConnectionRefusedError):
                return None
        except ConnectionRefusedError:
            return None
        if source != self._peer[0] or len(data) < BTH.size + ICRC:
            return b""
        return _front(self.ends, port, len(data)) + data

    def close(self) -> None:
        self._socket.close()


@lru_cache(maxsize=4096)
def _front(ends: Ends, port: int, size: int) -> bytes:
    """The IP and UDP headers of a packet with `size` bytes behind them, from that port of the peer."""
    whole = IP.size + UDP.size + size
    head = IP.pack(0x45, 0, whole, 0, DO_NOT_FRAGMENT, 64, 17, 0, ends.peer, ends.own)
    return head + UDP.pack(port, PORT, UDP.size + size, 0)


class Frames:
    """Ethernet frames over a pair of Unix datagram sockets: `-netdev dgram` of QEMU.  No privileges, no network."""

    MAC = bytes.fromhex("525400aa0001")

    def __init__(self, own: Path, theirs: Path, ends: Ends) -> None:
        """`own` is where QEMU sends, `theirs` where it listens.  Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            own.unlink()
        self._path = own
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(own))
        os.chmod(own, 0o600)
        self._theirs = str(theirs)
        self._peer_mac = b"\xff" * 6  # until its first packet shows it
        self.ends = ends

    def send(self, packet: bytes) -> None:
        self._send(FRAME.pack(self._peer_mac, self.MAC, TYPE_IP) + packet)

    def _send(self, frame: bytes) -> None:
        self._socket.sendto(frame.ljust(60, b"\0"), self._theirs)

    def receive(self, timeout_s: float) -> bytes | None:
        self._socket.settimeout(max(timeout_s, 0.0001))
        try:
            frame = self._socket.recv(LARGEST)
        except TimeoutError:
            return None
        if len(frame) < FRAME.size:
            return b""
        target, source, kind = FRAME.unpack_from(frame)
        if kind == TYPE_ARP:
            self._answer_arp(frame[FRAME.size :])
        if kind != TYPE_IP or target != self.MAC:
            return b""
        self._peer_mac = source
        return frame[FRAME.size :]

    def _answer_arp(self, data: bytes) -> None:
        """Answer a request for our address."""
        if len(data) < ARP.size:
            return
        *kind, operation, mac, address, _, wanted = ARP.unpack_from(data)
        if operation == 1 and wanted == self.ends.own and address == self.ends.peer:
            reply = ARP.pack(*kind, 2, self.MAC, self.ends.own, mac, address)
            self._send(FRAME.pack(mac, self.MAC, TYPE_ARP) + reply)

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
