# SPDX-License-Identifier: Apache-2.0
"""A policy compiled to machine code, behind the same `Chooser` as emitted Python, and with the same state images.

Emitted Python finds the least counter of ten thousand waiting clients with a loop; here it is the root of an indexed
heap.  Machine code can run policies whose handlers ask nothing outside, keep nothing with a request and refuse nobody;
for others `native` raises `Unavailable`, and emitted Python runs them.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from transect.base import cache
from transect.base.places import place
from transect.base.unavailable import Unavailable
from transect.core import ir
from transect.core.codec import CodecError
from transect.core.ir import FieldKind
from transect.core.types import KeyType
from transect.core.walk import walk
from transect.emit.c import emitter
from transect.emit.c.toolchain import shared_object
from transect.emit.py.image import image as python_image
from transect.emit.py.image import restore as python_restore
from transect.emit.toolchain import BuildError
from transect.llm.adapter import ArbiterChooser, Chooser, counter_field
from transect.llm.policies import Loaded
from transect.llm.request import FIELDS, Held

RUNTIME = Path(__file__).parent / "runtime" / "admission.c"


class _Request(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64 if name in FIELDS[:2] else ctypes.c_int64) for name in FIELDS)


_numbers = attrgetter(*FIELDS[2:])


class Seen(NamedTuple):
    """A request as one policy in machine code sees it."""

    by: NativePolicy
    address: int
    fields: _Request


def native(program: ir.Program) -> Chooser:
    """A chooser whose policy is compiled here, with the system's C compiler, and kept for the next time.

    Raises `Unavailable`, with the reason, for a policy or machine that cannot.
    """
    policy = NativePolicy(program, _library(program))
    return ArbiterChooser(policy, program) if program.base == "Arbiter" else Chooser(policy, program)


def numbered(loaded: Loaded) -> NativePolicy:
    """The policy for clients that are numbers, as which its state knows them, like that of emitted Python, and with the
    same first state.  Raises `Unavailable` as `native` does.
    """
    policy = NativePolicy(loaded.program, _library(loaded.program), numbered=True)
    policy.restore(python_image(loaded.make()))
    return policy


def image(policy: Any) -> bytes:
    """The state of a policy object, in machine code or Python, as bytes."""
    return policy.image() if isinstance(policy, NativePolicy) else python_image(policy)


def restore(policy: Any, data: bytes) -> None:
    """Take over the state from an image of the same policy.  Raises `CodecError`, having changed nothing."""
    if isinstance(policy, NativePolicy):
        policy.restore(data)
    else:
        python_restore(policy, data)


def _library(program: ir.Program) -> ctypes.PyDLL:
    if why := obstacle(program):
        raise Unavailable(f"{program.name} in machine code", why, "it runs as Python")
    try:
        with cache.loadable(_built(program)) as file:
            # Calls take less than it would to give up the interpreter's lock.
            return ctypes.PyDLL(file.name)
    except (BuildError, OSError) as error:  # OSError: files there may not be run
        raise Unavailable(f"{program.name} in machine code", str(error), "it runs as Python") from error


def obstacle(program: ir.Program) -> str:
    """What of the policy prevents machine code; empty if nothing does."""
    if any(f.kind is FieldKind.LOCAL for f in program.state):
        return "it keeps values with each request"
    accept = program.handler("accept")
    if accept is not None and not accept.default:
        return "it turns requests away"
    functions = (*program.functions, *program.handlers)
    nodes = (node for f in functions for s in f.body for node in walk(s))
    if any(isinstance(n, ir.Intrinsic) and n.name in ("now", "rand", "rand_below", "trace") for n in nodes):
        return "it asks for time or chance"
    return ""


def _built(program: ir.Program) -> Path:
    files = emitter.emit(program).files
    stem = next(name.removesuffix(".c") for name in files if name.endswith(".c"))
    counter = counter_field(program)
    names = [
        f"-DTS_POLICY={stem}",
        f'-DTS_SOURCE="{stem}.c"',
        *([f"-DTS_COUNTER={counter}"] if counter else []),
        *(["-DTS_REQUESTS"] if _of_requests(program) else []),
    ]
    sources = {**files, RUNTIME.name: RUNTIME.read_bytes()}
    folder = place("admission")
    return shared_object(stem, sources, folder=folder, flags=names, units=[RUNTIME.name])


def _of_requests(program: ir.Program) -> bool:
    """Whether its hooks take requests, and not clients."""
    return program.base != "Arbiter"


class NativePolicy:
    """The policy object: the hooks by name, and `waiting`."""

    def __init__(self, program: ir.Program, library: ctypes.PyDLL, *, numbered: bool = False) -> None:
        """`numbered`: clients are numbers."""
        prefix = _prefix(program)
        self._numbered = numbered
        self._save = _function(library, f"{prefix}_save", ctypes.c_size_t, 2, ctypes.c_size_t)
        self._load = _function(library, f"{prefix}_load", ctypes.c_int, 2, ctypes.c_size_t)
        self._library = library  # must live as long as everything that it returned
        self._free = _function(library, f"{prefix}_free", None, 1)
        self._state = _function(library, f"{prefix}_new", ctypes.c_void_p, 0, ctypes.c_uint64)(1)
        assert self._state, "no memory for the policy's state"
        self._handles: dict[Hashable, int] = {}
        self._clients: dict[int, Hashable] = {}
        self._next = 1
        self.waiting = NativeWaiting(self, prefix)
        self.pick = self._picker(prefix)
        if (counter := counter_field(program)) is not None:
            setattr(self, counter, self._counters())
        self._drop = _function(library, f"{prefix}_forget", None, 2, ctypes.c_uint64)
        for hook in program.handlers:
            if hook.name not in ("pick", "forget", "accept") and not hasattr(self, hook.name):
                setattr(self, hook.name, self._hook(prefix, hook))
        if _of_requests(program):
            address, size = ctypes.c_void_p, ctypes.c_size_t
            self._produced = _function(library, "admission_produced", None, 1, address, address, size)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._free(self._state)

    def handle(self, client: Hashable) -> int:
        """The number by which C knows the client."""
        if self._numbered:
            assert isinstance(client, int), "clients are numbers"
            return client
        found = self._handles.get(client)
        if found is None:
            found = self._handles[client] = self._next
            self._clients[found] = client
            self._next += 1
        return found

    def forget(self, client: Hashable) -> None:
        handle = self.handle(client)
        self._drop(self._state, None, handle)
        if not self._numbered:
            del self._handles[client], self._clients[handle]

    def image(self) -> bytes:
        """The state, in the encoding that every target shares."""
        size = self._save(self._state, None, 0)
        room = ctypes.create_string_buffer(size)
        self._save(self._state, room, size)
        return room.raw

    def restore(self, data: bytes) -> None:
        """Take over the state from an image; clients that wait go on waiting.  Raises `CodecError`, having changed
        nothing.
        """
        if self._load(self._state, data, len(data)):
            raise CodecError("the bytes are no image of this policy's state")

    def gap(self) -> int:
        """How far apart the counters of the waiting clients are, found in one call."""
        return int(self._gap(self._state))

    def _counters(self) -> NativeCounters:
        self._gap = _function(self._library, "admission_gap", ctypes.c_int64, 1)
        find = _function(self._library, "admission_counter", ctypes.c_int64, 1, ctypes.c_uint64)
        move = _function(self._library, "admission_move", None, 1, ctypes.c_uint64, ctypes.c_int64)
        return NativeCounters(
            lambda client: int(find(self._state, self.handle(client))),
            lambda client, change: move(self._state, self.handle(client), change),
        )

    def _picker(self, prefix: str) -> Callable[[], Hashable]:
        choose, state, clients = (
            _function(self._library, f"{prefix}_pick", ctypes.c_uint64, 2),
            self._state,
            self._clients,
        )
        if self._numbered:
            return partial(choose, state, None)
        return lambda: clients[choose(state, None)]

    def _hook(self, prefix: str, hook: ir.Function) -> Callable[..., None]:
        numbers = (ctypes.c_int64,) * (len(hook.params) - 1)
        state = self._state
        if isinstance(hook.params[0].type, KeyType):
            of_client = _function(self._library, f"{prefix}_{hook.name}", None, 2, ctypes.c_uint64, *numbers)
            if self._numbered:
                return partial(of_client, state, None)
            return lambda client, *rest: of_client(state, None, self.handle(client), *rest)
        about_request = _function(self._library, f"{prefix}_{hook.name}", None, 3, *numbers)

        def call(request: Held, *rest: int) -> None:
            """Calls with the request as C sees it; changed fields are updated first."""
            seen = request.seen
            if seen is None or seen.by is not self:
                seen = self._seen(request)
            else:
                seen.fields.produced = request.produced
                seen.fields.cached = request.cached
            about_request(state, None, seen.address, *rest)

        return call

    def _seen(self, request: Held) -> Seen:
        """The request as C sees it from now on, kept with the request."""
        made = _Request(self.handle(request.client), self.handle(request.group), *_numbers(request))
        seen = request.seen = Seen(self, ctypes.addressof(made), made)
        return seen

    def produced(self, step: Sequence[tuple[Held, int]]) -> None:
        """Charge what one step of an engine produced, in one call; for policies whose hooks take requests."""
        addresses = array("Q")
        for request, tokens in step:
            seen = request.seen
            if seen is None or seen.by is not self:
                seen = self._seen(request)
            request.produced += tokens
            addresses.append(seen.address)
        counts = array("q", [tokens for _, tokens in step])
        self._produced(self._state, addresses.buffer_info()[0], counts.buffer_info()[0], len(step))


class NativeCounters:
    """The tally that `pick` orders by, for those with whom it is shared."""

    def __init__(self, find: Callable[[Hashable], int], move: Callable[[Hashable, int], None]) -> None:
        self._find = find
        self._move = move

    def __getitem__(self, client: Hashable) -> int:
        return self._find(client)

    def __setitem__(self, client: Hashable, value: int) -> None:
        self._move(client, value - self._find(client))


class NativeWaiting:
    """Who waits: kept by the policy's own code."""

    def __init__(self, policy: NativePolicy, prefix: str) -> None:
        self._policy = policy
        self._members: dict[Hashable, None] = {}
        self._add = _function(policy._library, f"{prefix}_waiting_add", ctypes.c_bool, 1, ctypes.c_uint64)
        self._remove = _function(
            policy._library, f"{prefix}_waiting_remove", ctypes.c_bool, 1, ctypes.c_uint64
        )

    def append(self, client: Hashable) -> None:
        """A client that waits already stays where it is."""
        self._add(self._policy._state, self._policy.handle(client))
        self._members.setdefault(client)

    def remove(self, client: Hashable) -> None:
        self._remove(self._policy._state, self._policy.handle(client))
        self._members.pop(client, None)

    def __contains__(self, client: Hashable) -> bool:
        return client in self._members

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _prefix(program: ir.Program) -> str:
    return next(n.removesuffix(".c") for n in emitter.emit(program).files if n.endswith(".c"))


def _function(library: ctypes.PyDLL, name: str, result: Any, pointers: int, *rest: Any) -> Any:
    found = getattr(library, name)
    found.restype, found.argtypes = result, (*(ctypes.c_void_p,) * pointers, *rest)
    return found
