# SPDX-License-Identifier: Apache-2.0
"""What the last round read is read again at once; what is looked at again is read anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transect.linux.physical import Range
from transect.memory.prefetch import Ahead


@dataclass
class Link:
    """Memory in which each word says how often it was read."""

    live = True
    ranges: Sequence[Range] = (Range(0, 1 << 20),)
    times: dict[int, int] = field(default_factory=dict)
    bursts: list[list[tuple[int, int]]] = field(default_factory=list)

    def read(self, address: int, size: int) -> bytes:
        self.times[address] = self.times.get(address, 0) + 1
        return self.times[address].to_bytes(size, "little")

    def read_many(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        self.bursts.append(list(places))
        return [self.read(*place) for place in places]


def one_round(memory: Ahead, *addresses: int) -> list[int]:
    memory.begin(["probe"])
    values = [int.from_bytes(memory.read(a, 8), "little") for a in addresses]
    memory.end("probe")
    return values


def test_a_first_round_reads_one_after_the_other_and_the_next_at_once() -> None:
    memory = Ahead(link := Link())
    assert one_round(memory, 8, 16, 24) == [1, 1, 1]
    assert memory.trips.sequence == 3
    assert one_round(memory, 8, 16, 24) == [2, 2, 2]
    assert memory.trips.sequence == 4 and link.bursts == [[(8, 8), (16, 8), (24, 8)]]


def test_a_pointer_that_moved_is_followed() -> None:
    memory = Ahead(link := Link())
    one_round(memory, 8, 16)
    assert one_round(memory, 8, 32) == [2, 1]
    assert one_round(memory, 8, 32) == [3, 2]
    assert link.times[16] == 2, "what is no longer read is not asked for any more"


def test_what_is_looked_at_again_is_read_anew() -> None:
    memory = Ahead(Link())
    one_round(memory, 8)
    assert one_round(memory, 8, 8, 8) == [2, 3, 4]
    assert one_round(memory, 8, 8, 8) == [5, 5, 5], (
        "three looks were made a round ago, and one read answers them"
    )


def test_many_probes_begin_with_one_burst() -> None:
    memory = Ahead(link := Link())
    for _ in range(2):
        memory.begin(["one", "two"])
        for name, address in (("one", 8), ("two", 16)):
            memory.read(address, 8)
            memory.end(name)
    assert link.bursts == [[(8, 8), (16, 8)]] and memory.trips.single == 2


def test_between_rounds_memory_is_read_as_it_is() -> None:
    memory = Ahead(Link())
    one_round(memory, 8)
    memory.begin(["probe"])
    memory.end("probe")  # a round that read nothing: the burst's answer is left over
    assert int.from_bytes(memory.read(8, 8), "little") == 3
    assert one_round(memory, 8) == [4] and memory.trips.single == 2, (
        "no round read it, so it is not read ahead"
    )
