# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import textwrap
from typing import Any

import pytest

from tests.unit.core.test_effects import compiled
from transect.core import ir
from transect.core import types as t
from transect.core.codec import Slot, decode_state
from transect.core.conversion import Change, NotFitting, converted, relation
from transect.core.interp import Instance
from transect.core.schema import Schema, schema
from transect.core.type_json import SchemaError, type_from_json, type_json
from transect.core.upgrade import (
    Refused,
    compare,
    migration,
    old_state_faults,
    returning,
    transfer,
    transfer_back,
    upgrade,
)
from transect.core.values import Record

IMPORTS = """
from enum import IntEnum
from transect.lang import Duration, Histogram, Local, OldState, histogram, local, lru, ms, state, text
from transect.lang import i32, u8, u16, u64
"""


def policy(fields: str, before: str = "") -> ir.Program:
    """A policy with these fields and nothing else; `before` stands before the class."""
    body = textwrap.indent(textwrap.dedent(fields).strip(), "    ")
    return compiled(IMPORTS + textwrap.dedent(before) + f"\nclass P(Element):\n{body}\n")


def of(fields: str, before: str = "") -> Schema:
    return schema(policy(fields, before))


EVERYTHING = """
served: Tally[str, int] = tally(16)
buckets: Map[tuple[str, u64], Bucket] = table(8)
recent: Map[int, bool] = lru(4)
queue: Ordered[int, int] = ordered(4, scope="worker")
slots: Array[u8] = array(4)
limit: Param[int] = param(8)
keep: Param[Duration] = param(ms(5))
name: str = text(16, "x")
maybe: int | None = None
ratio: float = 0.5
total: int = state(3, sync="eventual", merge="sum", persist=True)
calls: Counter = counter()
took: Histogram = histogram()
began: Local[Instant] = local(0)
"""


def test_a_schema_comes_back_from_json() -> None:
    found = of(EVERYTHING)
    stored = json.loads(json.dumps(found.to_json()))
    assert Schema.from_json(stored) == found
    assert [f.name for f in found.fields] == [
        *("served", "buckets", "recent", "queue", "slots", "limit", "keep", "name", "maybe", "ratio"),
        *("total", "calls", "took"),
    ]
    assert stored["fields"][0] == {
        "name": "served",
        "type": {"tally": [{"text": 64}, "int", 16]},
        "kind": "state",
        "start": "00000000",
    }
    assert stored["fields"][10]["options"] == {"sync": "eventual", "merge": "sum", "persist": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "schema version 2 is not known; this is version 1"),
        ({"version": True}, "schema version True is not known; this is version 1"),
        ({"version": 1.0}, "schema version 1.0 is not known; this is version 1"),
        ({"policy": True}, "the name of a policy that is no text: True"),
        ({"hash": "0"}, "the schema of P does not have the hash that it says"),
        ({"fields": [{"name": "n"}]}, "no schema"),
        ({"fields": [{"name": "n", "type": "odd", "kind": "state", "start": ""}]}, "no type of state: 'odd'"),
        (
            {"fields": [{"name": 3, "type": "int", "kind": "state", "start": ""}]},
            "a field's name that is no text",
        ),
    ],
)
def test_what_is_no_schema_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.from_json(of("n: int = 0").to_json() | change)


@pytest.mark.parametrize(
    "options",
    [
        {"persist": 1},
        {"exclusive": "yes"},
        {"was": 7},
        {"merge": True},
        {"merge": 0},
        {"scope": None},
        {"sync": "often"},
        {"unknown": 1},
        [],
    ],
    ids=str,
)
def test_options_of_another_type_are_no_schema(options: Any) -> None:
    stored = of("n: int = 0").to_json()
    stored["fields"][0]["options"] = options
    with pytest.raises(SchemaError, match=r"no schema|no options"):
        Schema.from_json(stored)


def test_the_hash_is_of_the_layout_not_of_the_values() -> None:
    assert of("n: int = 0").hash == of("n: int = 5").hash
    assert (
        len(
            {
                of(fields).hash
                for fields in ("n: int = 0", "m: int = 0", "n: u64 = 0", "n: Param[int] = param(0)")
            }
        )
        == 4
    )
    assert of("t: Tally[str, int] = tally(16)").hash != of("t: Tally[str, int] = tally(17)").hash


