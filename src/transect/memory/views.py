# SPDX-License-Identifier: Apache-2.0
"""Views of a program bound to a kernel: every field is resolved in its BTF before anything is read.

The interpreter reads attributes of the objects made here (`objects.py`); their sequences are walks over containers
(`containers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from transect.base.counted import counted
from transect.core import ir
from transect.core.types import (
    BoolType,
    BytesType,
    EnumType,
    IntType,
    OptionType,
    SeqType,
    Type,
    ViewType,
    spell,
)
from transect.core.walk import walk
from transect.linux.btf import Btf, Kind
from transect.linux.btf import Type as KernelType
from transect.linux.errors import KernelDataError
from transect.memory import layout_text, walks
from transect.memory.containers import Containers, named
from transect.memory.fitting import fitting
from transect.memory.layout import Layout
from transect.memory.machine import Machine
from transect.memory.objects import Node, Value, field_reader
from transect.memory.paths import Path, begin, resolve, root

STRUCT = "memory.Struct"
WHOLE = 4096  # bytes that one read fetches at most
GAP = 1024  # bytes between two fields beyond which each gets a read of its own


@dataclass(frozen=True)
class Bound:
    """A field of a view, found in the kernel."""

    name: str
    type: Type
    path: Path | None  # None: a walk
    walk: Callable[[Machine, int], list[Value]] | None = None
    view: str = ""  # class of the structure to which it leads
    layout: Layout | None = None  # if the field is a walk


class Views:
    """The views of one program in one kernel."""

    def __init__(self, program: ir.Program, machine: Machine) -> None:
        """Raises `KernelDataError` which names every field that this kernel does not have."""
        self.machine = machine
        self.btf: Btf = machine.known.btf
        self._containers = Containers(machine, self.window)
        self._declared = {v.name: v for v in program.views}
        self._used = used_fields(program)
        self._classes: dict[str, type[Node]] = {}
        self.bounds: dict[str, list[Bound]] = {}  # by view: the fields that the program reads
        problems: list[str] = []
        for view in program.views:
            if view.base == STRUCT:
                self._bind(view, problems)
        if problems:
            raise KernelDataError("; ".join(problems))

    def together(self, view: str) -> int:
        """Bytes that one read of an object fetches."""
        cls = self._classes[view]
        return cls._high - cls._low

    def stretch(self, view: str) -> tuple[int, int]:
        """The stretch of an object that is read at once: from, to."""
        cls = self._classes[view]
        return cls._low, cls._high

    def stretches(self, view: str) -> dict[tuple[int, ...], tuple[int, int]]:
        """The stretch that is read at once behind pointers, by the pointers of an object on the way."""
        return self._far(self.bounds[view])

    # ------------------------------------------------------------ structures

    def struct_of(self, view: str) -> KernelType:
        declared = self._declared[view]
        return self.btf.struct(declared.of or declared.name)

    def node(self, view: str, address: int) -> Node:
        """The object of that view at an address."""
        return self._classes[view](self.machine, address)

    def _bind(self, view: ir.View, problems: list[str]) -> None:
        cls: type[Node] = type(view.name, (Node,), {"__slots__": ()})
        self._classes[view.name] = cls
        try:
            struct = self.struct_of(view.name)
        except KernelDataError as error:
            problems.append(str(error))
            return
        first: list[tuple[int, int]] = []
        bounds: list[Bound] = []
        for member in view.members:
            if member.name == "address" or member.name not in self._used.get(view.name, ()):
                continue
            try:
                bound = self._field(member, struct)
            except KernelDataError as error:
                problems.append(f"{view.name}.{member.name}: {error}")
                continue
            bounds.append(bound)
            if bound.path is not None:
                first.append((bound.path.first, self._width(bound)))
        far = self._far(bounds)
        for bound in bounds:
            setattr(cls, bound.name, property(self._getter(bound, far)))
        self.bounds[view.name] = bounds
        cls._low, cls._high = _window(first)

    def _far(self, bounds: Iterable[Bound]) -> dict[tuple[int, ...], tuple[int, int]]:
        """By the pointers that lead there: the stretch with all fields behind them, which is read at once."""
        found: dict[tuple[int, ...], tuple[int, int]] = {}
        for bound in bounds:
            if bound.path is None or len(bound.path.offsets) < 2:
                continue
            *pointers, last = bound.path.offsets
            width = min(max(self.btf.size_of(bound.path.type.id), 8 if bound.path.bits else 1), WHOLE)
            low, high = found.get(tuple(pointers), (last, last + width))
            found[tuple(pointers)] = min(low, last), max(high, last + width)
        return {pointers: (low, high) for pointers, (low, high) in found.items() if high - low <= WHOLE}

    def _field(self, member: ir.ViewMember, struct: KernelType) -> Bound:
        found = self._layout(member)
        item = member.type.item if isinstance(member.type, SeqType | OptionType) else member.type
        view = item.name if isinstance(item, ViewType) else ""
        if isinstance(member.type, SeqType):
            if found.kind == "at":
                raise KernelDataError("a sequence needs a container: `listed(…)`, `array(…)`, `maple(…)` …")
            walk_ = self.walk(found, struct, member.type)
            return Bound(member.name, member.type, None, walk_, view, found)
        found = fitting(found, self.btf, self.machine.known.symbols, struct)
        if found.kind != "at":
            raise KernelDataError(f"`{found.kind}` gives a sequence, not `{spell(member.type)}`")
        path = resolve(self.btf, struct, found.path)
        self._check(member.type, path)
        return Bound(member.name, member.type, path, None, view)

    def _layout(self, member: ir.ViewMember) -> Layout:
        if not member.layout:
            return Layout("at", member.name)
        found = layout_text.read(member.layout)
        if found is None:
            raise KernelDataError(f"`{member.layout}` is no layout")
        return found

    def _check(self, t: Type, path: Path) -> None:
        """Whether the kernel's field can be read as the view's type."""
        kind = path.type.kind
        match t:
            case IntType() | BoolType() | EnumType():
                good = kind in (Kind.INT, Kind.ENUM, Kind.ENUM64, Kind.PTR, Kind.FUNC_PROTO) or kind in (
                    Kind.STRUCT,
                    Kind.UNION,
                    Kind.ARRAY,
                )
            case BytesType():
                good = kind in (Kind.ARRAY, Kind.PTR)
            case ViewType() | OptionType(item=ViewType()):
                good = kind in (Kind.STRUCT, Kind.UNION, Kind.PTR)
            case _:
                good = False
        if not good:
            raise KernelDataError(f"`{path.text}` is {kind.name.lower()}, which is no `{spell(t)}`")

    def _width(self, bound: Bound) -> int:
        assert bound.path is not None
        if len(bound.path.offsets) > 1:
            return 8
        return min(max(self.btf.size_of(bound.path.type.id), 8 if bound.path.bits else 1), WHOLE)

    # ------------------------------------------------------------ reading fields

    def _getter(self, bound: Bound, far: dict[tuple[int, ...], tuple[int, int]]) -> Callable[[Node], Value]:
        if bound.walk is not None:
            walk_ = bound.walk
            return lambda node: walk_(node._machine, node.address)
        assert bound.path is not None
        stretch = far.get(bound.path.offsets[:-1])
        return field_reader(self.btf, self._classes, bound.type, bound.path, bound.view, stretch)

    # ------------------------------------------------------------ walks

    def root(self, found: Layout, t: Type) -> list[Value]:
        """A container of the whole kernel."""
        assert isinstance(t, SeqType), f"a root returns {spell(t)}"
        return self.walk(found, None, t)(self.machine, 0)

    def symbols(self, view: str) -> Value:
        """An object whose fields are symbols."""
        declared = self._declared[view]
        namespace: dict[str, Any] = {"__slots__": ()}
        for member in declared.members:
            if member.name in self._used.get(view, ()):
                namespace[member.name] = property(self._symbol(member))
        return type(view, (Node,), namespace)(self.machine, 0)

    def _symbol(self, member: ir.ViewMember) -> Callable[[Node], Value]:
        found = self._layout(member)
        if isinstance(member.type, SeqType):
            walk_ = self.walk(found, None, member.type)
            return lambda node: walk_(node._machine, 0)
        found = fitting(found, self.btf, self.machine.known.symbols)
        start = root(self.btf, found.path)
        if start.path.type.kind is Kind.VOID:
            if not isinstance(member.type, IntType):
                raise KernelDataError(f"`{found.path}` has no type: write it before the symbol")
            size = max(member.type.bits // 8, 1)
            return lambda node: int.from_bytes(
                node._machine.read(begin(node._machine, start), size), "little"
            )
        item = member.type.item if isinstance(member.type, OptionType) else member.type
        view = item.name if isinstance(item, ViewType) else ""
        read = field_reader(self.btf, self._classes, member.type, start.path, view)
        return lambda node: read(Node(node._machine, begin(node._machine, start)))

    def walk(
        self, found: Layout, struct: KernelType | None, t: SeqType
    ) -> Callable[[Machine, int], list[Value]]:
        """A function from the owner's address to the container's elements.  All names are resolved now."""
        item = t.item
        if isinstance(item, ViewType):
            of: KernelType | None = self.struct_of(item.name)
            view = item.name
        elif isinstance(item, IntType):
            of = self.btf.struct(found.of) if found.of else None
            view = ""
        else:
            raise KernelDataError(f"a walk gives structures or addresses, not `{spell(item)}`")
        elements = self._containers.elements(found, struct, of, view)

        def run(machine: Machine, owner: int) -> list[Value]:
            made: list[Value] = []
            for address, start, data in elements(machine, owner):
                made.append(self._classes[view](machine, address, start, data) if view else address)
            if len(made) < found.least:
                raise KernelDataError(
                    f"`{named(found)}` gave {counted(len(made), 'element')}, and at least {found.least} must be there"
                )
            return made

        return run

    def window(self, view: str, link: int) -> walks.Window:
        """The bytes to read together with a link: those that the view needs, if they are near."""
        if not view or view not in self._classes:
            return walks.PLAIN
        cls = self._classes[view]
        low, high = min(cls._low, link), max(cls._high, link + 16)
        if cls._high <= cls._low or high - low > WHOLE:
            return walks.PLAIN
        return walks.Window(link - low, high - link)


def _window(fields: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The stretch of a structure that is read at once: all its fields, when no two are far apart; else the first."""
    low = high = 0
    for offset, width in sorted(fields):
        if high == low:
            low, high = offset, offset + width
        elif offset + width - low <= WHOLE and offset - high <= GAP * 3:
            high = max(high, offset + width)
    return low, high


def used_fields(program: ir.Program) -> dict[str, set[str]]:
    """By view: the fields that a program reads."""
    used: dict[str, set[str]] = {}
    for function in (*program.functions, *program.handlers):
        for statement in function.body:
            for node in walk(statement):
                match node:
                    case ir.ViewField(base=base, name=name) if isinstance(base.type, ViewType):
                        used.setdefault(base.type.name, set()).add(name)
    return used
