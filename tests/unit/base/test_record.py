# SPDX-License-Identifier: Apache-2.0
"""A record is a dataclass to whoever makes, compares and prints one."""

from __future__ import annotations

from dataclasses import field, fields, replace
from typing import Any

import pytest

from transect.base.record import keyword_record, record


@record
class Point:
    x: int
    y: int = 2
    seen: list[int] = field(default_factory=list, compare=False)


@keyword_record
class Base:
    name: str = "base"


@keyword_record
class Derived(Base):
    size: int


def test_it_is_made_like_a_dataclass() -> None:
    point = Point(1)
    assert (point.x, point.y, point.seen) == (1, 2, [])
    assert point.seen is not Point(1).seen
    assert Derived(size=3).name == "base"
    assert replace(point, y=5) == Point(1, 5)
    assert [f.name for f in fields(Point)] == ["x", "y", "seen"]
    match point:
        case Point(x, y):
            assert (x, y) == (1, 2)


@pytest.mark.parametrize(
    ("kind", "given", "named"), [(Point, (), {}), (Point, (1,), {"z": 2}), (Derived, (3,), {})]
)
def test_what_a_dataclass_refuses_is_refused_at_once_and_later(
    kind: Any, given: tuple[int, ...], named: dict[str, int]
) -> None:
    for _ in range(2):
        with pytest.raises(TypeError):
            kind(*given, **named)


def test_equal_objects_have_one_hash_and_text() -> None:
    assert Point(1, 2, [1]) == Point(1, 2, [2])
    assert hash(Point(1, 2, [1])) == hash(Point(1, 2, [2]))
    assert Point(1) != Point(2)
    assert Base() != Derived(size=1)
    assert repr(Point(1)) == "Point(x=1, y=2, seen=[])"
    assert not hasattr(Point(1), "__dict__")
