# SPDX-License-Identifier: Apache-2.0
"""What a client may send to get past a policy, or to break the carrier: requests written by hand.

Every policy that refuses `mallory`, or who lacks the header `x-token: right`, must do so whatever the message and the
headers look like; what is not understood is refused, never passed on unjudged.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

TOKEN = ("x-token", "right")
ALICE, MALLORY = b"\x0a\x05alice", b"\x0a\x07mallory"
HELLO = b"\x12\x05hello"
Pairs = tuple[tuple[str, str], ...]


def framed(data: bytes, flag: int = 0, size: int | None = None) -> bytes:
    """A gRPC frame; `size`: what its head says of the size."""
    return struct.pack(">BI", flag, len(data) if size is None else size) + data


@dataclass(frozen=True)
class Attack:
    name: str
    body: bytes
    headers: Pairs = (TOKEN,)
    path: str = ""  # behind `/demo.Echo/`; the method's own when empty
    piece: int = 16384  # bytes of a DATA frame at most
    replaced: dict[str, str] = field(default_factory=dict)  # headers of HTTP/2 that are others; "": left out
    trailers: Pairs = ()


def varint(n: int, size: int = 0) -> bytes:
    """The number, in so many bytes at least: longer than it need be."""
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    while len(out) < size:
        out[-1] |= 128
        out.append(0)
    return bytes(out)


def text(number: int, value: bytes, *, tag: int = 0, length: int = 0) -> bytes:
    """A field of bytes; `tag`, `length`: in how many bytes at least they are written."""
    return varint(number << 3 | 2, tag) + varint(len(value), length) + value


def messages() -> Iterator[tuple[str, bytes]]:
    """Messages of `mallory`, or that are none."""
    yield "the name twice", ALICE + MALLORY
    yield "the name a hundred times", ALICE * 99 + MALLORY
    yield "the name behind an unknown field", text(900, b"x" * 300) + ALICE + text(901, b"") + MALLORY
    yield "the name first and last", MALLORY + HELLO + MALLORY
    for size in (2, 3, 4, 5, 9, 10, 11):
        yield f"a tag of {size} bytes", ALICE + text(1, b"mallory", tag=size)
        yield f"a length of {size} bytes", ALICE + text(1, b"mallory", length=size)
    yield "a tag beyond 32 bits", ALICE + varint((1 << 32 | 1) << 3 | 2) + b"\x07mallory"
    yield "a tag beyond 64 bits", ALICE + b"\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" + b"\x07mallory"
    yield "a length beyond 32 bits", ALICE + b"\x0a" + varint(1 << 32 | 7) + b"mallory"
    yield "a length beyond the message", ALICE + b"\x0a\x7fmallory"
    yield "a length that is cut short", ALICE + MALLORY + b"\x0a\x87"
    yield "a tag that is cut short", ALICE + MALLORY + b"\x8a"
    yield "field 0", MALLORY + b"\x02\x00"
    yield "wire type 6", MALLORY + b"\x0e\x00"
    yield "wire type 7", MALLORY + b"\x0f\x00"
    yield "the name as a number", b"\x08\x07" + MALLORY
    yield "the name as eight bytes", b"\x09" + b"mallory\0" + MALLORY
    yield "the name as four bytes", b"\x0dmall" + MALLORY
    yield "the name in a group", b"\x0b" + ALICE + b"\x0c" + MALLORY
    yield "a group around the name", b"\xa3\x06" + ALICE + b"\xa4\x06" + MALLORY
    yield "a group that does not end", MALLORY + b"\xa3\x06" + ALICE
    yield "a group that ends twice", MALLORY + b"\xa3\x06\xa4\x06\xa4\x06"
    yield "a group that ends as another", MALLORY + b"\xa3\x06\xac\x06"
    yield "groups in groups", b"\xa3\x06" * 500 + b"\xa4\x06" * 500 + MALLORY
    yield "many groups in groups", b"\xa3\x06" * 100_000 + MALLORY
    yield "no UTF-8 before the name", b"\x0a\x02\xff\xfe" + MALLORY
    yield "no UTF-8 behind the name", MALLORY + b"\x0a\x02\xc3\x28"
    yield "an overlong NUL", b"\x0a\x02\xc0\x80" + MALLORY
    yield "a surrogate", b"\x0a\x03\xed\xa0\x80" + MALLORY
    yield "empty fields", b"\x0a\x00" * 2000 + MALLORY


def framings() -> Iterator[Attack]:
    """Frames that are cut, doubled, flagged or lie about their size."""
    whole = framed(ALICE + MALLORY)
    yield Attack("DATA of one byte", whole, piece=1)
    yield Attack("DATA of three bytes", whole, piece=3)
    yield Attack("two messages, the second of mallory", framed(ALICE) + whole)
    yield Attack("two messages, the first of mallory", whole + framed(ALICE))
    yield Attack("an empty message before it", framed(b"") + whole)
    yield Attack("a size that is too small", framed(ALICE + MALLORY, size=len(ALICE)))
    yield Attack("a size that is too large", framed(ALICE + MALLORY, size=500))
    yield Attack("a size of 4 GiB", framed(ALICE + MALLORY, size=0xFFFFFFFF))
    yield Attack("half a head", b"\0\0\0")
    yield Attack("no message", b"")
    for flag in (1, 2, 3, 127, 255):
        yield Attack(f"flag {flag}", framed(ALICE + MALLORY, flag))
    packed = framed(gzip.compress(ALICE + MALLORY), 1)
    yield Attack("gzip", packed, (TOKEN, ("grpc-encoding", "gzip")))
    yield Attack("gzip that is not said", packed)
    yield Attack("gzip said as deflate", packed, (TOKEN, ("grpc-encoding", "deflate")))
    yield Attack("gzip said as identity", packed, (TOKEN, ("grpc-encoding", "identity")))
    yield Attack("gzip said of a plain message", whole, (TOKEN, ("grpc-encoding", "gzip")))
    yield Attack("a whole body in gzip", gzip.compress(whole), (TOKEN, ("content-encoding", "gzip")))
    yield Attack(
        "gzip that unpacks to 64 MB",
        framed(gzip.compress(bytes(64 << 20)), 1),
        (TOKEN, ("grpc-encoding", "gzip")),
    )
    yield Attack("a trailer of the client's", framed(MALLORY), (), trailers=(TOKEN,))


def heads() -> Iterator[Attack]:
    """Headers that lack the token, or say more than one thing; and what else stands in a head."""
    good = framed(ALICE)
    for name, values in {
        "no token": (),
        "a wrong token": ("wrong",),
        "a token twice, right first": ("right", "wrong"),
        "a token twice, wrong first": ("wrong", "right"),
        "a token twice, both right": ("right", "right"),
        "a token with a comma": ("right,right",),
        "an empty token": ("",),
        "a token in capitals": ("RIGHT",),
        "a token that goes on": ("right\x7f",),
        "a long token": ("right" * 4000,),
    }.items():
        yield Attack(name, good, tuple(("x-token", value) for value in values))
    yield Attack("a token in another header", good, (("x-token-", "right"), ("token", "right")))
    yield Attack("a token in a cookie", good, (("cookie", "x-token=right"),))
    yield Attack("a binary token", good, (("x-token-bin", "cmlnaHQ="),))
    bad = framed(ALICE + MALLORY)
    for path in (
        "say",
        "Say/",
        "Say?x=1",
        "Say#",
        "%53ay",
        "/Say",
        "./Say",
        "../demo.Echo/Say",
        "Say%00",
        "Say;x",
    ):
        yield Attack(f"the path {path}", bad, path=path)
    for kind in (
        "application/grpc+proto",
        "application/grpc;x=1",
        "application/grpc-web",
        "application/json",
        "APPLICATION/GRPC",
        "text/plain",
        "",
    ):
        yield Attack(f"the content type {kind or '(none)'}", bad, replaced={"content-type": kind})
    for timeout in ("0Q", "Q", "1", "-1S", "1S ", "99999999999S", "1s", "1.5S", "+1S", "0x1S", "S1"):
        yield Attack(f"the timeout {timeout!r}", bad, (TOKEN, ("grpc-timeout", timeout)))
        yield Attack(f"the timeout {timeout!r} of alice", good, (TOKEN, ("grpc-timeout", timeout)))
    yield Attack("two timeouts", bad, (TOKEN, ("grpc-timeout", "1S"), ("grpc-timeout", "9S")))
    yield Attack("the method GET", bad, replaced={":method": "GET"})
    yield Attack("the method PUT", bad, replaced={":method": "PUT"})
    yield Attack("no te", bad, replaced={"te": ""})
    yield Attack("an upgrade", bad, (TOKEN, ("connection", "upgrade"), ("upgrade", "h2c")))
    yield Attack("a length that lies", bad, (TOKEN, ("content-length", "3")))
    yield Attack("two hundred headers", bad, (TOKEN, *((f"x-{n}", "y" * 40) for n in range(90))))


def attacks() -> list[Attack]:
    """All of them; each that carries a message does so for `mallory` or without the token."""
    return [*(Attack(name, framed(body)) for name, body in messages()), *framings(), *heads()]
