# SPDX-License-Identifier: Apache-2.0
"""Views of a program bound to a kernel: every field is resolved in its BTF before anything is read.

The interpreter reads attributes of the objects made here.  All fields of an object that stand close together come by
one read, at the first use, so they were true at one moment.
"""

from __future__ import annotations

import struct as packed
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from transect.core import ir
from transect.core.types import (
    BoolType,
    BytesType,
    EnumType,
    IntType,
    OptionType,
    SeqType,
    TextType,
    Type,
    ViewType,
    spell,
)
from transect.core.walk import walk
from transect.linux.btf import Btf, Kind
from transect.linux.btf import Type as KernelType
from transect.linux.errors import KernelDataError
from transect.memory import layout_text, walks
from transect.memory.layout import Layout
from transect.memory.machine import Machine
from transect.memory.paths import NullPointer, Path, Root, resolve, root

STRUCT, SYMBOLS = "memory.Struct", "memory.Symbols"
WHOLE = 4096  # bytes that one read fetches at most
GAP = 1024  # bytes between two fields which are not worth a read of their own
STRING = 256  # bytes of a text behind a pointer at most

Value: TypeAlias = Any
Fetch: TypeAlias = Callable[[int, int], bytes]
"""(offset, size) -> bytes of an object that may have been read already."""

Heads: TypeAlias = Callable[[Machine, int], Iterator[tuple[int, int]]]
"""(machine, owner) -> where containers begin, and how many elements each has (0: it says so itself, or ends)."""

Step: TypeAlias = Callable[[Machine, int, int], Iterator[tuple[int, int, bytes]]]
"""(machine, head, count) -> address of each element, and the bytes from an address on that came with it."""

NONE = -1  # a count that was read and is 0


@dataclass(frozen=True)
class Bound:
    """A field of a view, found in the kernel."""

    name: str
    type: Type
    path: Path | None  # None: a walk
    walk: Callable[[Machine, int], list[Value]] | None = None
    view: str = ""  # class of what it leads to
    layout: Layout | None = None  # of a walk


class Node:
    """An object of the kernel, as a probe sees it."""

    __slots__ = ("_data", "_far", "_machine", "_start", "address")
    _low = 0
    _high = 0

    def __init__(self, machine: Machine, address: int, start: int = 0, data: bytes = b"") -> None:
        self._machine = machine
        self.address = address
        self._start = start  # address of the first byte of `_data`
        self._data = data
        self._far: dict[
            tuple[int, ...], tuple[int, bytes]
        ] = {}  # by pointers followed: where they lead, what is there

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.address:#x}>"

    def fetch(self, offset: int, size: int) -> bytes:
        """Bytes of the object itself."""
        at = self.address + offset - self._start
        if at >= 0 and at + size <= len(self._data):
            return self._data[at : at + size]
        low, high = self._low, self._high
        if low <= offset and offset + size <= high:
            self._data = self._machine.read(self.address + low, high - low)
            self._start = self.address + low
            return self._data[offset - low : offset - low + size]
        return self._machine.read(self.address + offset, size)

    def holds(self, pointers: tuple[int, ...], address: int, data: bytes) -> None:
        """What was read already: of the object itself, or behind pointers that lead to `address`."""
        if pointers:
            self._far[pointers] = address, data
        else:
            self._start, self._data = address, data

    def behind(self, path: Path, low: int, high: int) -> tuple[int, bytes]:
        """Behind the pointers of a path: the address, and its bytes from `low` to `high`, read once."""
        pointers = path.offsets[:-1]
        if pointers not in self._far:
            address = int.from_bytes(self.fetch(pointers[0], 8), "little")
            for offset in pointers[1:]:
                address = self._machine.u64(_pointer(address, path) + offset)
            address = _pointer(address, path)
            self._far[pointers] = address, self._machine.read(address + low, high - low)
        return self._far[pointers]


