# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand, for what no library lets one do: DATA frames of one byte, frames cut anywhere, resets at will.

Headers go out as literals without Huffman coding; coming in, the peer is told to use no table of its own.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INTERNAL_ERROR, CANCEL = 2, 8  # of RST_STREAM

Headers = dict[str, str]

# RFC 7541, appendix B is a canonical code: the lengths of the printable characters say all.
LENGTHS = {
    5: "012aceiost",
    6: " %-./3456789=A_bdfghlmnpru",
    7: ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: "&*,;XZ",
    10: '!"()?',
    11: "'+|",
    12: "#>",
    13: "\0$@[]~",
    14: "^}",
    15: "<`{",
}
# fmt: off
STATIC = [
    ":authority", ":method=GET", ":method=POST", ":path=/", ":path=/index.html", ":scheme=http",
    ":scheme=https", ":status=200", ":status=204", ":status=206", ":status=304", ":status=400",
    ":status=404", ":status=500", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "accept", "access-control-allow-origin", "age", "allow", "authorization",
    "cache-control", "content-disposition", "content-encoding", "content-language", "content-length",
    "content-location", "content-range", "content-type", "cookie", "date", "etag", "expect", "expires",
    "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "last-modified", "link", "location", "max-forwards", "proxy-authenticate", "proxy-authorization",
    "range", "referer", "refresh", "retry-after", "server", "set-cookie", "strict-transport-security",
    "transfer-encoding", "user-agent", "vary", "via", "www-authenticate"
]
# fmt: on


def _codes() -> dict[tuple[int, int], str]:
    codes, code, last = {}, 0, 0
    for length, characters in sorted(LENGTHS.items()):
        code <<= length - last
        for c in sorted(characters):
            codes[length, code] = c
            code += 1
        last = length
    return codes


CODES = _codes()


def _huffman(data: bytes) -> str:
    text, code, length = [], 0, 0
    for byte in data:
        for bit in range(7, -1, -1):
            code, length = code << 1 | byte >> bit & 1, length + 1
            if (length, code) in CODES:
                text.append(CODES[length, code])
                code = length = 0
    return "".join(text)


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    n, at = data[at] & most, at + 1
    if n == most:
        shift = 0
        while True:
            byte, at = data[at], at + 1
            n, shift = n + ((byte & 127) << shift), shift + 7
            if byte < 128:
                break
    return n, at


def _text(data: bytes, at: int) -> tuple[str, int]:
    coded = data[at] & 128
    size, at = _integer(data, at, 7)
    raw = data[at : at + size]
    return (_huffman(raw) if coded else raw.decode("latin-1")), at + size


def decode_headers(data: bytes) -> Headers:
    found, at = {}, 0
    while at < len(data):
        first = data[at]
        if first & 128:
            index, at = _integer(data, at, 7)
            name, _, value = STATIC[index - 1].partition("=")
        elif first & 0xE0 == 0x20:
            _, at = _integer(data, at, 5)
            continue
        else:
            index, at = _integer(data, at, 6 if first & 64 else 4)
            if index:
                name = STATIC[index - 1].partition("=")[0]
            else:
                name, at = _text(data, at)
            value, at = _text(data, at)
        assert name not in found, f"{name} comes twice"
        found[name] = value
    return found


def encode_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    out = bytearray()
    for name, value in headers:
        for text in (name, value):
            raw = text.encode(errors="surrogateescape")
            assert len(raw) < 127 or text is value
            if text is name:
                out += b"\0"
            out += bytes([len(raw)]) if len(raw) < 127 else b"\x7f" + _rest(len(raw) - 127)
            out += raw
    return bytes(out)


def _rest(n: int) -> bytes:
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def message(data: bytes, flag: int = 0) -> bytes:
    """A gRPC message frame."""
    return struct.pack(">BI", flag, len(data)) + data


