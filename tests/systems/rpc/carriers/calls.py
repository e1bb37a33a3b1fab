# SPDX-License-Identifier: Apache-2.0
"""The calls of the kit, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MEGABYTE = 1_000_000


class Kind(Enum):
    """A method, by what streams."""

    SAY = "Say"
    MANY = "Many"
    COLLECT = "Collect"
    CHAT = "Chat"

    @property
    def uploads(self) -> bool:
        return self in (Kind.COLLECT, Kind.CHAT)

    @property
    def many(self) -> bool:
        return self in (Kind.MANY, Kind.CHAT)


@dataclass(frozen=True)
class Call:
    """One call: what the client sends, and when it gives up."""

    name: str
    kind: Kind
    texts: tuple[str, ...] = ("x",)  # of the requests, words for the element and for the server
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    timeout: float = 10.0  # seconds
    pad: int = 0  # bytes in each request
    gzip: bool = False
    raw: bytes = b""  # what is sent, if it is not a message of these texts
    cancel: bool = False  # by the client, after a while
    raises: bool = False  # the client's iterator, after its requests
    drops: bool = False  # the client takes all replies, and lets the call go without asking for one more
    late: str = (
        ""  # the status of a rejection that comes when headers of the reply have gone; "" there is none
    )

    @property
    def ends_early(self) -> bool:
        """Somebody ends it while the other end may still be at it."""
        rejected = any("reject" in text for text in self.texts)
        return self.cancel or self.timeout < 10 or not self.texts or (rejected and self.kind is not Kind.SAY)


WHO = (("x-who", "mallory"), ("x-secret", "s"))


def for_all_kinds() -> Iterator[Call]:
    """What is asked of each of the four kinds of methods."""
    for kind in Kind:
        more = ("", "") if kind.uploads else ()  # a client's stream has three messages

        def call(
            name: str, words: str, kind: Kind = kind, more: tuple[str, ...] = more, **given: object
        ) -> Call:
            return Call(f"{kind.value}: {name}", kind, (words, *more), **given)  # type: ignore[arg-type]

        yield call("passes", "x")
        yield call("reads a header", "qread", metadata=(("x-in", "a"),))
        yield call("reads a header that came twice", "qread", metadata=(("x-in", "a"), ("x-in", "b")))
        yield call("reads a header that is absent", "qread")
        yield call("sets a header of the request", "qset", metadata=WHO)
        yield call("sets values that gRPC refuses in the reply", "sinit strail pbad")
        yield call("rewrites request and reply", "qwrite pwrite")
        yield call("rejects the request", "qreject")
        yield call("rejects the request, having set headers", "qset qtrail qreject", metadata=WHO)
        yield call("rejects the reply", "preject")
        yield call("rejects the reply of a server that set headers", "sinit strail preject")
        yield call("reads a header of the reply", "sinit pread")
        yield call("sets a header of the reply", "sinit pset")
        yield call("sets a header of a reply without any", "pset")
        yield call("sets a trailer", "strail ptrail")
        yield call("sets a trailer in `request`", "qtrail")
        yield call("sets a trailer, and the server fails", "qtrail sabort")
        yield call("the server fails", "sabort")
        yield call("the server fails with headers and trailers", "sinit strail sabort")
        yield call("the server fails with an odd text", "sodd")
        yield call("the deadline passes", "shang", timeout=0.3)
        yield call("the client cancels", "shang", cancel=True)
        yield call("delays", "qwait pwait")
        yield call("one megabyte", "qwrite", pad=MEGABYTE)


def others() -> Iterator[Call]:
    """What is asked of one kind, or of some."""
    yield Call("Say: a text between blanks", Kind.SAY, ("qblank",))
    yield Call("Say: the server's text between blanks", Kind.SAY, ("sblank",))
    yield Call("Say: gzip", Kind.SAY, ("x",), gzip=True, pad=5000)
    yield Call("Say: a malformed message", Kind.SAY, raw=b"\x0a\xff")
    yield Call("Many: a malformed message", Kind.MANY, raw=b"\x0a\xff")
    yield Call("Say: a deadline of a second", Kind.SAY, ("shang",), timeout=1.0)
    yield Call("Many: the server fails after a reply", Kind.MANY, ("slate",))
    yield Call(
        "Many: sets headers and trailers, and the server fails after a reply",
        Kind.MANY,
        ("sinit strail slate qtrail pset ptrail",),
    )
    yield Call("Many: the deadline passes after a reply", Kind.MANY, ("sthen",), timeout=0.3)
    yield Call("Many: the client takes all replies and lets go", Kind.MANY, drops=True)
    yield Call("Chat: the client takes all replies and lets go", Kind.CHAT, ("x",) * 3, drops=True)
    yield Call("Many: the client cancels after a reply", Kind.MANY, ("sthen",), cancel=True)
    for kind in (Kind.SAY, Kind.MANY):
        forged = (*WHO, ("x-who-bin", b"m"))
        yield Call(f"{kind.value}: sets values that gRPC refuses", kind, ("qbad",), forged)
        for name in ("te", ":authority", "grpc-timeout", "grpc-status", "X-Call"):
            yield Call(f"{kind.value}: reads and sets {name}", kind, ("qown pown",), (("x-own", name),))
    for kind, late in ((Kind.COLLECT, ""), (Kind.CHAT, "PERMISSION_DENIED")):
        yield Call(f"{kind.value}: reads a header with each message", kind, ("qread",) * 3, (("x-in", "a"),))
        yield Call(f"{kind.value}: rejects the second request", kind, ("x", "qreject", "x"), late=late)
        yield Call(f"{kind.value}: sets a header with the second request", kind, ("x", "qlater", "x"))
        yield Call(f"{kind.value}: no message", kind, ())
    yield Call("Chat: reads a header of the reply with each", Kind.CHAT, ("sinit pread", "pread", "pread"))
    yield Call("Chat: sets a header with the second reply", Kind.CHAT, ("x", "pset", "x"))
    yield Call("Chat: rejects the second reply", Kind.CHAT, ("x", "preject", "x"), late="FAILED_PRECONDITION")


CALLS = (*for_all_kinds(), *others())
RAISING = tuple(
    Call(f"{kind.value}: the client's iterator raises", kind, ("x",), raises=True)
    for kind in (Kind.COLLECT, Kind.CHAT)
)
"""How far the server has come then is chance."""
