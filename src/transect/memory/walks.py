# SPDX-License-Identifier: Apache-2.0
"""Walks over the kernel's containers, while the kernel changes them.

Every walk is bounded, tells a loop, and checks what its container gives it to check; what does not fit is looked at
again, where it stands, before it counts (restarting a whole walk starves under churn on a slow link).

| container | what is checked                                                                                        |
|-----------|--------------------------------------------------------------------------------------------------------|
| list      | the back pointer of each element; on a mismatch its predecessor is read again |
| hlist     | `pprev` points to the pointer that was followed                                                        |
| chain     | a loop, the bound                                                                                      |
| rb-tree   | each child names its parent; order of addresses is not assumed                                         |
| xarray    | each node's shift is one level below its parent's, its parent pointer                                  |
| maple     | each node names its parent; pivots ascend within the parent's range; a leaf holds something            |
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from transect.linux.btf import Btf
from transect.linux.errors import KernelDataError

TRIES = 64  # repairs in a row before a container counts as broken
AGAIN = 3  # readings of one pointer before a mismatch counts

Read = Callable[[int, int], bytes]
Found = tuple[int, bytes]
"""Address of a link, and the bytes that were read with it."""


class WalkError(KernelDataError):
    """A container is not as the kernel keeps it: a loop, a broken link, no end."""


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes around a link that are read together with it."""

    before: int = 0  # bytes before the link
    after: int = 16  # bytes from the link on, the link itself among them


PLAIN = Window()


def _u64(read: Read, address: int) -> int:
    return int.from_bytes(read(address, 8), "little")


def _fetch(read: Read, link: int, window: Window) -> tuple[bytes, int, int]:
    """The window, and the two pointers of the link."""
    data = read(link - window.before, window.before + max(window.after, 16))
    first, second = struct.unpack_from("<QQ", data, window.before)
    return data, first, second


def doubly(read: Read, head: int, most: int, window: Window = PLAIN) -> Iterator[Found]:
    """Elements of a circular list, without its head.  Yields addresses of links."""
    way, node, seen, tries = [head], _u64(read, head), set[int](), 0
    while node != head:
        if len(seen) > most:
            raise WalkError(f"the list at {head:#x} has more than {most} elements")
        if tries > TRIES:
            raise WalkError(f"the list at {head:#x} is broken behind {way[-1]:#x}: it leads to {node:#x}")
        try:
            data, after, back = _fetch(read, node, window)
        except KernelDataError:
            data, after, back = b"", 0, 0
        if back != way[-1] or not data:
            tries += 1
            node = _repaired(read, way, node)
            if (
                node == way[-1] and node != head
            ):  # it points to itself: an element that was taken out and kept
                raise WalkError(f"the list at {head:#x} runs in a circle at {node:#x}")
            if not data or not _still_wrong(read, way[-1], node, tries):
                continue
            # The neighbour before leads here, again and again, and the element denies it.
            raise WalkError(
                f"the list at {head:#x} is broken: {way[-1]:#x} leads to {node:#x}, which names {back:#x} before it"
            )
        if node in seen:
            raise WalkError(f"the list at {head:#x} runs in a circle at {node:#x}")
        seen.add(node)
        tries = 0
        yield node, data
        way.append(node)
        if len(way) > 256:
            del way[1:128]
        node = after


def _repaired(read: Read, way: list[int], node: int) -> int:
    """Where to go on: what the last element that is still in the list leads to now."""
    while True:
        try:
            now = _u64(read, way[-1])
            if len(way) == 1 or _u64(read, way[-2]) == way[-1]:
                return now
        except KernelDataError:
            if len(way) == 1:
                raise
        way.pop()


def _still_wrong(read: Read, before: int, node: int, tries: int) -> bool:
    if tries < AGAIN:
        return False
    try:
        return _u64(read, before) == node and _u64(read, node + 8) != before
    except KernelDataError:
        return False