# ---------------------------------------------------------------- comparing

COLOR2 = "class Color(IntEnum):\n    RED = 1\n    BLUE = 2\n"
COLOR3 = COLOR2 + "    GREEN = 3\n"
PAIR1 = "@struct\nclass Pair:\n    a: int = 0\n"
PAIR2 = PAIR1 + "    b: int = 7\n"
PAIR3 = PAIR1.replace("a: int = 0", "a: int\n    c: int")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("n: int = 0", "n: int = 5", "n: keep"),
        ("n: int = 0", "n: int = 0\nm: int = 0", "n: keep\nm: default"),
        ("n: int = 0\nm: int = 0", "n: int = 0", "n: keep\nm: drop (the new version does not have it)"),
        ("n: int = 0", 'm: int = state(0, was="n")', "m: rename (it was `n`)"),
        ("n: int = 0", 'm: int = state(0, was="n")\nn: int = 0', "m: default\nn: keep"),
        ("n: int = 0", "n: u64 = 0", "n: refuse (`int` became `u64`, which is another kind)"),
        ("n: int = 0", "n: float = 0.0", "n: refuse (`int` became `float`, which is another kind)"),
        ("n: u8 = 0", "n: u16 = 0", "n: widen (8 bits became 16)"),
        ("n: i32 = 0", "n: int = 0", "n: widen (32 bits became 64)"),
        ("n: u16 = 0", "n: u8 = 0", "n: refuse (16 bits became 8)"),
        ("n: u16 = 0", "n: int = 0", "n: refuse (`u16` became `int`, which is another kind)"),
        ("n: int = 0", "n: Param[int] = param(0)", "n: refuse (a state became a param)"),
        ("n: int = 0", 'n: int = state(0, scope="worker")', "n: refuse (scope=instance became scope=worker)"),
        ("n: int = 0", "n: int | None = None", "n: refuse (`int` became `int | None`, which is another kind)"),
        ("t: Tally[str, int] = tally(8)", "t: Tally[str, int] = tally(9)", "t: widen (8 entries became 9)"),
        ("t: Tally[str, int] = tally(8)", "t: Tally[str, int] = tally(7)", "t: fit (8 entries became 7)"),
        ("t: Tally[str, int] = tally(8)", "t: Map[str, int] = table(8)", "t: refuse (`Tally[str, int]` became "
         "`Map[str, int]`, which is another kind)"),
        ("t: Tally[str, int] = tally(8)", "t: Tally[int, int] = tally(8)", "t: refuse (`str` became `int`, which is "
         "another kind)"),
        ("t: Tally[str, int] = tally(8)", "t: Tally[str, int] = tally(8, key=text(70))",
         "t: widen (64 bytes became 70)"),
        ("name: str = text(8)", "name: str = text(4)", "name: fit (8 bytes became 4)"),
        ("a: Array[int] = array(4)", "a: Array[int] = array(8)", "a: widen (4 items became 8)"),
        (f"{COLOR2}|c: Color = Color.RED", f"{COLOR3}|c: Color = Color.RED", "c: widen (`Color` has more members)"),
        (f"{COLOR3}|c: Color = Color.RED", f"{COLOR2}|c: Color = Color.RED",
         "c: refuse (`Color` has no GREEN any more)"),
        (f"{PAIR1}|p: Pair = Pair()", f"{PAIR2}|p: Pair = Pair()", "p: widen (`Pair.b` is new)"),
        (f"{PAIR2}|p: Pair = Pair()", f"{PAIR1}|p: Pair = Pair()", "p: refuse (`Pair` has no `b` any more)"),
        (f"{PAIR1}|p: Map[int, Pair] = table(4)", f"{PAIR3}|p: Map[int, Pair] = table(4)", "p: refuse (`Pair.c` is "
         "new and has no default)"),
    ],
)  # fmt: skip
def test_what_becomes_of_each_field(old: str, new: str, wanted: str) -> None:
    def parts(text: str) -> tuple[str, str]:
        before, _, fields = text.rpartition("|")
        return fields, before

    # `|` is an operator of types as well.
    first = parts(old) if "class" in old else (old, "")
    second = parts(new) if "class" in new else (new, "")
    assert str(compare(of(*first), of(*second))) == wanted


