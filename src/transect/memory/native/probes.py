# SPDX-License-Identifier: Apache-2.0
"""Probes that run in C on one machine: bound to its kernel once, then a round is one call.

A round reports the same as with `scan.Prepared`, which is the definition, and fails in the same cases.
"""

from __future__ import annotations

import ctypes as ct
import struct
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from transect.base.unavailable import Unavailable
from transect.control.operating import NATIVE
from transect.core.codec import Reader, encode
from transect.core.effects import effects
from transect.core.ir import FieldKind, IntrinsicDecl
from transect.lang.tape import Tape
from transect.linux.errors import KernelDataError
from transect.linux.physical import FileMemory
from transect.memory.findings import Said
from transect.memory.machine import Machine
from transect.memory.native.build import FLAGS, library
from transect.memory.native.lowering import Emitted, emit
from transect.memory.native.tables import U64, CPlan, Tables
from transect.memory.questions import Answers
from transect.memory.roots import layouts_of_roots
from transect.memory.scan import Prepared, Rounds

SAID = 1 << 22  # bytes of a round's reports
DONE, PROBLEM, MOVED = range(3)
CAUGHT = 2  # the kind of a report, as `tm_say` writes it
PACKAGED = frozenset(
    f"memory.{name}"
    for name in ("original", "direct_calls", "changed_tables", "changed_pointers", "changed_text")
)
REMEMBERED = 1024
SIZE, SAYS = struct.Struct("<I"), struct.Struct("<BI")
NUMBERS = {ord(kind): struct.Struct(f"<{form}") for kind, form in (("i", "q"), ("u", "Q"), ("b", "?"))}
TEXT = ord("t")


class CExtent(ct.Structure):
    _fields_ = (("start", U64), ("end", U64), ("offset", U64))


class CMachine(ct.Structure):
    _fields_ = (
        ("memory", ct.c_void_p), ("extents", ct.POINTER(CExtent)), ("count", U64), ("top", U64), ("linear", U64),
        ("slide", U64), ("base", U64), ("root", U64), ("levels", U64), ("text", U64), ("image_size", U64),
        ("banner", U64), ("banner_size", U64), ("banner_text", ct.c_char_p), ("expected", ct.c_char_p),
        ("expected_at", U64), ("expected_size", U64), ("closed", ct.c_char_p), ("text_low", U64), ("text_high", U64),
        ("sites", ct.c_void_p), ("sites_count", U64), ("pointers", ct.c_void_p), ("pointers_count", U64),
    )  # fmt: skip


class CWriter(ct.Structure):
    _fields_ = (("data", ct.c_void_p), ("room", ct.c_size_t), ("size", ct.c_size_t))


ASK = ct.CFUNCTYPE(None, ct.POINTER(ct.c_uint8), ct.c_uint32, ct.POINTER(ct.c_uint8), ct.c_uint32)


class CRound(ct.Structure):
    _fields_ = (
        ("machine", ct.POINTER(CMachine)), ("plan", ct.POINTER(CPlan)), ("number", U64), ("reads", U64), ("bytes", U64),
        ("said", CWriter), ("ask", ASK), ("answer", ct.c_char_p), ("answer_size", U64), ("books", ct.c_void_p),
        ("books_count", U64), ("books_room", U64), ("booked", U64), ("problem", ct.c_char * 256),
        ("pages", U64 * (3 * REMEMBERED)),
    )  # fmt: skip


