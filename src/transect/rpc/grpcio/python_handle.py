# SPDX-License-Identifier: Apache-2.0
"""A chain of emitted Python as a `Handle`: it serves where no native chain can be compiled.

One lock for the whole chain: the interpreter runs one thread at a time anyway, and the state of all elements can be
taken between two calls.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from typing import Any

from transect.base.request_id import HEADER, TRACEPARENT
from transect.base.traced import A_CALL
from transect.core.codec import CodecError
from transect.emit.py.image import image, restore
from transect.lang.tape import LiveTape
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.python import (
    INVALID_ARGUMENT,
    NOBODY,
    ChainVerdict,
    Emitted,
    PythonChain,
    PythonRpc,
)
from transect.rpc.chain.record import Record as ChainRecord
from transect.rpc.chain.times import Times
from transect.rpc.grpcio.handle import Action, Cause, Decision, Record, Side, Trace
from transect.rpc.grpcio.metadata import Pairs

CANCELLED = 1


class Counts(dict[str, Any]):
    """As `Handle.counts` says; guarded by the handle's lock."""

    @classmethod
    def of(cls, elements: int) -> Counts:
        plain = ("rpcs", "requests", "responses", "rewritten", "delayed", "malformed", "refused")
        lists = {name: [0] * elements for name in ("rejected", "responded", "withheld")}
        return cls(dict.fromkeys(plain, 0) | {"causes": [0] * 5} | lists)

    def note(self, verdict: ChainVerdict, messages: str, refused: str) -> None:
        self["delayed"] += verdict.after > 0
        match verdict.action:
            case Action.REJECT if verdict.element == NOBODY:
                self["refused"] += 1
                self["malformed"] += verdict.code == INVALID_ARGUMENT
                return
            case Action.FORWARD:
                self["rewritten"] += verdict.message is not None
            case Action.REJECT:
                self[refused][verdict.element] += 1
            case _:
                self["responded"][verdict.element] += 1
        self[messages] += 1


class PythonHandle:
    """One copy of a chain's state, in policy objects of its own."""

    busy = 0  # records are handed over within the lock

    def __init__(self, binding: Binding, policies: Sequence[Any]) -> None:
        self.lock = threading.RLock()
        self._counts = Counts.of(len(policies))
        self._times = [Times() for _ in range(1 + len(policies))]  # of whole RPCs, then of each element
        self.abandoned: deque[PythonRpcHandle] = deque()
        self.open = 0
        self.said: dict[int, list[str]] = {}  # what hooks have traced, by element
        self._tracer: Callable[[Trace], object] | None = None
        self._policies = tuple(map(copied, policies))
        for element, policy in enumerate(self._policies):
            policy.__functions__["trace"] = partial(self._keep, element)
        engines = [Emitted(policy) for policy in self._policies]
        self._chain = PythonChain(
            binding, engines, pass_unknown=True, took=lambda element, ns: self._times[1 + element].add(ns)
        )
        self._tape = LiveTape()
        self.asking: Headers | None = None  # the headers of the request whose hooks ran last

    @property
    def counts(self) -> Mapping[str, Any]:
        with self.lock:
            return self._counts | {"times": [times.sparse() for times in self._times]}

    def begin(self, method: str, peer: str, metadata: Pairs | None, /) -> PythonRpcHandle:
        self._finish_abandoned()
        headers = Headers(metadata or ())
        with self.lock:
            self.open += 1
            self._counts["rpcs"] += 1
        return PythonRpcHandle(self, self._chain.rpc(method, peer, headers, self._tape), headers)

    def _finish_abandoned(self) -> None:
        """End the RPCs that were dropped.

        Where one is dropped, a handler may be running that holds its element's lock, so the end waits until here.
        """
        while self.abandoned:
            self.abandoned.popleft().finish(CANCELLED, Cause.CANCEL)

    def save(self, element: int, /) -> bytes:
        self._finish_abandoned()
        with self.lock:
            return self._chain.save(element)

    def load(self, element: int, data: bytes, /) -> bool:
        try:
            with self.lock:
                self._chain.load(element, data)
        except CodecError:
            return False
        return True

    def replace(self, element: int, old: bytes, new: bytes, /) -> bool:
        with self.lock:
            return self.save(element) == old and self.load(element, new)

    def hold(self) -> None:
        self.lock.acquire()

    def release(self) -> None:
        self.lock.release()

    def record(self, sink: Callable[[Record], object] | None, elements: int, /) -> tuple[bytes, ...]:
        def pass_on(record: ChainRecord) -> None:
            assert sink is not None
            sink((*astuple(record), *(self._called() if record.hook == 0 else (b"", b""))))

        with self.lock:
            self._chain.recording = None if sink is None else pass_on
            return tuple(self._chain.save(element) for element in range(elements))

    def _called(self) -> Iterator[bytes]:
        """The ids of the request whose hook runs."""
        assert self.asking is not None
        for name in (HEADER, TRACEPARENT):
            yield (self.asking.get(Side.REQUEST, name) or "").encode(errors="replace")

    @property
    def recording(self) -> bool:
        return self._chain.recording is not None

    def trace(self, sink: Callable[[Trace], object] | None, /) -> None:
        with self.lock:
            self._tracer = sink

    def _keep(self, element: int, text: str) -> None:
        """Keep the text until the hooks have returned: writing it may take long, and the lock is held now."""
        self.said.setdefault(element, []).append(text)

    def tell(self) -> None:
        """Hand on what has been traced, now that the lock is free."""
        with self.lock:
            said, self.said = self.said, {}
            tracer = self._tracer
        if tracer is None:
            return
        for element, texts in said.items():
            for text in texts[: A_CALL - 1]:
                tracer((element, text, 0))
            for text in texts[A_CALL - 1 : A_CALL]:
                tracer((element, text, len(texts) - A_CALL))


