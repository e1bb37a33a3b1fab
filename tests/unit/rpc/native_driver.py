# SPDX-License-Identifier: Apache-2.0
"""An emitted chain behind the same calls as `PythonChain`, through ctypes: for tests only."""

from __future__ import annotations

import ctypes as ct
import subprocess
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from transect.lang.tape import Tape
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.python import Action, ChainEnding, ChainVerdict
from transect.rpc.chain.record import Record
from transect.rpc.chain.views import HeaderStore, HeadersView
from transect.rpc.native.chain import emit_chain

FLAGS = ["-std=gnu11", "-O0", "-g", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
# What a random policy asks may be known beforehand.
FLAGS += ["-Wno-tautological-compare", "-Wno-type-limits"]
# The sanitizers' run-time libraries cannot be loaded into a running Python; this traps on what they would report.
TRAPS = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]


class Slice(ct.Structure):
    _fields_ = [("data", ct.c_void_p), ("size", ct.c_uint32)]

    @property
    def bytes(self) -> bytes:
        return ct.string_at(self.data, self.size) if self.size else b""


class _Record(ct.Structure):
    _fields_ = [
        ("sequence", ct.c_uint64),
        ("rpc", ct.c_uint64),
        ("element", ct.c_uint32),
        ("hook", ct.c_uint32),
        ("arguments", Slice),
        ("tape", Slice),
        ("result", Slice),
    ]


NOW = ct.CFUNCTYPE(ct.c_int64, ct.c_void_p)
DRAW = ct.CFUNCTYPE(ct.c_uint64, ct.c_void_p)
GET = ct.CFUNCTYPE(ct.c_int, ct.c_void_p, ct.c_int, Slice, ct.POINTER(Slice))
SET = ct.CFUNCTYPE(None, ct.c_void_p, ct.c_int, Slice, Slice)
REMOVE = ct.CFUNCTYPE(None, ct.c_void_p, ct.c_int, Slice)


class _Said(ct.Structure):
    _fields_ = [
        ("name", ct.c_char_p),
        ("element", ct.c_uint32),
        ("count", ct.c_uint32),
        ("left_out", ct.c_uint32),
        ("texts", Slice * 64),
    ]


TRACE = ct.CFUNCTYPE(None, ct.c_void_p, ct.POINTER(_Said))
RECORD = ct.CFUNCTYPE(None, ct.c_void_p, ct.POINTER(_Record))


class _Carrier(ct.Structure):
    _fields_ = [
        ("now", NOW),
        ("draw", DRAW),
        ("header_get", GET),
        ("header_set", SET),
        ("header_remove", REMOVE),
        ("trace", TRACE),
        ("record", RECORD),
        ("took", ct.c_void_p),  # nobody counts
    ]


class _Rpc(ct.Structure):
    _fields_ = [("carrier", ct.POINTER(_Carrier)), ("ctx", ct.c_void_p), ("method", Slice), ("peer", Slice)]


class _Verdict(ct.Structure):
    _fields_ = [
        ("action", ct.c_int),
        ("code", ct.c_int),
        ("text", Slice),
        ("rewritten", ct.c_int),
        ("message", Slice),
        ("after", ct.c_int64),
        ("to", Slice),
        ("element", ct.c_uint32),
    ]


class _Ending(ct.Structure):
    _fields_ = [("retry", ct.c_int), ("after", ct.c_int64)]


def slice_of(data: bytes) -> tuple[Slice, Any]:
    """A slice, and what keeps its bytes alive: a copy on the heap, so that a tool may notice reading beyond its end."""
    buffer = ct.create_string_buffer(data, len(data)) if data else None
    return Slice(ct.addressof(buffer) if buffer else None, len(data)), buffer


