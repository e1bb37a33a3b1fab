# SPDX-License-Identifier: Apache-2.0
"""Walks over containers that are whole, broken, endless, and changing under the reader."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.linux import KernelDataError
from transect.memory import walks
from transect.memory.walks import WalkError

HEAD = 0x1000


class Memory:
    """Words by address.  `change` is called before each read, as a kernel that goes on."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.reads = 0
        self.change: Callable[[int], None] = lambda _: None

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        self.change(self.reads)
        if address not in self.words:
            raise KernelDataError(f"nothing is mapped at {address:#x}")
        return b"".join(struct.pack("<Q", self.words.get(address + i, 0)) for i in range(0, size, 8))[:size]

    def ring(self, *nodes: int) -> None:
        whole = [HEAD, *nodes]
        for here, after in zip(whole, [*nodes, HEAD], strict=True):
            self.words[here] = after
            self.words[after + 8] = here

    def remove(self, node: int, junk: int | None = None) -> None:
        after, before = self.words[node], self.words[node + 8]
        self.words[before], self.words[after + 8] = after, before
        if junk is not None:
            self.words[node] = self.words[node + 8] = junk


def listed(memory: Memory, most: int = 100) -> list[int]:
    return [node for node, _ in walks.doubly(memory.read, HEAD, most)]


NODES = [0x2000, 0x3000, 0x4000, 0x5000]


def test_a_list_in_order() -> None:
    memory = Memory()
    memory.ring(*NODES)
    assert listed(memory) == NODES
    assert memory.reads == 1 + len(NODES)


def test_an_empty_list() -> None:
    memory = Memory()
    memory.ring()
    assert listed(memory) == []


def test_a_list_that_runs_in_a_circle_ends() -> None:
    memory = Memory()
    memory.ring(*NODES)
    memory.words[0x4000] = 0x2000
    with pytest.raises(WalkError, match=r"circle|broken"):
        listed(memory)


def test_a_list_that_never_ends_ends() -> None:
    memory = Memory()
    memory.ring(*NODES)

    def grow(_: int) -> None:
        node = max(memory.words) + 0x100 & ~0xFF
        last = memory.words[HEAD + 8]
        memory.words |= {last: node, node: HEAD, node + 8: last, HEAD + 8: node}

    memory.change = grow
    with pytest.raises(WalkError, match="more than 100"):
        listed(memory)


def test_a_pointer_to_nothing_is_told() -> None:
    memory = Memory()
    memory.ring(*NODES)
    memory.words[0x3000] = 0xDEAD000000000100
    with pytest.raises(WalkError, match="broken"):
        listed(memory)


def test_a_back_pointer_that_lies_is_told() -> None:
    memory = Memory()
    memory.ring(*NODES)
    memory.words[0x4008] = 0x2000
    with pytest.raises(WalkError, match="names 0x2000 before it"):
        listed(memory)


@pytest.mark.parametrize("when", range(1, 8))
@pytest.mark.parametrize("victim", NODES)
def test_an_element_that_goes_while_the_list_is_walked(when: int, victim: int) -> None:
    memory = Memory()
    memory.ring(*NODES)

    def go(read: int) -> None:
        if read == when:
            memory.remove(victim, junk=0xDEAD000000000100)

    memory.change = go
    found = listed(memory)
    assert [n for n in found if n != victim] == [n for n in NODES if n != victim]


def test_a_busy_list_does_not_starve() -> None:
    """An element comes and goes at the end before each read; those that stay are all found."""
    memory = Memory()
    memory.ring(*NODES)

    def churn(read: int) -> None:
        if read % 2:
            last = memory.words[HEAD + 8]
            memory.words |= {last: 0x9000, 0x9000: HEAD, 0x9008: last, HEAD + 8: 0x9000}
        else:
            memory.remove(0x9000, junk=0xDEAD000000000100)

    memory.change = churn
    assert [n for n in listed(memory) if n != 0x9000] == NODES


@given(st.lists(st.sampled_from([HEAD, *NODES, 0, 7, 0x2008]), min_size=10, max_size=10))
def test_junk_ends(words: list[int]) -> None:
    memory = Memory()
    for at, node in enumerate([HEAD, *NODES]):
        memory.words[node], memory.words[node + 8] = words[2 * at], words[2 * at + 1]
    for walk in (
        lambda: listed(memory),
        lambda: list(walks.singly_headed(memory.read, HEAD, 100)),
        lambda: list(walks.red_black(memory.read, HEAD, 100)),
    ):
        with contextlib.suppress(KernelDataError):
            assert len(walk()) <= 101
    assert memory.reads < 20000


def test_an_hlist() -> None:
    memory = Memory()
    memory.words |= {HEAD: 0x2000, 0x2000: 0x3000, 0x2008: HEAD, 0x3000: 0, 0x3008: 0x2000}
    assert [n for n, _ in walks.singly_headed(memory.read, HEAD, 10)] == [0x2000, 0x3000]
    memory.words[0x3008] = HEAD
    with pytest.raises(WalkError, match="says that"):
        list(walks.singly_headed(memory.read, HEAD, 10))


def tree(memory: Memory, *nodes: tuple[int, int, int, int]) -> None:
    for node, parent, left, right in nodes:
        memory.words |= {node: parent | 1, node + 8: right, node + 16: left}


def test_a_tree_in_order() -> None:
    memory = Memory()
    memory.words[HEAD] = 0x4000
    tree(memory, (0x4000, 0, 0x2000, 0x5000), (0x2000, 0x4000, 0, 0x3000), (0x3000, 0x2000, 0, 0))
    tree(memory, (0x5000, 0x4000, 0, 0))
    assert list(walks.red_black(memory.read, HEAD, 10)) == NODES