def singly_headed(read: Read, head: int, most: int, window: Window = PLAIN) -> Iterator[Found]:
    """Elements of an hlist.  `hlist_nulls` end in an odd number, ordinary ones in 0."""
    place, seen, tries = head, set[int](), 0
    node = _u64(read, head)
    while node and not node & 1:
        if len(seen) > most:
            raise WalkError(f"the hlist at {head:#x} has more than {most} elements")
        if node in seen:
            raise WalkError(f"the hlist at {head:#x} runs in a circle at {node:#x}")
        data, after, back = _fetch(read, node, window)
        if back != place:
            tries += 1
            if tries > AGAIN:
                raise WalkError(
                    f"the hlist at {head:#x} is broken: {node:#x} says that {back:#x} leads to it, not {place:#x}"
                )
            node = _u64(read, place)
            continue
        seen.add(node)
        tries = 0
        yield node, data
        place, node = node, after


def red_black(read: Read, root: int, most: int) -> Iterator[int]:
    """Addresses of the nodes of a tree, in order.  `root` is the address of `rb_root.rb_node`.

    A tree that is being turned while it is read is read again.
    """
    problem = ""
    for _ in range(AGAIN + 2):
        try:
            yield from list(_in_order(read, root, most))
            return
        except WalkError as error:
            problem = str(error)
    raise WalkError(problem)


def _in_order(read: Read, root: int, most: int) -> Iterator[int]:
    stack: list[tuple[int, int]] = []  # node, its right child
    node, parent, count = _u64(read, root), 0, 0
    while node or stack:
        while node:
            colour, right, left = struct.unpack("<QQQ", read(node, 24))
            if colour & ~3 != parent:
                raise WalkError(
                    f"the tree at {root:#x} is broken: {node:#x} does not name {parent:#x} above it"
                )
            stack.append((node, right))
            if len(stack) > 128:
                raise WalkError(f"the tree at {root:#x} is more than 128 levels deep")
            parent, node = node, left
        node, right = stack.pop()
        count += 1
        if count > most:
            raise WalkError(f"the tree at {root:#x} has more than {most} nodes")
        yield node
        parent, node = node, right


@dataclass(frozen=True, slots=True)
class XArrayLayout:
    shift: int
    parent: int
    slots: int
    head: int  # of `xa_head` within `struct xarray`
    idr: int  # of the array within `struct idr`

    @staticmethod
    def of(btf: Btf) -> XArrayLayout:
        node = btf.struct("xa_node")
        return XArrayLayout(
            btf.field(node, "shift").offset,
            btf.field(node, "parent").offset,
            btf.field(node, "slots").offset,
            btf.field("xarray", "xa_head").offset,
            btf.field("idr", "idr_rt").offset,
        )


SLOTS = 64
SPECIAL = 4096  # internal entries below it are marks (sibling, retry, zero)


def xarray(read: Read, array: int, most: int, layout: XArrayLayout) -> Iterator[int]:
    """The pointers in an xarray, by ascending index."""
    problem = ""
    for _ in range(AGAIN + 2):
        try:
            yield from list(_entries(read, array, most, layout))
            return
        except WalkError as error:
            problem = str(error)
    raise WalkError(problem)


def _entries(read: Read, array: int, most: int, layout: XArrayLayout) -> Iterator[int]:
    head = _u64(read, array + layout.head)
    stack: list[tuple[int, int, int]] = [(head, 0, -1)]  # entry, its parent, shift of the parent
    count = 0
    while stack:
        entry, parent, above = stack.pop()
        if entry & 3 == 2 and entry > SPECIAL:
            node = entry - 2
            data = read(node, layout.slots + 8 * SLOTS)
            shift = data[layout.shift]
            up = int.from_bytes(data[layout.parent : layout.parent + 8], "little")
            if up != parent or (above >= 0 and shift != above - 6) or shift > 60:
                raise WalkError(f"the array at {array:#x} is broken at the node {node:#x}")
            slots = struct.unpack_from(f"<{SLOTS}Q", data, layout.slots)
            stack.extend((e, node, shift) for e in reversed(slots) if e)
        elif entry and entry & 3 == 0:
            count += 1
            if count > most:
                raise WalkError(f"the array at {array:#x} has more than {most} entries")
            yield entry
        if len(stack) > most + 4096:
            raise WalkError(f"the array at {array:#x} has more than {most} entries")