def build(
    binding: Binding, folder: Path, *, flags: Sequence[str] = TRAPS, pass_unknown: bool = False
) -> Path:
    emit_chain(binding, pass_unknown=pass_unknown).write(folder)
    done = subprocess.run(
        ["gcc", *FLAGS, *flags, "chain.c", "-o", "chain.so"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "chain.so"


class NativeChain:
    def __init__(self, library: Path, *, recording: Any = None) -> None:
        self.library = ct.CDLL(str(library))
        self.library.ts_chain_new.restype = ct.c_void_p
        self.library.ts_chain_save.restype = ct.c_size_t
        for name in ("free", "save", "load", "request", "response", "finish"):
            getattr(self.library, f"ts_chain_{name}").argtypes = None
        self.chain = ct.c_void_p(self.library.ts_chain_new())
        self.rpc_size = ct.c_size_t.in_dll(self.library, "ts_chain_rpc_size").value
        self.recording = recording
        self._numbers = count()

    @property
    def description(self) -> str:
        return ct.string_at(ct.addressof(ct.c_char.in_dll(self.library, "ts_chain_description"))).decode()

    def close(self) -> None:
        self.library.ts_chain_free(self.chain)

    def rpc(self, method: str, peer: str, headers: HeaderStore, tape: Tape) -> NativeRpc:
        return NativeRpc(self, method, peer, headers, tape)

    def save(self, element: int) -> bytes:
        size = self.library.ts_chain_save(self.chain, element, None, ct.c_size_t(0))
        image = ct.create_string_buffer(size)
        assert self.library.ts_chain_save(self.chain, element, image, ct.c_size_t(size)) == size
        return image.raw

    def load(self, element: int, image: bytes) -> int:
        return int(self.library.ts_chain_load(self.chain, element, image, ct.c_size_t(len(image))))


class NativeRpc:
    def __init__(self, chain: NativeChain, method: str, peer: str, headers: HeaderStore, tape: Tape) -> None:
        self.chain = chain
        self._headers = headers
        self._tape = tape
        self.traces: list[str] = []
        self.left_out = 0
        self._answer: Any = None
        self._carrier = _Carrier(
            NOW(lambda _: tape.now()),
            DRAW(lambda _: tape.draw()),
            GET(self._get),
            SET(self._set),
            REMOVE(lambda _, side, name: headers.remove(side, name.bytes.decode())),
            TRACE(self._trace),
            RECORD(self._record) if chain.recording is not None else RECORD(),
        )
        (method_slice, self._m), (peer_slice, self._p) = slice_of(method.encode()), slice_of(peer.encode())
        self._rpc = _Rpc(ct.pointer(self._carrier), None, method_slice, peer_slice)
        memory = ct.create_string_buffer(chain.rpc_size + 16)
        self._memory = memory
        self._state = ct.c_void_p((ct.addressof(memory) + 15) & ~15)

    def _get(self, _: int, side: int, name: Slice, value: Any) -> int:
        found = self._headers.get(side, name.bytes.decode())
        if found is None:
            return 0
        made, self._answer = slice_of(found.encode())
        value[0] = made
        return 1

    def _set(self, _: int, side: int, name: Slice, value: Slice) -> None:
        HeadersView(self._headers, side).set(name.bytes.decode(), value.bytes.decode())

    def _trace(self, _: int, found: Any) -> None:
        said = found[0]
        self.traces += (text.bytes.decode() for text in said.texts[: said.count])
        self.left_out += said.left_out

    def _record(self, _: int, record: Any) -> None:
        r = record[0]
        self.chain.recording(
            Record(r.sequence, r.rpc, r.element, r.hook, r.arguments.bytes, r.tape.bytes, r.result.bytes)
        )

    def request(self, message: bytes) -> ChainVerdict:
        return self._message("ts_chain_request", message)

    def response(self, message: bytes) -> ChainVerdict:
        return self._message("ts_chain_response", message)

    def _message(self, name: str, message: bytes) -> ChainVerdict:
        given, keep = slice_of(message)
        found = self.message_at(name, given)
        del keep
        return found

    def message_at(self, name: str, given: Slice) -> ChainVerdict:
        """The same for bytes which are in memory already."""
        out = _Verdict()
        getattr(self.chain.library, name)(
            self.chain.chain, self._state, ct.byref(self._rpc), given, ct.byref(out)
        )
        return ChainVerdict(
            Action(out.action),
            out.code,
            out.text.bytes,
            out.message.bytes if out.rewritten else None,
            out.after,
            None if out.to.data is None else out.to.bytes.decode(),
            out.element,
        )

    def finish(self, code: int, cause: int, elapsed: int) -> ChainEnding:
        out = _Ending()
        library = self.chain.library
        library.ts_chain_finish(
            self.chain.chain,
            self._state,
            ct.byref(self._rpc),
            code,
            cause,
            ct.c_int64(elapsed),
            ct.byref(out),
        )
        return ChainEnding(bool(out.retry), out.after)