def test_a_node_that_does_not_name_its_parent() -> None:
    memory = Memory()
    memory.words[HEAD] = 0x4000
    tree(memory, (0x4000, 0, 0x2000, 0), (0x2000, 0x9000, 0, 0))
    with pytest.raises(WalkError, match="does not name"):
        list(walks.red_black(memory.read, HEAD, 10))


LAYOUT = walks.XArrayLayout(shift=0, parent=8, slots=16, head=0, idr=0)


def xnode(memory: Memory, node: int, shift: int, parent: int, slots: dict[int, int]) -> None:
    memory.words |= {node: shift, node + 8: parent}
    memory.words |= {node + 16 + 8 * i: s for i, s in slots.items()}


def test_an_xarray_by_ascending_index() -> None:
    memory = Memory()
    memory.words[HEAD] = 0x10002
    xnode(memory, 0x10000, 6, 0, {0: 0x20002, 3: 0x30002})
    xnode(memory, 0x20000, 0, 0x10000, {1: 0xA000, 5: 0xB000, 6: 0x402})
    xnode(memory, 0x30000, 0, 0x10000, {0: 0xC000})
    assert list(walks.xarray(memory.read, HEAD, 100, LAYOUT)) == [0xA000, 0xB000, 0xC000]


def test_an_xarray_with_one_entry_and_with_none() -> None:
    memory = Memory()
    memory.words[HEAD] = 0xA000
    assert list(walks.xarray(memory.read, HEAD, 100, LAYOUT)) == [0xA000]
    memory.words[HEAD] = 0
    assert list(walks.xarray(memory.read, HEAD, 100, LAYOUT)) == []


@pytest.mark.parametrize(("shift", "parent"), [(6, 0x10000), (0, 0x9000)])
def test_an_xarray_whose_nodes_do_not_fit(shift: int, parent: int) -> None:
    memory = Memory()
    memory.words[HEAD] = 0x10002
    xnode(memory, 0x10000, 6, 0, {0: 0x20002})
    xnode(memory, 0x20000, shift, parent, {})
    with pytest.raises(WalkError, match="broken"):
        list(walks.xarray(memory.read, HEAD, 100, LAYOUT))


MAPLE = walks.MapleLayout(root=0, wide=(8, 128, 16), gaps=(8, 80, 10), dense=(8, 31))


def mnode(
    memory: Memory, node: int, pivots: list[int], slots: list[int], gaps: bool = False, above: int = HEAD | 1
) -> None:
    """`above`: its parent, with its place there; the root has the tree and a mark."""
    memory.words[node] = above
    memory.words |= {node + 8 + 8 * i: p for i, p in enumerate(pivots)}
    memory.words |= {node + (80 if gaps else 128) + 8 * i: s for i, s in enumerate(slots)}


def test_a_maple_tree_in_order() -> None:
    memory = Memory()
    memory.words[HEAD] = 0x10000 | 3 << 3 | 2
    mnode(memory, 0x10000, [0xFFF], [0x20000 | 1 << 3 | 4, 0x30000 | 1 << 3 | 4], gaps=True)
    mnode(memory, 0x20000, [0x0FF, 0x1FF, 0xFFF], [0, 0xA000, 0xB000], above=0x10006)
    mnode(memory, 0x30000, [0x1FFF], [0xC000, 0], above=0x1000E)
    assert list(walks.maple(memory.read, HEAD, 100, MAPLE)) == [0xA000, 0xB000, 0xC000]


def test_a_maple_tree_whose_pivots_fall() -> None:
    memory = Memory()
    memory.words[HEAD] = 0x20000 | 1 << 3 | 2
    mnode(memory, 0x20000, [0x1FF, 0x0FF, 0xFFF], [0xA000, 0xB000, 0xC000])
    with pytest.raises(WalkError, match="pivots"):
        list(walks.maple(memory.read, HEAD, 100, MAPLE))


@pytest.mark.parametrize(
    ("slots", "above"),
    [([0, 0, 0], 0x10006), ([0, 0xA000, 0xB000], 0x40006), ([0, 0xA000, 0xB000], 0)],
    ids=["nothing is in it", "another node is above it", "all of it is zero"],
)
def test_a_maple_tree_with_a_leaf_that_is_none(slots: list[int], above: int) -> None:
    memory = Memory()
    memory.words[HEAD] = 0x10000 | 3 << 3 | 2
    mnode(memory, 0x10000, [0xFFF], [0x20000 | 1 << 3 | 4, 0x30000 | 1 << 3 | 4], gaps=True)
    mnode(memory, 0x20000, [0x0FF, 0x1FF, 0xFFF] if above else [], slots if above else [], above=above)
    mnode(memory, 0x30000, [0x1FFF], [0xC000, 0], above=0x1000E)
    with pytest.raises(
        WalkError, match=r"is broken: (there is nothing in 0x20000|0x20000 does not name 0x10000)"
    ):
        list(walks.maple(memory.read, HEAD, 100, MAPLE))


def test_a_root_of_another_tree_is_no_root() -> None:
    memory = Memory()
    memory.words[HEAD] = 0x20000 | 1 << 3 | 2
    mnode(memory, 0x20000, [0xFFF], [0xA000], above=0x9001)
    with pytest.raises(WalkError, match="does not name"):
        list(walks.maple(memory.read, HEAD, 100, MAPLE))
