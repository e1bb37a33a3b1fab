# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from transect.base.request_id import NAMELESS, Named, asked, called, named

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_a_request_is_asked_for_by_its_id_and_by_its_trace() -> None:
    found = named([("x-request-id", "a-1"), ("accept", "*/*"), ("traceparent", PARENT)])
    assert found.ids == ("a-1", TRACE)
    assert found.headers == {"x-request-id": "a-1", "traceparent": PARENT}
    assert [asked(text) for text in ("a-1", TRACE, PARENT)] == ["a-1", TRACE, TRACE]


@pytest.mark.parametrize("text", ["", "a b", "ä", "a\n", "x" * 129])
def test_what_is_no_id_names_nothing(text: str) -> None:
    assert Named(text).ids == ()
    assert Named(text).headers == {}


@pytest.mark.parametrize(
    "text", ["", TRACE, PARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01", PARENT[:-3]]
)
def test_what_is_no_traceparent_names_nothing(text: str) -> None:
    assert Named("", text).ids == ()


def test_two_ids_are_none() -> None:
    assert named([("x-request-id", "a"), ("x-request-id", "b")]) == NAMELESS


def test_the_first_layer_gives_an_id_where_there_is_none() -> None:
    assert called(Named("a-1", PARENT)) == Named("a-1", PARENT)
    given = called(Named("no id", PARENT))
    assert len(given.request_id) == 32 and given.ids == (given.request_id, TRACE)
    assert called(NAMELESS) != called(NAMELESS)