def copied(policy: Any) -> Any:
    """A policy object with the same state: what an attached chain changes is its own."""
    fresh = type(policy)()
    restore(fresh, image(policy))
    return fresh


class PythonRpcHandle:
    """One RPC."""

    def __init__(self, handle: PythonHandle, rpc: PythonRpc, headers: Headers) -> None:
        self._handle = handle
        self._rpc = rpc
        self._headers = headers
        self._started = time.monotonic_ns()
        self.entered = False
        self.finished = False

    def request(self, message: bytes, /) -> bytes | Decision:
        with self._handle.lock:
            if self.finished:
                return OVER
            self.entered = True
            self._handle.asking = self._headers
            decided = self._decided(self._rpc.request(message), message, "requests", "rejected")
        if self._handle.said:
            self._handle.tell()
        return decided

    def response(self, message: bytes, /) -> bytes | Decision:
        with self._handle.lock:
            if self.finished:
                return OVER
            decided = self._decided(self._rpc.response(message), message, "responses", "withheld")
        if self._handle.said:
            self._handle.tell()
        return decided

    def _decided(
        self, verdict: ChainVerdict, message: bytes, messages: str, refused: str
    ) -> bytes | Decision:
        data: Any
        self._handle._counts.note(verdict, messages, refused)
        match verdict.action:
            case Action.FORWARD:
                data = message if verdict.message is None else verdict.message
                if not verdict.after and verdict.to is None and not self._headers.fresh:
                    return data  # type: ignore[no-any-return]
            case Action.REJECT:
                data = verdict.text.decode(errors="replace")
            case _:
                data = verdict.text
        return int(verdict.action), verdict.code, data, verdict.after, verdict.to, verdict.element

    def finish(self, code: int, cause: int, /) -> int | None:
        with self._handle.lock:
            if self.finished:
                return None
            self.finished = True
            self._handle.open -= 1
            self._handle._counts["causes"][cause] += 1
            # Counted for no element: none has seen it.
            self._handle._counts["refused"] += cause == Cause.REJECT and not self.entered
            elapsed = self.elapsed
            self._handle._times[0].add(elapsed)
            ending = self._rpc.finish(code, cause, elapsed)
        if self._handle.said:
            self._handle.tell()
        return ending.after if ending.retry else None

    @property
    def elapsed(self) -> int:
        return time.monotonic_ns() - self._started

    def receive(self, side: int, metadata: Pairs, /) -> None:
        self._headers.received[side] = metadata

    def changes(self, side: int, /) -> list[tuple[str, str | None]]:
        return self._headers.take(side)

    def __del__(self) -> None:
        if not self.finished:
            self._handle.abandoned.append(self)


OVER: Decision = (Action.OVER, CANCELLED, "", 0, None, 0)


class Headers:
    """Metadata as received, with what the chain has set and removed laid over."""

    def __init__(self, request: Pairs) -> None:
        self.received: list[Pairs] = [request, (), ()]
        self.fresh: dict[tuple[int, str], None] = {}
        self._changed: dict[tuple[int, str], str | None] = {}

    def get(self, side: int, name: str) -> str | None:
        if (side, name) in self._changed:
            return self._changed[side, name]
        found = [value for key, value in self.received[side] if key == name]
        return ",".join(found) if found else None  # gRPC's own rule

    def set(self, side: int, name: str, value: str) -> None:
        self._change(side, name, value)

    def remove(self, side: int, name: str) -> None:
        self._change(side, name, None)

    def _change(self, side: int, name: str, value: str | None) -> None:
        self._changed[side, name] = value
        self.fresh[side, name] = None

    def take(self, side: int) -> list[tuple[str, str | None]]:
        found = [(name, self._changed[key, name]) for key, name in self.fresh if key == side]
        self.fresh = {key: None for key in self.fresh if key[0] != side}
        return found