@dataclass(slots=True)
class Stream:
    """What came in on one stream."""

    headers: list[Headers] = field(default_factory=list)  # headers, then trailers
    data: bytearray = field(default_factory=bytearray)
    pieces: int = 0  # DATA frames
    ended: bool = False
    reset: int | None = None  # error code
    credit: int = 0  # bytes that the peer lets us send, besides the initial window

    @property
    def status(self) -> int | None:
        """grpc-status, wherever it stands."""
        found = [h["grpc-status"] for h in self.headers if "grpc-status" in h]
        assert len(found) <= 1
        return int(found[0]) if found else None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class Connection:
    """One side of an HTTP/2 connection over a connected socket; the caller names the streams."""

    def __init__(self, s: socket.socket, *, client: bool) -> None:
        self.socket = s
        self.client = client
        self.streams: dict[int, Stream] = {}
        self.gone = False
        self.window = self.credit = 65535  # of each stream, of the connection
        self.unread = bytearray()
        s.settimeout(10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # No header table, and a window that a test never fills.
        settings = struct.pack(">HIHI", 1, 0, 4, 1 << 30)
        s.sendall((PREFACE if client else b"") + frame(SETTINGS, 0, 0, settings))
        s.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        if not client:
            assert self._exactly(len(PREFACE)) == PREFACE

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def request(self, stream: int, path: str, *more: tuple[str, str], end: bool = False) -> None:
        """Of `more`, those take the place of ours that have their name; one without a value is left out."""
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test"}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        others = {name: value for name, value in headers.items() if name not in dict(more)}
        sent = [*others.items(), *((name, value) for name, value in more if value)]
        block = encode_headers(
            sorted(sent, key=lambda header: not header[0].startswith(":"))
        )  # by HTTP/2's rule
        self.send(frame(HEADERS, END_HEADERS | end, stream, block))

    def data(self, stream: int, data: bytes, *, piece: int = 16384, end: bool = True) -> None:
        """`data` in DATA frames of at most `piece` bytes, as fast as the peer lets us."""
        cuts = [data[i : i + piece] for i in range(0, len(data), piece)] or [b""]
        state = self.streams.setdefault(stream, Stream())
        waiting: list[bytes] = []
        for i, cut in enumerate(cuts):
            while min(self.credit, self.window + state.credit) < len(cut) and state.reset is None:
                self.send(*waiting)
                waiting = []
                self.read()
            if state.reset is not None:
                return
            self.credit -= len(cut)
            state.credit -= len(cut)
            waiting.append(frame(DATA, end and i == len(cuts) - 1, stream, cut))
        self.send(*waiting)

    def read(self) -> int:
        """One frame; the stream it belongs to."""
        try:
            head = self._exactly(9)
        except ConnectionError:
            self.gone = True
            for stream in self.streams.values():
                stream.reset = stream.reset if stream.over else -1
            return 0
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        number = int.from_bytes(head[5:], "big")
        payload = self._exactly(size)
        stream = self.streams.setdefault(number, Stream()) if number else Stream()
        match kind:
            case 1:
                assert flags & END_HEADERS
                stream.headers.append(decode_headers(payload))
            case 0:
                stream.data += payload
                stream.pieces += 1
                if size:
                    update = struct.pack(">I", size)
                    self.send(frame(WINDOW_UPDATE, 0, 0, update), frame(WINDOW_UPDATE, 0, number, update))
            case 3:
                stream.reset = int.from_bytes(payload, "big")
            case 4 if not flags & ACK:
                for name, value in struct.iter_unpack(">HI", payload):
                    self.window = value if name == 4 else self.window
                self.send(frame(SETTINGS, ACK, 0))
            case 6 if not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            case 8 if number:
                stream.credit += int.from_bytes(payload, "big")
            case 8:
                self.credit += int.from_bytes(payload, "big")
            case _:
                pass
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            stream.ended = True
        return number

    def until_over(self, *numbers: int) -> list[Stream]:
        """Read until these streams have ended."""
        for n in numbers:
            self.streams.setdefault(n, Stream())
        while not all(self.streams[n].over for n in numbers):
            self.read()
        return [self.streams[n] for n in numbers]

    def _exactly(self, size: int) -> bytes:
        while len(self.unread) < size:
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionError("closed")
            self.unread += part
        taken = bytes(self.unread[:size])
        del self.unread[:size]
        return taken

    def close(self) -> None:
        self.socket.close()


def connect(port: int) -> Connection:
    return Connection(socket.create_connection(("127.0.0.1", port)), client=True)
