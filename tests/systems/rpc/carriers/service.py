# SPDX-License-Identifier: Apache-2.0
"""The service behind every carrier: it does what the words of the first message with s say, and notes what it saw."""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc

HERE = Path(__file__).parent
Pairs = tuple[tuple[str, str | bytes], ...]
INITIAL: Pairs = (("x-server", "1"), ("x-inside", "2"))
TRAILING: Pairs = (("x-tail", "3"), ("x-hidden", "4"), ("x-raw-bin", b"\x00\xff"))
LATE = grpc.StatusCode.NOT_FOUND, "after one reply"
ERRORS = {
    "sabort": (grpc.StatusCode.NOT_FOUND, "no such thing"),
    "sblank": (grpc.StatusCode.NOT_FOUND, " blanks around "),
    "sodd": (grpc.StatusCode.DATA_LOSS, "ünïcode, 100 %\nand a line"),
}
APART = 0.03  # seconds: headers that come with the status are not always seen by asyncio's clients
HIDDEN = (
    "x-call",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-request-id",
)  # the kit's own, and what Envoy adds


@cache
def generated() -> tuple[Any, Any]:
    """`kit_pb2` and `kit_pb2_grpc`."""
    folder = tempfile.mkdtemp(prefix="transect-kit-")
    (Path(folder) / "carriers_kit.proto").write_text((HERE / "kit.proto").read_text())
    places = [f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *places, "carriers_kit.proto"]) == 0
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("carriers_kit_pb2"), importlib.import_module("carriers_kit_pb2_grpc")
    finally:
        sys.path.remove(folder)


def shown(metadata: Any) -> tuple[tuple[str, str], ...]:
    """What of some metadata is the kit's own, sorted."""
    found = ((str(name), _text(value)) for name, value in metadata or ())
    return tuple(sorted((n, v) for n, v in found if n.startswith("x-") and n not in HIDDEN))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()


@dataclass
class Seen:
    """What the server saw of one call."""

    began: tuple[tuple[str, str], ...] = ()  # metadata as the handler found them when it began
    read: list[str] = field(default_factory=list)  # "text/note/bytes of pad" of each message
    ended: str = ""  # how the handler left: "done", "abort", "gone" (its client was)


class Kit:
    """A servicer for a threaded server."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = defaultdict(Seen)

    def _begin(self, context: Any) -> Seen:
        metadata = tuple(context.invocation_metadata())
        seen = self.seen[dict(metadata).get("x-call", "?")]
        seen.began = shown(metadata)
        return seen

    def _noted(self, seen: Seen, message: Any) -> Any:
        seen.read.append(self._shown(message))
        return message

    def _shown(self, message: Any) -> str:
        return f"{message.text}/{message.note}/{len(message.pad)}"

    def _sends(self, words: str) -> tuple[Pairs, Pairs]:
        """Headers and trailers of the server's own."""
        return (INITIAL if "sinit" in words else ()), (TRAILING if "strail" in words else ())

    def _error(self, seen: Seen, words: str) -> tuple[grpc.StatusCode, str] | None:
        """What the server fails with."""
        found = next((error for word, error in ERRORS.items() if word in words), None)
        seen.ended = "abort" if found is not None else seen.ended
        return found

    def _before(self, seen: Seen, words: str, context: Any) -> None:
        initial, trailing = self._sends(words)
        if initial:
            context.send_initial_metadata(initial)
        if trailing:
            context.set_trailing_metadata(trailing)
        error = self._error(seen, words)
        if error is not None:
            time.sleep(APART)
            context.abort(*error)
        if "shang" in words:
            self._hang(seen, context)

    def _hang(self, seen: Seen, context: Any) -> None:
        over = threading.Event()
        if context.add_callback(over.set):
            over.wait(10)
        seen.ended = "gone"

    def _answer(self, message: Any) -> Any:
        return generated()[0].Answer(text=message.text, note=message.note, pad=message.pad)

    def Say(self, request: Any, context: Any) -> Any:
        seen = self._begin(context)
        self._before(seen, self._noted(seen, request).text, context)
        seen.ended = seen.ended or "done"
        return self._answer(request)

    def Many(self, request: Any, context: Any) -> Iterator[Any]:
        seen = self._begin(context)
        words = self._noted(seen, request).text
        self._before(seen, words, context)
        for number in range(3):
            if number == 1 and "slate" in words:
                seen.ended = "abort"
                context.abort(*LATE)
            if number == 1 and "sthen" in words:
                self._hang(seen, context)
            yield self._answer(request)
        seen.ended = seen.ended or "done"

    def Collect(self, requests: Iterator[Any], context: Any) -> Any:
        seen = self._begin(context)
        last = generated()[0].Ask()
        for number, request in enumerate(requests):
            last = self._noted(seen, request)
            if number == 0:
                self._before(seen, request.text, context)
        seen.ended = seen.ended or "done"
        return self._answer(last)

    def Chat(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        seen = self._begin(context)
        for number, request in enumerate(requests):
            self._noted(seen, request)
            if number == 0:
                words = request.text
                if any(error in words for error in ERRORS):
                    seen.read += [
                        self._shown(later) for later in requests
                    ]  # none is under way when the status comes
                self._before(seen, words, context)
            yield self._answer(request)
        seen.ended = seen.ended or "done"


class AioKit(Kit):
    """The same in coroutines."""

    async def _begun(self, seen: Seen, words: str, context: Any) -> None:
        initial, trailing = self._sends(words)
        if initial:
            await context.send_initial_metadata(initial)
        if trailing:
            context.set_trailing_metadata(trailing)
        error = self._error(seen, words)
        if error is not None:
            await asyncio.sleep(APART)
            await context.abort(*error)
        if "shang" in words:
            await self._linger(seen)

    async def _linger(self, seen: Seen) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            seen.ended = "gone"

    async def Say(self, request: Any, context: Any) -> Any:
        seen = self._begin(context)
        await self._begun(seen, self._noted(seen, request).text, context)
        seen.ended = "done"
        return self._answer(request)

    async def Many(self, request: Any, context: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        seen = self._begin(context)
        words = self._noted(seen, request).text
        await self._begun(seen, words, context)
        for number in range(3):
            if number == 1 and "slate" in words:
                seen.ended = "abort"
                await context.abort(*LATE)
            if number == 1 and "sthen" in words:
                await self._linger(seen)
            yield self._answer(request)
        seen.ended = "done"

    async def Collect(self, requests: Any, context: Any) -> Any:
        seen, last, number = self._begin(context), generated()[0].Ask(), 0
        async for request in requests:
            last = self._noted(seen, request)
            if number == 0:
                await self._begun(seen, request.text, context)
            number += 1
        seen.ended = "done"
        return self._answer(last)

    async def Chat(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        seen, number = self._begin(context), 0
        async for request in requests:
            self._noted(seen, request)
            if number == 0:
                if any(error in request.text for error in ERRORS):
                    seen.read += [self._shown(later) async for later in requests]
                await self._begun(seen, request.text, context)
            number += 1
            yield self._answer(request)
        seen.ended = "done"