class Mapped:
    """A machine's memory file in our address space, and what C knows of the machine."""

    def __init__(self, machine: Machine, package: bool, text: bool, pointers: bool) -> None:
        """`package`: the constant memory of the kernel's package is needed; `text`: its patched places, too;
        `pointers`: those to functions in its data.

        Raises `Unavailable` for a target whose memory is no file, OSError.
        """
        if not isinstance(machine.physical, FileMemory):
            raise Unavailable(
                "probes in C",
                f"{machine.name} is not a file of memory",
                "give ram:FILE, or leave `--engine c` away",
            )
        self.machine = machine
        self._file = machine.physical
        self._memory = self._file.map()
        self._where = machine.where
        self.known = CMachine()
        self._keep: list[Any] = []
        extents = self._file.extents
        table = (CExtent * len(extents))(*(CExtent(e.start, e.end, e.offset) for e in extents))
        c, where, symbols = self.known, machine.where, machine.known.symbols
        c.memory, c.extents, c.count = self._memory.address, table, len(extents)
        c.top = max(e.end for e in extents)
        c.linear, c.slide, c.base, c.root, c.levels = (
            where.linear, where.slide & (1 << 64) - 1, where.base, where.root, where.levels,
        )  # fmt: skip
        c.text, c.image_size = machine.text, machine.image_size
        c.banner = where.physical(symbols.address("linux_banner"), machine.text)
        c.banner_text, c.banner_size = machine.known.banner, len(machine.known.banner)
        c.text_low, c.text_high = symbols.address("_stext"), symbols.address("_etext")
        self._keep += [table, machine.known.banner]
        if package and machine.known.image is not None:
            self._package(Answers(machine), text, pointers)

    def _package(self, answers: Answers, text: bool, pointers: bool) -> None:
        c, expected = self.known, answers.expected
        c.expected, c.expected_at, c.expected_size = expected.memory, expected.start, len(expected.memory)
        self._keep.append(expected)
        if text:
            sites = array("Q", sorted({s.address for s in expected.sites if s.size >= 5}))
            c.closed = expected.closed
            c.sites, c.sites_count = sites.buffer_info()
            self._keep += [sites, expected.closed]
        if pointers:
            held = array("Q", expected.pointers)
            c.pointers, c.pointers_count = held.buffer_info()
            self._keep.append(held)

    @property
    def there(self) -> bool:
        """Whether the file is still the one that was mapped."""
        return self._where == self.machine.where and self._file.whole


class Native:
    """Probes in C for one machine.  Their state is kept by the interpreter's probes, so that others see it there."""

    def __init__(self, machine: Machine, prepared: Sequence[Prepared], flags: Sequence[str] = FLAGS) -> None:
        """Raises `KernelDataError`, `Unavailable` (no compiler; no file of memory; a probe that C has no form for)."""
        programs = [p.program for p in prepared]
        for program in programs:
            if any(f.kind is FieldKind.GIVEN for f in program.state):
                raise Unavailable(
                    f"{program.name} in C", "it names symbols by `given()`", "leave `--engine c` away"
                )
            if any(
                touches.clock or touches.random for touches in (effects(program, h) for h in program.handlers)
            ):
                raise Unavailable(
                    f"{program.name} in C", "it asks for time or chance", "leave `--engine c` away"
                )
        artifact, made = emit(programs, frozenset(layouts_of_roots()))
        self._library = library(artifact, flags)
        used = {i.name for p in programs for i in p.intrinsics}
        self.mapped = Mapped(
            machine, bool(used & PACKAGED), "memory.changed_text" in used, "memory.changed_pointers" in used
        )
        self.probes: Mapping[str, NativeProbe] = {
            p.program.name: NativeProbe(self.mapped, p, e, self._library)
            for p, e in zip(prepared, made, strict=True)
        }


def native(machine: Machine, prepared: Sequence[Prepared]) -> Mapping[str, Rounds]:
    """The engine `c`.  Raises as `Native`."""
    return Native(machine, prepared).probes


