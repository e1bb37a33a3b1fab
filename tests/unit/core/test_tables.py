# SPDX-License-Identifier: Apache-2.0
"""Tables, full and empty: a store changes everything it should or nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.core.tables import Array, Counter, Histogram, Lru, Ordered, Table, Tally, empty
from transect.core.types import (
    FLOAT,
    INT,
    ArrayType,
    CounterType,
    HistogramType,
    IntType,
    StructField,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
)
from transect.core.values import Record

POINT = StructType("Point", (StructField("x", INT), StructField("name", TextType(2))))


@dataclass(slots=True)
class Point:
    x: int
    name: str = ""


def test_a_new_key_in_a_full_table_changes_nothing_and_is_counted() -> None:
    table = Table(INT, INT, 2)
    table[1], table[2] = 10, 20
    table[3] = 30
    assert not table.put(4, 40)
    assert table.put(1, 11)
    assert table.items() == [(1, 11), (2, 20)] and table.overflow == 2
    del table[1]
    del table[99]
    table[3] = 30
    assert table.keys() == [2, 3] and table.overflow == 2


def test_a_text_beyond_its_bound_is_no_key_and_is_not_stored() -> None:
    table = Table(TextType(2), TupleType((INT, TextType(1))), 8)
    table["ab"] = (1, "x")
    assert not table.put("abc", (1, "x")) and not table.put("ab", (2, "xy"))
    del table["abc"]
    assert "abc" not in table and table.get("abc") is None and table.get("abc", (0, "")) == (0, "")
    assert table["ab"] == (1, "x") and table.overflow == 2


def test_a_key_takes_its_storage_type_wherever_it_meets_the_table() -> None:
    table = Table(IntType(8, False), IntType(8, True), 4)
    table[300] = 200
    assert table.items() == [(44, -56)] and 300 in table and table[556] == -56
    del table[300]
    assert not len(table)


def test_structs_go_in_and_come_out_as_copies() -> None:
    table, given = Table(INT, POINT, 2), Point(1)
    table[7] = given
    given.x = 2
    table[7].x = 3
    next(iter(table.values())).x = 4
    held = table.get(7)
    held.x = 5
    assert table[7] == Point(1)
    table.set_field(7, ("x",), 9)
    table.set_field(7, ("name",), "long")
    assert table[7] == Point(9) and table.overflow == 1


def test_loops_visit_what_was_there_at_the_start() -> None:
    table = Table(INT, INT, 8)
    for key in (3, 1, 2):
        table[key] = key
    seen = []
    for key in table:
        del table[key]
        table[key] = 9
        table[key + 10] = 0
        seen.append(key)
    assert seen == [3, 1, 2]


def test_equality_is_of_entries_not_of_order() -> None:
    a, b = Table(INT, FLOAT, 4), Table(INT, FLOAT, 9)
    a[1], a[2] = 1.0, 2.0
    b[2], b[1] = 2.0, 1.0
    assert a == b
    b[1] = float("nan")
    assert a != b and b != b and a != 1


def test_a_tally_is_total_and_its_zeros_keep_their_place() -> None:
    served = Tally(INT, INT, 2)
    assert served[5] == 0 and served.get(5) == 0 and 5 not in served
    served[1] += 0
    served[2] += 4
    served[3] += 1
    assert 1 in served and len(served) == 1 and served.overflow == 1
    assert list(served) == [2] and served.items() == [(2, 4)] and served.values() == [4]
    assert served.entries() == [(1, 0), (2, 4)]
    other = Tally(INT, INT, 2)
    other[2] = 4
    assert served == other
    del served[1]
    served[3] += 1
    assert served[3] == 1


def test_a_tally_of_floats_reads_a_float() -> None:
    assert repr(Tally(INT, FLOAT, 1)[3]) == "0.0"


def test_an_lru_evicts_what_was_read_or_written_least_recently() -> None:
    cache = Lru(INT, TextType(2), 2)
    cache[1], cache[2] = "a", "b"
    assert cache[1] == "a"
    cache[3] = "c"
    assert cache.keys() == [1, 3]
    assert cache.get(1) == "a" and cache.get(9) is None
    assert 3 in cache  # asking whether it is there is not reading it
    cache[4] = "d"
    assert cache.keys() == [1, 4]
    assert not cache.put(1, "long")  # nothing is stored, so nothing becomes recent
    cache[5] = "e"
    assert cache.keys() == [4, 5] and cache.overflow == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9))))
def test_an_ordered_table_ascends(steps: list[tuple[bool, int]]) -> None:
    table, model = Ordered(INT, INT, 5), dict[int, int]()
    for store, key in steps:
        if store:
            table[key] = key * 2
            if key in model or len(model) < 5:
                model[key] = key * 2
        else:
            del table[key]
            model.pop(key, None)
        assert table.items() == sorted(model.items()) == table.entries() and table.keys() == sorted(model)


def test_the_first_of_an_ordered_table() -> None:
    table = Ordered(INT, POINT, 5)
    assert table.first() is None and table.pop_first() is None
    table[2], table[1] = Point(2), Point(1)
    first = table.first()
    assert first == (1, Point(1))
    first[1].x = 9
    assert table.pop_first() == (1, Point(1)) and table.pop_first() == (2, Point(2)) and not len(table)


@pytest.mark.parametrize("kind", TableKind)
def test_an_image_brings_the_same_table_back(kind: TableKind) -> None:
    t = TableType(kind, INT, INT, 4)
    one, other = empty(t), empty(t)
    assert isinstance(one, Table) and isinstance(other, Table)
    for key in (3, 1, 2, 9, 8):
        one[key] = key - 1
    other[77] = 1
    other.load(one.entries(), one.overflow)
    assert other.entries() == one.entries() and other.overflow == one.overflow


def test_an_array_has_a_value_at_every_index() -> None:
    array = Array(TextType(2), 3)
    array[1], array[2] = "ab", "abc"
    assert list(array) == ["", "ab", ""] and array.overflow == 1 and len(array) == 3
    assert array.items() == [(0, ""), (1, "ab"), (2, "")]
    with pytest.raises(IndexError, match="index 3 of an array of 3"):
        _ = array[3]
    with pytest.raises(IndexError, match="index -1"):
        array[-1] = ""
    array.load(["a", "b", "c"], 5)
    assert array.values() == ["a", "b", "c"] and array.overflow == 5


def test_structs_of_an_array_are_values() -> None:
    array = Array(POINT, 2, Point(0))
    array[0].x = 5
    array.set_field(1, ("x",), 6)
    assert array.values() == [Point(0), Point(6)]
    assert Array(POINT, 1)[0] == Record("Point", {"x": 0, "name": ""})


def test_counters_and_histograms_only_count() -> None:
    counter, histogram = empty(CounterType()), empty(HistogramType())
    assert isinstance(counter, Counter) and isinstance(histogram, Histogram)
    counter.add()
    counter.add(5)
    assert counter.value == 6
    counter.add(-7)
    assert counter.value == 2**64 - 1
    for value in (-5, 0, 1, 2, 3, 2**63 - 1, 2**64 - 1):
        histogram.observe(value)
    assert {i: n for i, n in enumerate(histogram.buckets) if n} == {0: 2, 1: 1, 2: 2, 63: 2}


def test_arrays_of_a_type() -> None:
    assert list(empty(ArrayType(INT, 2))) == [0, 0]  # type: ignore[arg-type]


def test_state_shows_what_it_holds() -> None:
    took = Histogram()
    took.observe(5)
    shown = [repr(Counter(3)), repr(took), repr(Array(INT, 2))]
    assert shown == ["Counter(3)", "Histogram({3: 1})", "Array([0, 0])"]