class Views:
    """The views of one program in one kernel."""

    def __init__(self, program: ir.Program, machine: Machine) -> None:
        """Raises `KernelDataError` which names every field that this kernel does not have."""
        self.machine = machine
        self.btf: Btf = machine.known.btf
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
        """From where to where of an object is read at once."""
        cls = self._classes[view]
        return cls._low, cls._high

    def stretches(self, view: str) -> dict[tuple[int, ...], tuple[int, int]]:
        """By the pointers of an object: from where to where is read behind them."""
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
        """By the pointers that lead there: the stretch which holds all fields behind them; it is read at once."""
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
        return self._reader(bound.type, bound.path, bound.view, far.get(bound.path.offsets[:-1]))

    def _reader(
        self, t: Type, path: Path, view: str, stretch: tuple[int, int] | None = None
    ) -> Callable[[Node], Value]:
        decode = self._decoder(t, path, view)
        *pointers, last = path.offsets

        def read(node: Node) -> Value:
            if not pointers:
                return decode(node._machine, node.address + last, node.fetch, last)
            if stretch is not None:
                low, high = stretch
                base, data = node.behind(path, low, high)
                fetch: Fetch = lambda at, size: data[at - low : at - low + size]  # noqa: E731
                return decode(node._machine, base + last, fetch, last)
            address = int.from_bytes(node.fetch(pointers[0], 8), "little")
            for offset in pointers[1:]:
                address = node._machine.u64(_pointer(address, path) + offset)
            return decode(node._machine, _pointer(address, path) + last, None, last)

        return read

    def _decoder(self, t: Type, path: Path, view: str) -> Callable[..., Value]:
        """(machine, address, fetch within the object or None, offset) -> value"""
        kind, size = path.type.kind, self.btf.size_of(path.type.id)
        signed = path.type.signed

        def take(
            machine: Machine, address: int, fetch: Callable[[int, int], bytes] | None, offset: int, count: int
        ) -> bytes:
            return fetch(offset, count) if fetch is not None else machine.read(address, count)

        def number(machine: Machine, address: int, fetch: Any, offset: int) -> int:
            if kind in (Kind.STRUCT, Kind.UNION, Kind.ARRAY):
                return address
            if path.bits:
                raw = int.from_bytes(take(machine, address, fetch, offset, 8), "little")
                value, width = raw >> path.bit & (1 << path.bits) - 1, path.bits
            else:
                value, width = int.from_bytes(take(machine, address, fetch, offset, size), "little"), size * 8
            negative = signed and width and value >> (width - 1)
            return _fit(t, value - (1 << width) if negative else value)

        def text(machine: Machine, address: int, fetch: Any, offset: int) -> bytes:
            if kind is Kind.PTR:
                pointer = int.from_bytes(take(machine, address, fetch, offset, 8), "little")
                return machine.text_at(pointer, STRING) if pointer else b""
            return take(machine, address, fetch, offset, size).split(b"\0", 1)[0]

        def node(machine: Machine, address: int, fetch: Any, offset: int) -> Node | None:
            if kind is Kind.PTR:
                pointer = int.from_bytes(take(machine, address, fetch, offset, 8), "little")
                if not pointer and isinstance(t, OptionType):
                    return None
                address = _pointer(pointer, path)
            return self._classes[view](machine, address)

        match t:
            case BytesType() | TextType():
                return text
            case ViewType() | OptionType(item=ViewType()):
                return node
            case BoolType():
                return lambda *where: number(*where) != 0
            case _:
                return number

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
        start = root(self.btf, found.path)
        if start.path.type.kind is Kind.VOID:
            if not isinstance(member.type, IntType):
                raise KernelDataError(f"`{found.path}` has no type: write it before the symbol")
            size = max(member.type.bits // 8, 1)
            return lambda node: int.from_bytes(node._machine.read(self._at(start), size), "little")
        item = member.type.item if isinstance(member.type, OptionType) else member.type
        view = item.name if isinstance(item, ViewType) else ""
        read = self._reader(member.type, start.path, view)
        return lambda node: read(Node(node._machine, self._at(start)))

    def _at(self, start: Root) -> int:
        address = self.machine.symbol(start.symbol)
        return _pointer(self.machine.u64(address), start.path) if start.pointer else address

    def walk(
        self, found: Layout, struct: KernelType | None, t: SeqType
    ) -> Callable[[Machine, int], list[Value]]:
        """The elements of a container, as a function of where its owner is.  Resolves everything now."""
        item = t.item
        if isinstance(item, ViewType):
            of: KernelType | None = self.struct_of(item.name)
            view = item.name
        elif isinstance(item, IntType):
            of = self.btf.struct(found.of) if found.of else None
            view = ""
        else:
            raise KernelDataError(f"a walk gives structures or addresses, not `{spell(item)}`")
        elements = self._elements(found, struct, of, view)

        def run(machine: Machine, owner: int) -> list[Value]:
            made: list[Value] = []
            for address, start, data in elements(machine, owner):
                made.append(self._classes[view](machine, address, start, data) if view else address)
            if len(made) < found.least:
                raise KernelDataError(
                    f"`{_named(found)}` gave {len(made)} elements, and at least {found.least} must be there"
                )
            return made

        return run

    def _elements(
        self, found: Layout, struct: KernelType | None, of: KernelType | None, view: str
    ) -> Callable[[Machine, int], Iterator[tuple[int, int, bytes]]]:
        """(address, start of data, data) of each element."""
        if found.kind == "together":
            parts = [self._elements(part, struct, of, view) for part in found.parts]
            return lambda machine, owner: (e for part in parts for e in part(machine, owner))
        heads = self._heads(found, struct)
        step = self._step(found, of, view)

        def run(machine: Machine, owner: int) -> Iterator[tuple[int, int, bytes]]:
            for number, (head, count) in enumerate(heads(machine, owner)):
                if number > found.most:
                    raise KernelDataError(f"`{_named(found)}` has more than {found.most} parts")
                yield from step(machine, head, count)

        return run

    def _heads(self, found: Layout, struct: KernelType | None) -> Heads:
        """Where containers of this kind begin: one, or one in each element of another container.

        With each comes how many elements it has, where the layout says so.
        """
        if found.kind == "percpu":
            return self._percpu(found)
        if found.inner is not None:
            return self._heads_within(found, found.inner, struct)
        if struct is not None:
            path = resolve(self.btf, struct, found.path)
            count = self._count(found, struct)
            behind = self._behind(found, path)
            return lambda machine, owner: iter(
                ((behind(machine, follow(machine, owner, path)), count(machine, owner)),)
            )
        start = root(self.btf, found.path)
        self.machine.known.symbols.address(
            start.symbol
        )  # now, so that a missing symbol is told before a scan
        fixed = found.count if isinstance(found.count, int) else 0
        after = self._behind(found, start.path)
        return lambda machine, _: iter(
            ((after(machine, follow(machine, self._at(start), start.path)), fixed),)
        )

    def _heads_within(self, found: Layout, inner: Layout, struct: KernelType | None) -> Heads:
        of = self._type_of_elements(inner)
        elements = self._elements(inner, struct, of, "")
        path = resolve(self.btf, of, found.path)
        count = self._count(found, of)
        behind = self._behind(found, path)

        def run(machine: Machine, owner: int) -> Iterator[tuple[int, int]]:
            seen = 0
            for address, _, _ in elements(machine, owner):
                seen += 1
                yield behind(machine, follow(machine, address, path)), count(machine, address)
            if seen < inner.least:
                raise KernelDataError(
                    f"`{_named(inner)}` gave {seen} elements, and at least {inner.least} must be there"
                )

        return run

    def _count(self, found: Layout, struct: KernelType) -> Callable[[Machine, int], int]:
        if isinstance(found.count, int):
            fixed = found.count
            return lambda machine, owner: fixed
        path = resolve(self.btf, struct, found.count)
        size = self.btf.size_of(path.type.id)

        def count(machine: Machine, owner: int) -> int:
            total = int.from_bytes(machine.read(follow(machine, owner, path), size), "little")
            if total > found.most:
                raise KernelDataError(f"`{found.count}` says {total} elements; {found.most} are the most")
            return total or NONE

        return count

    def _behind(self, found: Layout, path: Path) -> Callable[[Machine, int], int]:
        """Arrays may stand behind a pointer."""
        if found.kind in ("array", "pointers") and path.type.kind is Kind.PTR:
            return lambda machine, at: machine.u64(at)
        return lambda machine, at: at

    def _type_of_elements(self, inner: Layout) -> KernelType:
        if inner.of:
            return self.btf.struct(inner.of)
        raise KernelDataError(f"`{_named(inner)}` needs `of=`: the type of its elements")

    def _percpu(self, found: Layout) -> Heads:
        start = root(self.btf, found.path)
        self.machine.known.symbols.address(start.symbol)
        pointer = start.path.type.kind is Kind.PTR

        def each(machine: Machine, _: int) -> Iterator[tuple[int, int]]:
            for offset in machine.processors():
                at = (machine.symbol(start.symbol) + offset) & (1 << 64) - 1
                if start.pointer:
                    at = machine.u64(at)
                at = follow(machine, at, start.path)
                yield machine.u64(at) if pointer else at, 0

        return each

    def _step(self, found: Layout, of: KernelType | None, view: str) -> Step:
        """The elements that hang at a head."""
        most = found.most
        if found.by:
            if of is None:
                raise KernelDataError(f"`{_named(found)}` needs `of=`: the type of its elements")
            link = resolve(self.btf, of, found.by)
            if len(link.offsets) > 1:
                raise KernelDataError(f"`{found.by}` is behind a pointer: a link lies within its element")
            return self._linked(found, link.first, view, most)
        return self._plain(found, of, most)

    def _linked(self, found: Layout, link: int, view: str, most: int) -> Step:
        def run(machine: Machine, head: int, _: int) -> Iterator[tuple[int, int, bytes]]:
            window = self.window(view, link)
            nodes: Iterator[tuple[int, bytes]]
            match found.kind:
                case "listed":
                    nodes = walks.doubly(machine.read, head, most, window)
                case "hlist":
                    nodes = walks.singly_headed(machine.read, head, most, window)
                case "hashed":
                    nodes = self._buckets(machine, found, head, window)
                case "chain":
                    first = machine.u64(head)
                    at = first + link if first else 0
                    nodes = self._chained(machine, at, link, most, window)
                case "tree":
                    nodes = ((n, b"") for n in walks.red_black(machine.read, head, most))
                case "latch":
                    nodes = self._latched(machine, head, most)
                case _:
                    raise KernelDataError(f"`{found.kind}` has no links")
            for node, data in nodes:
                yield node - link, node - window.before, data

        return run

    def window(self, view: str, link: int) -> walks.Window:
        """Bytes that come with a link: those that the view reads, when they are near."""
        if not view or view not in self._classes:
            return walks.PLAIN
        cls = self._classes[view]
        low, high = min(cls._low, link), max(cls._high, link + 16)
        if cls._high <= cls._low or high - low > WHOLE:
            return walks.PLAIN
        return walks.Window(link - low, high - link)

    def _chained(
        self, machine: Machine, first: int, link: int, most: int, window: walks.Window
    ) -> Iterator[tuple[int, bytes]]:
        """Elements that name the next element (not its link)."""
        node, seen = first, set[int]()
        while node:
            if len(seen) > most or node in seen:
                raise walks.WalkError(f"the chain at {first:#x} runs in a circle or beyond {most} elements")
            seen.add(node)
            data = machine.read(node - window.before, window.before + max(window.after, 16))
            yield node, data
            after = int.from_bytes(data[window.before : window.before + 8], "little")
            node = after + link if after else 0

    def _buckets(
        self, machine: Machine, found: Layout, head: int, window: walks.Window
    ) -> Iterator[tuple[int, bytes]]:
        if not isinstance(found.count, int) or not 0 < found.count <= 1 << 20:
            raise KernelDataError(f"`{_named(found)}` needs `count=`: how many buckets it has")
        raw = machine.read(head, 8 * found.count)
        for index in range(found.count):
            if any(raw[8 * index : 8 * index + 8]):
                yield from walks.singly_headed(machine.read, head + 8 * index, found.most, window)

    def _latched(self, machine: Machine, head: int, most: int) -> Iterator[tuple[int, bytes]]:
        """`struct latch_tree_root`: a sequence number, then two trees; its last bit says which one is whole.

        In the second tree each node is the second of its element's pair, 24 bytes behind.
        """
        latch = self.btf.struct("latch_tree_root")
        which = machine.u32(head + self.btf.field(latch, "seq").offset) & 1
        trees = self.btf.field(latch, "tree").offset
        back = which * self.btf.struct("rb_node").size
        for node in walks.red_black(machine.read, head + trees + 8 * which, most):
            yield node - back, b""

    def _plain(self, found: Layout, of: KernelType | None, most: int) -> Step:
        match found.kind:
            case "percpu" | "single":
                return lambda machine, head, _: iter(((head, 0, b""),) if head else ())
            case "idr":
                shape = walks.XArrayLayout.of(self.btf)
                return lambda machine, head, _: (
                    (e, 0, b"") for e in walks.xarray(machine.read, head + shape.idr, most, shape)
                )
            case "maple":
                nodes = walks.MapleLayout.of(self.btf)
                return lambda machine, head, _: (
                    (e, 0, b"") for e in walks.maple(machine.read, head, most, nodes)
                )
            case "array":
                return _array(8 if of is None else of.size, values=of is None, most=most)
            case "offsets":
                self.machine.known.symbols.address(found.until)
                return self._offsets(found)
            case "pointers":
                return _pointers(most)
            case _:
                raise KernelDataError(f"`{_named(found)}` needs `by=`: the link within an element")

    def _offsets(self, found: Layout) -> Step:
        def run(machine: Machine, head: int, _: int) -> Iterator[tuple[int, int, bytes]]:
            size = machine.symbol(found.until) - head
            if not 0 <= size <= 4 * found.most:
                raise KernelDataError(f"`{found.path}` and `{found.until}` are {size} bytes apart")
            for at, (distance,) in enumerate(packed.iter_unpack("<i", machine.read(head, size & ~3))):
                yield head + 4 * at + distance, 0, b""

        return run


# ---------------------------------------------------------------- without a program


def _array(size: int, values: bool, most: int) -> Step:
    """Elements of that size; or the 64-bit values themselves.  Without a count, up to one that begins with 0."""

    def run(machine: Machine, head: int, count: int) -> Iterator[tuple[int, int, bytes]]:
        if count == NONE or not head:
            return
        raw = machine.read(head, size * count) if values and count else b""
        for index in range(count or most):
            at = index * size
            if not count and machine.u64(head + at) == 0:
                return
            yield (int.from_bytes(raw[at : at + size], "little") if values else head + at), 0, b""

    return run


CHUNK = 512  # pointers read at once


def _pointers(most: int) -> Step:
    """`head` is where the pointers stand.  Without a count, up to the first empty one."""

    def run(machine: Machine, head: int, count: int) -> Iterator[tuple[int, int, bytes]]:
        total = 0 if count == NONE or not head else count or most
        for first in range(0, total, CHUNK if count else 1):
            some = min(CHUNK, total - first) if count else 1
            for (pointer,) in packed.iter_unpack("<Q", machine.read(head + 8 * first, 8 * some)):
                if pointer:
                    yield pointer, 0, b""
                elif not count:
                    return

    return run


def follow(machine: Machine, address: int, path: Path) -> int:
    """The address of what a path leads to."""
    *pointers, last = path.offsets
    for offset in pointers:
        address = _pointer(machine.u64(address + offset), path)
    return address + last


def _pointer(address: int, path: Path) -> int:
    if address == 0:
        raise NullPointer(f"an empty pointer on the way to `{path.text}`")
    return address


def _fit(t: Type, value: int) -> int:
    """As the view's type: an `int` holds 64 signed bits, a narrower type fewer."""
    match t:
        case IntType(bits=bits, signed=signed):
            value &= (1 << bits) - 1
            return value - (1 << bits) if signed and value >> (bits - 1) else value
        case _:
            return value


def _window(fields: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The stretch of a structure that is read at once: all its fields, when no two are far apart; else the first."""
    low = high = 0
    for offset, width in sorted(fields):
        if high == low:
            low, high = offset, offset + width
        elif offset + width - low <= WHOLE and offset - high <= GAP * 3:
            high = max(high, offset + width)
    return low, high


def _named(found: Layout) -> str:
    return f"{found.kind} {found.path}" if found.inner is None else f"{_named(found.inner)} → {found.path}"


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
