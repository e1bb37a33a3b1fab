# SPDX-License-Identifier: Apache-2.0
"""Two copies of a state become one again: nothing that RPCs of either version did is lost, or done twice."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.schema import schema
from transect.core.values import Record
from transect.rpc.versions.merging import merged

POLICY = """
from transect.lang import (
    Array, Counter, Histogram, Instant, Map, Ordered, Tally, array, counter, histogram, lru, ordered, state, struct,
    table, tally,
)
from transect.rpc import Element

@struct
class Bucket:
    tokens: int
    filled: Instant

class P(Element):
    calls: int = 0
    seen: Counter = counter()
    spread: Histogram = histogram()
    level: int = state(0, merge="max")
    open: bool = True
    at: Instant = 0
    slots: Array[int] = array(4)
    users: Tally[str, int] = tally(4)
    buckets: Map[str, Bucket] = table(4)
    recent: Map[int, int] = lru(2)
    queue: Ordered[int, int] = ordered(8)
"""

compiled = compile_text(POLICY, "p.py")
assert compiled.programs, render_text(compiled.diagnostics, compiled.sources)
(PROGRAM,) = compiled.programs
Change = Callable[[Instance], object]


def three(before: Change, theirs: Change, ours: Change) -> Instance:
    """What becomes of a state after `before`, and then `theirs` on the old copy and `ours` on the new one."""
    images = []
    for changes in ((before,), (before, theirs), (before, ours)):
        instance = Instance(PROGRAM)
        for change in changes:
            change(instance)
        images.append(instance.image())
    after = Instance(PROGRAM)
    after.load(merged(images[0], images[1], images[2], schema(PROGRAM)))
    return after


def put(field: str, key: object, value: object) -> Change:
    return lambda instance: instance.state[field].put(key, value)


def drop(field: str, key: object) -> Change:
    return lambda instance: instance.state[field].__delitem__(key)


def nothing(instance: Instance) -> None:
    pass


def entries(instance: Instance, field: str) -> dict[object, object]:
    return dict(instance.state[field].entries())


def test_all_that_is_counted_is_counted_once() -> None:
    rng = random.Random(1)
    for _ in range(200):
        steps = [[rng.randrange(4) for _ in range(rng.randrange(9))] for _ in range(3)]

        def counting(numbers: list[int]) -> Change:
            def change(instance: Instance) -> None:
                for n in numbers:
                    instance.state["calls"] += n - 1
                    instance.state["seen"].add(n)
                    instance.state["spread"].observe(n)
                    instance.state["slots"][n] += 1
                    instance.state["users"][f"u{n}"] += 1

            return change

        whole = Instance(PROGRAM)
        counting([n for numbers in steps for n in numbers])(whole)
        after = three(*map(counting, steps))
        assert after.state["users"] == whole.state["users"]
        assert after.state["calls"] == whole.state["calls"]
        assert repr(after.state["slots"]) == repr(whole.state["slots"])
        assert after.state["seen"].value == whole.state["seen"].value
        assert after.state["spread"].buckets == whole.state["spread"].buckets


def test_a_place_that_an_old_rpc_took_is_given_back_to_the_new_copy() -> None:
    def set_to(n: int) -> Change:
        return lambda instance: instance.state.__setitem__("calls", n)

    assert three(set_to(2), set_to(0), set_to(5)).state["calls"] == 3


def test_fields_of_a_struct_are_merged_one_by_one() -> None:
    def bucket(tokens: int, filled: int) -> Record:
        return Record("Bucket", {"tokens": tokens, "filled": filled})

    after = three(
        put("buckets", "a", bucket(9, 10)),
        put("buckets", "a", bucket(8, 30)),
        put("buckets", "a", bucket(5, 20)),
    )
    assert entries(after, "buckets") == {"a": bucket(4, 30)}


@pytest.mark.parametrize(
    ("before", "theirs", "ours", "after"),
    [
        (nothing, put("queue", 1, 7), put("queue", 2, 8), {1: 7, 2: 8}),
        (put("queue", 1, 7), drop("queue", 1), nothing, {}),
        (put("queue", 1, 7), drop("queue", 1), put("queue", 1, 9), {1: 9}),
        (put("queue", 1, 7), put("queue", 1, 8), drop("queue", 1), {}),
    ],
)
def test_entries_that_come_and_go(before: Change, theirs: Change, ours: Change, after: object) -> None:
    assert entries(three(before, theirs, ours), "queue") == after


def test_a_tally_that_the_new_version_took_out_counts_on_from_0() -> None:
    assert entries(three(put("users", "a", 5), put("users", "a", 7), drop("users", "a")), "users") == {"a": 2}


def test_what_has_no_room_is_counted_as_overflow() -> None:
    def fill(letters: str) -> Change:
        return lambda instance: [instance.state["users"].put(c, 1) for c in letters]

    after = three(nothing, fill("xy"), fill("abc"))
    assert set(entries(after, "users")) == {"a", "b", "c", "x"}
    assert after.state["users"].overflow == 1


def test_the_rule_of_a_field_and_the_word_of_the_new_version() -> None:
    def being(level: int, open: bool, at: int) -> Change:
        return lambda instance: instance.state.update(level=level, open=open, at=at)

    after = three(being(1, True, 5), being(9, False, 8), being(4, True, 7))
    assert (after.state["level"], after.state["open"], after.state["at"]) == (9, False, 8)
    after = three(being(1, True, 5), nothing, being(4, False, 7))
    assert (after.state["level"], after.state["open"], after.state["at"]) == (4, False, 7)