# ---------------------------------------------------------------- going over


def state_of(program: ir.Program, **values: Any) -> bytes:
    """An image of a fresh instance with some of its fields changed."""
    instance = Instance(program)
    for name, value in values.items():
        match value:
            case dict():
                for key, item in value.items():
                    instance.state[name][key] = item
            case list():
                for i, item in enumerate(value):
                    instance.state[name][i] = item
            case _:
                instance.state[name] = value
    return instance.image()


def content(program: ir.Program, image: bytes) -> dict[str, Any]:
    return {name: slot.value for name, slot in decode_state(program.state, image).items()}


def moved(old: ir.Program, new: ir.Program, **values: Any) -> dict[str, Any]:
    return content(new, transfer(state_of(old, **values), schema(old), schema(new)))


def test_what_is_kept_keeps_its_content() -> None:
    old = policy("""
        t: Tally[str, int] = tally(2)
        a: Array[u8] = array(2)
        n: int = 0
        gone: int = 1
        low: Param[int] = param(1)
        high: Param[int] = param(1)
    """)
    new = policy("""
        a: Array[u16] = array(3)
        t: Tally[str, int] = tally(3)
        fresh: int = 9
        m: int = state(0, was="n")
        low: Param[int] = param(2)
        high: Param[int] = param(2)
    """)
    assert moved(old, new, t={"x": 0, "y": 2}, a=[3, 4], n=5, high=7) == {
        "a": [3, 4, 0],
        "t": [("x", 0), ("y", 2)],
        "fresh": 9,
        "m": 5,
        "low": 2,  # nobody has set it: the new default
        "high": 7,
    }


def test_overflows_go_along() -> None:
    old, new = policy("t: Tally[str, int] = tally(1)"), policy("t: Tally[str, int] = tally(4)")
    image = transfer(state_of(old, t={"x": 1, "y": 2}), schema(old), schema(new))
    assert decode_state(new.state, image) == {"t": Slot([("x", 1)], 1)}


def test_structs_take_the_default_of_what_is_new() -> None:
    old, new = policy("p: Pair = Pair()", PAIR1), policy("p: Pair = Pair()", PAIR2)
    found = moved(old, new, p=Record("Pair", {"a": 3}))["p"]
    assert (found.a, found.b) == (3, 7)


