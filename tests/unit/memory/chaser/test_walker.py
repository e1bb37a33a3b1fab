# SPDX-License-Identifier: Apache-2.0
"""What chains mean: lists, tests, sets, page tables of every kind, and memory that is not as it should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.memory.chaser.memories import FAR, IMAGE, LINEAR, LINK, SIZE, Memory, chain, elements
from transect.memory.chaser.steps import Status
from transect.memory.chaser.walker import Sets, walk

HEAD = IMAGE + 0x2000


def ring(memory: Memory, count: int = 40, where: int | None = None) -> list[int]:
    found = elements(count, 1) if where is None else elements(count, 1, where)
    memory.ring(HEAD, found)
    return found


def test_a_ring_is_walked_in_order_with_what_is_behind_pointers() -> None:
    memory = Memory()
    found = ring(memory)
    walker = walk(chain(HEAD), memory.places, memory.read)
    assert walker.status is Status.FINISHED
    assert [address - LINK for address, _ in walker.records] == found
    assert walker.hops == 1 + 2 * len(found)
    for element, (_, data) in zip(found, walker.records, strict=True):
        behind = int.from_bytes(memory.read(memory.physical(element + 40), 8), "little")
        assert data == memory.read(memory.physical(element + 8), 40) + memory.read(
            memory.physical(behind + 16), 16
        )


def test_an_empty_ring_takes_one_read() -> None:
    memory = Memory()
    memory.ring(HEAD, [])
    walker = walk(chain(HEAD), memory.places, memory.read)
    assert (walker.status, walker.hops, walker.records) == (Status.FINISHED, 1, [])


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("huge", [1, 2, 3])
def test_elements_behind_page_tables_take_a_read_a_level(levels: int, huge: int) -> None:
    memory = Memory(levels, huge)
    found = ring(memory, 20, FAR + (1 << 17))
    walker = walk(chain(HEAD), memory.places, memory.read)
    assert walker.status is Status.FINISHED
    assert [address - LINK for address, _ in walker.records] == found
    assert walker.hops == 1 + len(found) * (2 + levels - huge + 1)


def test_a_test_drops_records_but_not_elements() -> None:
    memory = Memory()
    found = ring(memory)
    walker = walk(chain(HEAD, 20, 30), memory.places, memory.read)
    numbers = [int.from_bytes(memory.read(memory.physical(e + 8), 4), "little") for e in found]
    assert len(walker.records) == sum(20 <= n <= 30 for n in numbers) > 0
    assert walker.elements == len(found)


def test_what_a_set_has_is_dropped_and_what_it_lacks_stays() -> None:
    memory = Memory()
    found = ring(memory)
    sets: Sets = {}
    walk(chain(HEAD, 0, 50, inserts=3), memory.places, memory.read, sets)
    assert sets == {0: set(found)}
    sets[0] -= {found[3], found[9]}
    walker = walk(chain(HEAD, outside=3), memory.places, memory.read, sets)
    assert [address - LINK for address, _ in walker.records] == [found[3], found[9]]


def test_a_back_pointer_that_disagrees_ends_it() -> None:
    memory = Memory()
    found = ring(memory)
    memory.put(found[5] + LINK + 8, found[20] + LINK)
    walker = walk(chain(HEAD), memory.places, memory.read)
    assert (walker.status, walker.fault) == (Status.BROKEN, found[5] + LINK)
    assert len(walker.records) == 5


@pytest.mark.parametrize(
    ("pointer", "status"),
    [
        (0, Status.OUTSIDE),
        (0x1234, Status.OUTSIDE),
        (LINEAR + SIZE - 8, Status.OUTSIDE),
        (LINEAR + SIZE + 4096 + 64, Status.UNMAPPED),
        (FAR + (4 << 20) + 64, Status.UNMAPPED),
        (FAR + 4096, Status.STRADDLES),
        ((1 << 64) - 8, Status.STRADDLES),
    ],
)
def test_a_pointer_to_nowhere_ends_it_and_nothing_is_asked_outside(pointer: int, status: Status) -> None:
    memory = Memory()
    found = ring(memory)
    memory.put(found[5] + LINK, pointer)

    def read(address: int, size: int) -> bytes:
        assert 0 <= address <= SIZE - size
        return memory.read(address, size)

    assert walk(chain(HEAD), memory.places, read).status is status


def test_a_ring_without_its_head_ends_with_its_reads() -> None:
    memory = Memory()
    found = ring(memory)
    memory.put(found[-1] + LINK, found[0] + LINK)  # past the head; and the back pointers agree
    memory.put(found[0] + LINK + 8, found[-1] + LINK)
    memory.put(HEAD, found[0] + LINK)
    broken = walk(chain(HEAD), memory.places, memory.read)
    assert broken.status is Status.BROKEN  # the first one does not name the head
    memory.put(found[0] + LINK + 8, HEAD)
    again = walk(chain(HEAD, reads=500), memory.places, memory.read)
    assert again.status is Status.BROKEN  # when it comes to the first one for the second time
    unchecked = chain(HEAD, reads=500)
    endless = replace(unchecked, steps=tuple(replace(s, check=None) for s in unchecked.steps))
    walker = walk(endless, memory.places, memory.read)
    assert (walker.status, walker.hops) == (Status.TOO_LONG, 501)