class NativeProbe:
    """One probe in C."""

    runs_as: ClassVar = NATIVE

    def __init__(self, mapped: Mapped, prepared: Prepared, emitted: Emitted, lib: ct.CDLL) -> None:
        self.prepared = prepared
        self.program = prepared.program
        self._mapped = mapped
        self._asked = {i.name: i for i in self.program.intrinsics}
        self._tables = Tables(self.program, prepared.views, emitted.views)
        self._said = ct.create_string_buffer(SAID)
        self._ask = ASK(self._answer)
        self._wrong: KernelDataError | None = None
        self._given = b""  # the last answer
        self._names: dict[bytes, str] = {}  # by their bytes in the evidence
        self._round = CRound(
            machine=ct.pointer(mapped.known), plan=ct.pointer(self._tables.plan), ask=self._ask,
            said=CWriter(ct.addressof(self._said), SAID, 0),
        )  # fmt: skip
        make, self._save, self._load = (
            getattr(lib, f"{emitted.prefix}_{n}") for n in ("new", "save", "load")
        )
        make.restype, make.argtypes = ct.c_void_p, [U64]
        self._save.restype, self._save.argtypes = ct.c_size_t, [ct.c_void_p, ct.c_char_p, ct.c_size_t]
        self._load.argtypes = [ct.c_void_p, ct.c_char_p, ct.c_size_t]
        self._state = ct.c_void_p(make(0))
        self._run = getattr(lib, f"{emitted.prefix}_round")
        self._run.argtypes = [ct.c_void_p, ct.POINTER(CRound)]
        self._to = ct.pointer(self._round)

    def round(self, machine: Machine, tape: Tape | None = None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        """What one round reports and shows.  Raises `KernelDataError`."""
        reads, size = self._round.reads, self._round.bytes
        if not self._mapped.there:
            raise KernelDataError("the target's memory is not where it was; this round was not checked")
        if self._asked.keys() & QUESTIONS:
            self.prepared.answers.begin()
        self._wrong = None
        if self.program.state:
            self._take_over()
        ended = self._run(self._state, self._to)
        machine.counts.reads += self._round.reads - reads
        machine.counts.bytes += self._round.bytes - size
        if ended == MOVED:
            machine.begin()
            raise KernelDataError("the kernel has left its place; this round was not checked")
        if self._wrong is not None:
            raise self._wrong
        if ended == PROBLEM:
            raise KernelDataError(self._round.problem.decode("utf-8", "replace"))
        if self.program.state:
            self._hand_back()
        return self._heard()

    def _take_over(self) -> None:
        image = self.prepared.instance.image()
        done = self._load(self._state, image, len(image))
        assert done == 0, f"the state of {self.program.name} cannot be loaded ({done})"

    def _hand_back(self) -> None:
        size = self._save(self._state, None, 0)
        image = ct.create_string_buffer(size)
        self._save(self._state, image, size)
        self.prepared.instance.load(image.raw)

    def _heard(self) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        size = self._round.said.size
        if size == 0:
            return (), ()
        if size > SAID:
            raise KernelDataError(f"the probe says more than {SAID} bytes")
        said = ct.string_at(self._said, size)
        reported, shown = list[Said](), list[Said]()
        at, names = 0, self._names
        while at < size:
            how, what_size = SAYS.unpack_from(said, at)
            at += SAYS.size + what_size
            what = said[at - what_size : at]
            (count,) = SIZE.unpack_from(said, at)
            at += SIZE.size
            evidence = []
            for _ in range(count):
                (name_size,) = SIZE.unpack_from(said, at)
                at += SIZE.size + name_size
                name = said[at - name_size : at]
                value, at = _value(said, at)
                evidence.append((names.get(name) or names.setdefault(name, name.decode()), value))
            (reported if how else shown).append(Said(what.decode(), tuple(evidence), how == CAUGHT))
        return tuple(reported), tuple(shown)

    def _answer(self, name: Any, name_size: int, given: Any, size: int) -> None:
        """A question that C does not answer itself.  An exception cannot pass through C: it is raised at the end of the
        round.
        """
        try:
            answer = self._answered(
                ct.string_at(name, name_size).decode(), ct.string_at(given, size) if size else b""
            )
        except KernelDataError as wrong:
            self._wrong = self._wrong or wrong
            answer = b""
        self._given = answer
        self._round.answer, self._round.answer_size = answer, len(answer)

    def _answered(self, name: str, given: bytes) -> bytes:
        machine = self._mapped.machine
        if name == "function":
            start = machine.known.symbols.address(given.decode())
            end = machine.known.symbols.next_address(start) or start
            return start.to_bytes(8, "little") + end.to_bytes(8, "little")
        if name == "trace":
            self.prepared.functions["trace"](given.decode())
            return b""
        declared: IntrinsicDecl = self._asked[name]
        read = Reader(given)
        arguments = [read.value(p.type) for p in declared.params]
        return encode(declared.returns, getattr(self.prepared.answers, name.rpartition(".")[2])(*arguments))


QUESTIONS = frozenset(f"memory.{name}" for name in ("name_of", "original_bytes", "proc_operations", "symbol"))


def _value(said: bytes, at: int) -> tuple[Any, int]:
    """The value at that place, whose kind `tm_named` and the functions after it write; and where it ends."""
    kind = said[at]
    if kind in NUMBERS:
        form = NUMBERS[kind]
        return form.unpack_from(said, at + 1)[0], at + 1 + form.size
    start = at + 1 + SIZE.size
    end = start + SIZE.unpack_from(said, at + 1)[0]
    return (said[start:end].decode() if kind == TEXT else said[start:end]), end
