# SPDX-License-Identifier: Apache-2.0
"""How packets of RoCEv2 go: over an ordinary UDP socket, or as whole Ethernet frames over QEMU's datagram netdev.

The UDP socket writes IP headers itself only as far as the kernel lets it: it forbids fragments, so that the packet's
number is 0, which the ICRC covers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import Protocol

from transect.memory.roce.packet import DO_NOT_FRAGMENT, IP, PORT, UDP, Ends

ARP = struct.Struct(">HHBBH6s4s6s4s")
FRAME = struct.Struct(">6s6sH")
TYPE_IP, TYPE_ARP = 0x0800, 0x0806
IP_MTU_DISCOVER, PROHIBIT_FRAGMENTS = 10, 2
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
    """A UDP socket to a peer on the network; no privileges."""

    def __init__(self, peer: str) -> None:
        """Raises OSError: no route, or the port of RoCE is taken here."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROHIBIT_FRAGMENTS)
        self._socket.bind(("", PORT))
        self._socket.connect((peer, PORT))  # packets of others do not arrive
        own, port = self._socket.getsockname()
        self.ends = Ends(socket.inet_aton(own), socket.inet_aton(socket.gethostbyname(peer)), port)

    def send(self, packet: bytes) -> None:
        self._socket.send(packet[IP.size + UDP.size :])

    def receive(self, timeout_s: float) -> bytes | None:
        """The socket keeps the headers to itself: they are put together again, as they must have been."""
        self._socket.settimeout(max(timeout_s, 0.0001))
        try:
            data = self._socket.recv(LARGEST)
        except (TimeoutError, ConnectionRefusedError):
            return None
        size = IP.size + UDP.size + len(data)
        head = IP.pack(0x45, 0, size, 0, DO_NOT_FRAGMENT, 64, 17, 0, self.ends.peer, self.ends.own)
        return head + UDP.pack(PORT, PORT, UDP.size + len(data), 0) + data

    def close(self) -> None:
        self._socket.close()


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
        self._peer_mac = b"\xff" * 6  # until its first packet says it
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
        """Who asks for our address is told."""
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