@pytest.mark.parametrize(
    ("old", "new", "values", "why"),
    [
        ("t: Tally[str, int] = tally(4)", "t: Tally[str, int] = tally(1)", {"t": {"x": 1, "y": 2}},
         "`t`: 2 entries do not fit into 1"),
        ("name: str = text(8)", "name: str = text(2)", {"name": "abc"}, "`name`: 'abc' is longer than 2 bytes"),
        ("a: Array[int] = array(3)", "a: Array[int] = array(2)", {"a": [0, 0, 5]},
         "`a`: item 2 is 5, and there are 2 items"),
        ("n: u16 = 0", "n: u8 = 0", {}, "`n`: 16 bits became 8"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(old: str, new: str, values: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=f"^{why}$"):
        moved(policy(old), policy(new), **values)


def test_less_room_is_no_obstacle_to_what_fits() -> None:
    assert moved(policy("name: str = text(8)"), policy("name: str = text(2)"), name="ab") == {"name": "ab"}
    old, new = policy("a: Array[int] = array(3)"), policy("a: Array[int] = array(1)")
    assert moved(old, new, a=[4, 0, 0]) == {"a": [4]}


# ---------------------------------------------------------------- migrate

V1 = "class V1(OldState):\n    served: Tally[str, int] = tally(8)\n    level: u8 = 0\n"
MIGRATING = """
counts: Map[str, int] = table(8)
level: int = 0
def migrate(self, old: V1) -> None:
    self.level = as_int(old.level) + 1
    for who in old.served:
        self.counts[who] = old.served[who] * 2
"""


def test_an_old_table_may_leave_its_size_out_and_any_other_difference_is_named_with_its_line() -> None:
    old = policy("served: Tally[str, int] = tally(8)\nlevel: u8 = 0")
    image = state_of(old, served={"a": 1, "b": 2}, level=4)
    for size in ("", " = tally(8)", " = tally(9)"):
        new = policy(MIGRATING.replace("as_int(old.level)", "old.level"), V1.replace(" = tally(8)", size))
        assert content(new, upgrade(image, schema(old), new))["counts"] == [("a", 2), ("b", 4)]
    smaller = policy(MIGRATING.replace("as_int(old.level)", "old.level"), V1.replace("tally(8)", "tally(7)"))
    with pytest.raises(
        Refused, match=r"`served` is another than `old.served` in line \d+: 8 entries became 7"
    ):
        upgrade(image, schema(old), smaller)


def migrating() -> ir.Program:
    return policy(MIGRATING.replace("as_int(old.level)", "old.level"), V1)


def test_a_policy_migrates_what_it_can_read_of_the_old_state() -> None:
    old, new = policy("served: Tally[str, int] = tally(8)\nlevel: u8 = 0"), migrating()
    image = state_of(old, served={"a": 1, "b": 2}, level=4)
    assert str(compare(schema(old), schema(new), migrates=True)) == textwrap.dedent("""\
        counts: migrate
        level: migrate (`u8` became `int`, which is another kind)
        served: drop (the new version does not have it)""")
    assert content(new, upgrade(image, schema(old), new)) == {"counts": [("a", 2), ("b", 4)], "level": 5}
    with pytest.raises(Refused, match="`level`: `u8` became `int`"):
        transfer(image, schema(old), schema(new))
    assert migration(old) is None


def test_migrate_must_name_the_fields_that_are_stored() -> None:
    old = policy("served: Tally[str, int] = tally(9)")
    assert old_state_faults(migrating(), schema(old)) == (
        "the stored `served` is another than `old.served` in line 27: 9 entries became 8",
        "the stored state has no `level`",
    )
    with pytest.raises(Refused, match="the stored state has no `level`"):
        upgrade(state_of(old), schema(old), migrating())


# ---------------------------------------------------------------- the way back


@pytest.mark.parametrize(
    ("old", "new", "obstacles"),
    [
        ("n: int = 0", "n: int = 5", ()),
        ("n: u8 = 0", "n: u16 = 0", ()),
        ("t: Tally[str, int] = tally(1)", "t: Tally[str, int] = tally(2)\nm: int = 0", ()),
        ("n: int = 0", 'm: int = state(0, was="n")', ()),
        ("n: int = 0", "m: int = 0", ("`n` is dropped by the new version",)),
        ("n: int = 0", "n: float = 0.0", ("`n`: `float` became `int`, which is another kind",)),
    ],
)
def test_whether_the_old_version_could_take_the_state_back(
    old: str, new: str, obstacles: tuple[str, ...]
) -> None:
    assert returning(of(old), of(new)) == obstacles
    assert returning(of(old), of(new), migrates_back=True) == ()
    if obstacles:
        with pytest.raises(Refused, match=re.escape(obstacles[0])):
            transfer_back(state_of(policy(new)), of(old), of(new))


def test_the_way_back_keeps_what_still_fits() -> None:
    old = policy("p: Pair = Pair()\nn: u8 = 0\nt: Tally[str, int] = tally(1)", PAIR1)
    new = policy(
        'p: Pair = Pair()\nm: u16 = state(0, was="n")\nt: Tally[str, int] = tally(2)\nx: int = 3', PAIR2
    )
    there = transfer(state_of(old, n=5, t={"a": 1}), schema(old), schema(new))
    assert content(old, transfer_back(there, schema(old), schema(new))) == content(
        old, state_of(old, n=5, t={"a": 1})
    )
    full = state_of(new, t={"a": 1, "b": 2})
    with pytest.raises(Refused, match="`t`: 2 entries do not fit into 1"):
        transfer_back(full, schema(old), schema(new))
    with pytest.raises(Refused, match="`n`: 256 does not fit `u8`"):
        transfer_back(state_of(new, m=256), schema(old), schema(new))


def test_migrate_back_says_what_the_old_version_gets() -> None:
    old, new = policy("n: int = 1"), policy("m: float = 2.5")
    back = transfer_back(
        state_of(new),
        schema(old),
        schema(new),
        lambda state, kept: {"n": Slot(int(state["m"].value) + kept["n"].value)},
    )
    assert content(old, back) == {"n": 3}


# ---------------------------------------------------------------- types that change, one by one

BLOB = t.BytesType(4)
PAIR = t.StructType("Pair", (t.StructField("a", t.INT), t.StructField("b", t.BOOL, True, False)))
MORE = t.StructType("Pair", (*PAIR.fields, t.StructField("c", t.OptionType(t.INT), None, False)))
COLOR = t.EnumType("Color", (("RED", 1),), open=False)


@pytest.mark.parametrize(
    "of",
    [
        *(
            t.INT,
            t.U64,
            t.BOOL,
            t.FLOAT,
            t.INSTANT,
            t.DURATION,
            t.CounterType(),
            t.HistogramType(),
            BLOB,
            PAIR,
            COLOR,
        ),
        *t.STORAGE.values(),
        t.KeyType("Client"),
        t.OptionType(t.TupleType((t.TextType(3), t.BOOL))),
        t.TableType(t.TableKind.ORDERED, t.TupleType((t.INT, t.KeyType("Task"))), MORE, 7),
        t.ArrayType(t.OptionType(COLOR), 3),
    ],
)
def test_types_come_back_from_json(of: t.Type) -> None:
    assert type_from_json(json.loads(json.dumps(type_json(of)))) == of


@pytest.mark.parametrize(
    "data", [{"text": -1}, {"key": 3}, {"enum": {"name": "E", "open": False, "members": {"A": "1"}}}]
)
def test_what_is_no_type_of_state_is_refused(data: object) -> None:
    with pytest.raises(SchemaError, match="no type of state"):
        type_from_json(data)


@pytest.mark.parametrize(
    ("old", "new", "value", "wanted"),
    [
        (t.OptionType(t.IntType(8)), t.OptionType(t.INT), None, None),
        (t.OptionType(t.IntType(8)), t.OptionType(t.INT), -3, -3),
        (
            t.TupleType((BLOB, t.BOOL)),
            t.TupleType((t.BytesType(9), t.BOOL)),
            (b"abcd", True),
            (b"abcd", True),
        ),
        (PAIR, MORE, Record("Pair", {"a": 1, "b": False}), Record("Pair", {"a": 1, "b": False, "c": None})),
        (MORE, PAIR, Record("Pair", {"a": 1, "b": False, "c": None}), Record("Pair", {"a": 1, "b": False})),
        (COLOR, t.EnumType("Color", (("RED", 1), ("BLUE", 2))), 1, 1),
        (t.EnumType("Color", (("RED", 1), ("BLUE", 2))), COLOR, 1, 1),
    ],
)
def test_values_go_over(old: t.Type, new: t.Type, value: object, wanted: object) -> None:
    assert relation(old, new).change is not Change.OTHER
    assert converted(value, old, new) == wanted


@pytest.mark.parametrize(
    ("old", "new", "value", "why"),
    [
        (BLOB, t.BytesType(2), b"abc", "b'abc' is longer than 2 bytes"),
        (MORE, PAIR, Record("Pair", {"a": 1, "b": False, "c": 4}), "`Pair` has no `c`, which is 4"),
        (t.EnumType("Color", (("RED", 1), ("BLUE", 2))), COLOR, 2, "`Color` has no 2"),
        (t.INT, t.IntType(8), 200, "200 does not fit `i8`"),
    ],
)
def test_values_that_do_not(old: t.Type, new: t.Type, value: object, why: str) -> None:
    with pytest.raises(NotFitting, match=f"^{why}$"):
        converted(value, old, new)


def test_unrelated_types() -> None:
    renamed = t.EnumType("Color", (("GREEN", 1),))
    assert relation(COLOR, renamed).reason == "members of `Color` have changed"
    assert relation(PAIR, t.StructType("Two", PAIR.fields)).reason == "`Pair` is called `Two`"
    assert relation(t.TupleType((t.INT,)), t.TupleType((t.INT, t.INT))).change is Change.OTHER


def test_a_migration_back_of_the_policy_itself() -> None:
    text = "class V2(OldState):\n    m: int = 0\n"
    old = policy("n: int = 1\ndef migrate_back(self, new: V2) -> None:\n    self.n = new.m + 1", text)
    new = policy("m: int = 5")
    back = migration(old, "migrate_back")
    assert back is not None
    assert content(old, transfer_back(state_of(new), schema(old), schema(new), back)) == {"n": 6}