@dataclass(frozen=True, slots=True)
class MapleLayout:
    root: int
    wide: tuple[int, int, int]  # leaves and range nodes: offset of pivots, offset of slots, number of slots
    gaps: tuple[int, int, int]  # nodes that keep gaps
    dense: tuple[int, int]  # offset of slots, number

    @staticmethod
    def of(btf: Btf) -> MapleLayout:
        node = btf.struct("maple_node")

        def shape(name: str) -> tuple[int, int, int]:
            slots = btf.field(node, f"{name}.slot")
            return btf.field(node, f"{name}.pivot").offset, slots.offset, slots.type.length

        dense = btf.field(node, "slot")
        return MapleLayout(
            btf.field("maple_tree", "ma_root").offset,
            shape("mr64"),
            shape("ma64"),
            (dense.offset, dense.type.length),
        )


DENSE, LEAF, RANGE, GAPS = range(4)  # enum maple_type
NODE = 255  # a node has 256 bytes, and a multiple of them for its address
IS_ROOT = 1  # in the place of its parent, a root has the address of its tree with this mark
TOP = (1 << 64) - 1


def maple(read: Read, tree: int, most: int, layout: MapleLayout) -> Iterator[int]:
    """The pointers in a maple tree, by ascending index; each range once."""
    problem = ""
    for _ in range(AGAIN + 2):
        try:
            yield from list(_ranges(read, tree, most, layout))
            return
        except WalkError as error:
            problem = str(error)
    raise WalkError(problem)


def _ranges(read: Read, tree: int, most: int, layout: MapleLayout) -> Iterator[int]:
    root = _u64(read, tree + layout.root)
    if not (root & 3 == 2 and root > SPECIAL):
        if root and root & 3 == 0:
            yield root
        return
    stack = [(root, tree | IS_ROOT, 0, TOP)]
    steps = 0
    while stack:
        entry, parent, low, high = stack.pop()
        steps += 1
        if steps > most + SPECIAL:
            raise WalkError(f"the maple tree at {tree:#x} has more than {most} entries")
        for child, first, last, leaf in _maple_node(read, entry, parent, low, high, tree, layout):
            if leaf:
                yield child
            else:
                stack.append((child, entry & ~NODE, first, last))


def _maple_node(
    read: Read, entry: int, parent: int, low: int, high: int, tree: int, layout: MapleLayout
) -> list[tuple[int, int, int, bool]]:
    """Children of a node with their ranges: of a leaf in order, of the others last first (they go onto a stack)."""
    kind, node = entry >> 3 & 15, entry & ~NODE
    if kind > GAPS:
        raise WalkError(f"the maple tree at {tree:#x} has a node of an unknown kind ({kind}) at {node:#x}")
    data = read(node, NODE + 1)
    up = int.from_bytes(data[:8], "little")  # with the place in the parent, but for the root
    if (up if parent & IS_ROOT else up & ~NODE) != parent:
        raise WalkError(
            f"the maple tree at {tree:#x} is broken: {node:#x} does not name {parent:#x} above it"
        )
    if kind == DENSE:
        at, count = layout.dense
        slots = struct.unpack_from(f"<{count}Q", data, at)
        return [(s, low + i, low + i, True) for i, s in enumerate(slots) if s and s & 3 == 0]
    pivots_at, slots_at, count = layout.gaps if kind == GAPS else layout.wide
    pivots = struct.unpack_from(f"<{count - 1}Q", data, pivots_at)
    slots = struct.unpack_from(f"<{count}Q", data, slots_at)
    found, first = [], low
    for index, slot in enumerate(slots):
        last = pivots[index] if index < count - 1 else high
        if index and last == 0:
            last = high
        if not low <= first <= last <= high:
            raise WalkError(f"the maple tree at {tree:#x} is broken: pivots of {node:#x} do not ascend")
        leaf = kind == LEAF
        if slot > SPECIAL and (not leaf or slot & 3 == 0):
            found.append((slot, first, last, leaf))
        if last >= high:
            break
        first = last + 1
    if not found and not parent & IS_ROOT:  # the kernel joins what is less than half full to a neighbour
        raise WalkError(f"the maple tree at {tree:#x} is broken: there is nothing in {node:#x}")
    return found if kind == LEAF else found[::-1]
