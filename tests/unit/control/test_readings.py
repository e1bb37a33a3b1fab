# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of a policy's state: all kinds of fields, bounded, and safe to print and to scrape."""

from __future__ import annotations

import math
from typing import Any

import pytest

from transect.control.answers import Reading
from transect.control.readings import ENTRIES, LARGEST, READ, exposition, readings
from transect.core.codec import Slot, encode_state
from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.core.schema import schema

TEXT = """
from enum import IntEnum
from transect.lang import (
    Array, Counter, Duration, Histogram, Map, Param, Tally,
    array, counter, histogram, lru, ms, param, struct, table, tally, text,
)
from transect.rpc import Code, Element

@struct
class Bucket:
    tokens: int = 0
    who: str = ""

class All(Element):
    calls: Counter = counter()
    took: Histogram = histogram()
    by_user: Tally[str, int] = tally(20000, key=text(128))
    failures: Tally[Code, int] = tally(32)
    share: Tally[int, float] = tally(8)
    left: Map[str, Bucket] = table(100)
    last: Map[tuple[str, int], bool] = lru(30)
    slots: Array[int] = array(25)
    wait: Param[Duration] = param(ms(5))
    name: str = text(16)
    seen: int = 3
"""


def program() -> Program:
    return compile_text(TEXT, "all.py").programs[0]


def held(**given: Any) -> dict[str, Reading]:
    """The rows of a state in which these fields are other than at first, by field."""
    p = program()
    first = {f.name: f.initial for f in schema(p).fields}
    image = encode_state(
        p.state, first | {k: v if isinstance(v, Slot) else Slot(v) for k, v in given.items()}
    )
    rows = readings([p], [image])
    assert {(row["element"], row["place"]) for row in rows} == {("All", 0)}
    return {row["field"]: row for row in rows}


def lines(**given: Any) -> list[str]:
    return [line for line in exposition("p", [('e="x"', row) for row in held(**given).values()])]


def test_counters_histograms_and_scalars() -> None:
    buckets = [0] * 64
    buckets[0], buckets[10], buckets[63] = 2, 5, 1
    rows = held(calls=17, took=buckets, name="größe")
    assert rows["calls"]["value"] == 17
    assert (rows["took"]["value"], rows["took"]["entries"]) == ({"0": 2, "1023": 5, "+Inf": 1}, 8)
    assert (rows["wait"]["kind"], rows["wait"]["value"]) == ("param", "5ms")
    assert (rows["name"]["value"], rows["seen"]["value"]) == ("größe", "3")


def test_a_tally_shows_its_largest_entries_and_the_sum_of_the_others() -> None:
    rows = held(by_user=[(f"u{n}", n) for n in range(LARGEST + 10)], failures=[(14, 2), (99, 1)])
    by_user = rows["by_user"]
    assert by_user["value"] == {f"u{n}": n for n in range(10, LARGEST + 10)}
    assert (by_user["rest"], by_user["entries"], by_user["capacity"]) == (45, LARGEST + 10, 20000)
    assert rows["failures"]["value"] == {"UNAVAILABLE": 2, "99": 1}


def test_of_a_very_large_tally_only_its_size_is_told_and_what_follows_is_read() -> None:
    rows = held(by_user=Slot([(f"u{n}", n) for n in range(READ + 1)], 4), failures=[(14, 2)])
    assert (rows["by_user"]["value"], rows["by_user"]["entries"], rows["by_user"]["overflow"]) == (
        {},
        READ + 1,
        4,
    )
    assert rows["failures"]["value"] == {"UNAVAILABLE": 2}


def test_a_table_shows_some_entries_and_what_follows_is_read() -> None:
    bucket = {"tokens": 1, "who": "ann"}
    rows = held(
        left=Slot([(f"u{n}", bucket_of(bucket)) for n in range(ENTRIES + 5)], 9),
        last=[(("a", n), True) for n in range(30)],
        slots=list(range(25)),
        seen=8,
    )
    assert len(rows["left"]["value"]) == ENTRIES
    assert rows["left"]["value"]["u0"] == "tokens 1, who ann"
    assert (rows["left"]["entries"], rows["left"]["capacity"], rows["left"]["overflow"]) == (
        ENTRIES + 5,
        100,
        9,
    )
    assert rows["last"]["value"]["a, 0"] == "true"
    assert (rows["slots"]["value"][:2], rows["slots"]["entries"]) == (["0", "1"], 25)
    assert rows["seen"]["value"] == "8"


def bucket_of(fields: dict[str, Any]) -> Any:
    from transect.core.values import Record

    return Record("Bucket", fields)


def test_the_text_that_prometheus_reads() -> None:
    buckets = [0] * 64
    buckets[0], buckets[2] = 2, 5
    found = lines(calls=17, took=buckets, failures=Slot([(14, 2)], 1), share=[(1, math.inf)])
    for expected in (
        "# TYPE p_counter_total counter",
        'p_counter_total{e="x",field="calls"} 17',
        "# TYPE p_histogram histogram",
        'p_histogram_bucket{e="x",field="took",le="0"} 2',
        'p_histogram_bucket{e="x",field="took",le="1"} 2',
        'p_histogram_bucket{e="x",field="took",le="3"} 7',
        'p_histogram_bucket{e="x",field="took",le="+Inf"} 7',
        'p_histogram_count{e="x",field="took"} 7',
        "# TYPE p_tally gauge",
        'p_tally{e="x",field="failures",key="UNAVAILABLE"} 2',
        'p_tally{e="x",field="share",key="1"} inf',
        'p_tally_rest{e="x",field="failures"} 0',
        'p_entries{e="x",field="failures"} 1',
        'p_overflow_total{e="x",field="failures"} 1',
    ):
        assert expected in found, expected
    assert not any('field="took",le="7"' in line for line in found)


@pytest.mark.parametrize("key", ['a"} 1\nforged{b="', "\x1b[2J", "\\", "é" * 64, "a\u202eb"])
def test_a_clients_text_is_one_label(key: str) -> None:
    found = [
        line
        for line in lines(by_user=[(key, 1), ("b", 2)])
        if line.startswith('p_tally{e="x",field="by_user"')
    ]
    assert len(found) == 2 and all(line.isprintable() for line in found)


def test_two_long_texts_are_two_keys() -> None:
    assert (
        len(
            held(by_user=[("a" * 63 + "\n" * 60 + "b", 1), ("a" * 63 + "\n" * 60 + "c", 2)])["by_user"][
                "value"
            ]
        )
        == 2
    )
