# SPDX-License-Identifier: Apache-2.0
"""What a test builds by hand: views, headers, structs, keys, times, randomness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

import pytest

from transect.lang import (
    Duration,
    Key,
    PolicyError,
    as_int,
    blob,
    helper,
    ms,
    ns,
    seconds,
    struct,
    tape,
    text,
    u8,
    us,
)
from transect.lang.tape import LiveTape, TapeExhausted, current, use
from transect.rpc import Code, Headers, Message, Outcome, Rpc
from transect.shapes import Client


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Inner(Message):
    name: str


class Ask(Message):
    user: str
    n: u8
    x: float
    raw: bytes
    flag: bool
    level: Level
    note: str | None
    tags: Sequence[str]
    sizes: Mapping[str, int]
    inner: Inner
    took: Duration


class More(Ask):
    extra: int


def test_fields_left_out_read_zero() -> None:
    ask = More(user="bob")
    assert (ask.user, ask.n, ask.x, ask.raw, ask.flag) == ("bob", 0, 0.0, b"", False)
    assert (ask.level, ask.note, list(ask.tags), dict(ask.sizes)) == (0, None, [], {})
    assert (ask.inner.name, ask.took, ask.extra) == ("", 0, 0)


def test_a_zero_within_a_view_stays_the_same_object() -> None:
    ask = Ask()
    ask.inner.name = "eve"
    assert ask.inner.name == "eve"
    assert repr(ask) == "Ask(inner=Inner(name='eve'))"


def test_a_view_within_a_view_may_be_a_mapping() -> None:
    assert Ask({"inner": {"name": "eve"}, "n": 3}).inner.name == "eve"


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: Ask(usr="x"), TypeError, "Ask has no field `usr`; did you mean `user`?"),
        (lambda: setattr(Ask(), "usr", "x"), TypeError, "Ask has no field `usr`; did you mean `user`?"),
        (lambda: getattr(Ask(), "usr"), AttributeError, "Ask has no field `usr`; did you mean `user`?"),  # noqa: B009
        (lambda: Inner(zzz=1), TypeError, "Inner has no field `zzz`; it has name"),
        (lambda: Rpc().msg, AttributeError, "this Rpc was built without `msg`; write `Rpc(msg=…)`"),
    ],
)
def test_a_misspelt_field_is_an_error(wrong: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        wrong()  # type: ignore[operator]
    assert str(raised.value) == text


def test_an_rpc_has_headers_from_a_dict() -> None:
    rpc = Rpc(msg=Inner(), headers={"x-user": "bob"})
    rpc.headers.set("x-seen", "1")
    rpc.headers.remove("x-user")
    rpc.headers.remove("x-other")
    assert (rpc.headers.get("x-user"), rpc.headers.get("x-seen")) == (None, "1")
    rpc.trailers.set("x-cost", "5")
    assert rpc.trailers.get("x-cost") == "5"
    assert Headers().get("x") is None
    assert (rpc.method, rpc.peer, rpc.body) == ("", "", b"")


def test_an_enum_of_a_view_reads_its_member_of_value_zero() -> None:
    assert Outcome().code is Code.OK


def test_keys_are_told_apart_by_name_or_by_themselves() -> None:
    assert Client("alice") == Client("alice") != Client("bob")
    assert len({Client("alice"), Client("alice"), Client(), Client()}) == 3
    one = Client()
    assert one == one != Client()
    assert Client("x") != Key("x")
    assert (repr(Client("alice")), repr(Client())) == ("Client('alice')", "Client()")


@struct
class Entry:
    key: str = text(8)
    body: bytes = blob(16, b"x")
    n: int = 3


def test_a_bound_in_a_struct_is_no_default_of_its_own() -> None:
    assert Entry() == Entry("", b"x", 3)
    with pytest.raises(AttributeError):
        Entry().other = 1  # type: ignore[attr-defined]


def test_durations_have_a_meaning_everywhere() -> None:
    assert (ns(1), us(2), ms(3), seconds(4)) == (1, 2_000, 3_000_000, 4_000_000_000)


def test_other_functions_say_where_they_have_a_meaning() -> None:
    @helper
    def half(n: int) -> int:
        return n // 2

    with pytest.raises(PolicyError, match=r"`as_int\(\)` has a meaning inside a policy's handlers only"):
        as_int(1.5)
    with pytest.raises(PolicyError, match=r"`half\(\)` has a meaning inside a policy's handlers only"):
        half(4)
    assert half.__name__ == "half"


def test_a_tape_gives_what_the_test_says_and_no_more() -> None:
    with tape(now=[5], rand=[0.25, 7]) as given:
        assert current() is given
        assert (given.now(), given.draw(), given.draw()) == (5, 2**62, 7)
        with pytest.raises(TapeExhausted, match="more often than `now=` has values"):
            given.now()
        with pytest.raises(TapeExhausted, match="more random numbers than `rand=` has values"):
            given.draw()
        assert given.answer("kernel", lambda: 3) == 3
    assert isinstance(current(), LiveTape)


def test_one_time_serves_all_calls_and_one_number_one_draw() -> None:
    with tape(now=9, rand=3) as given:
        assert [given.now(), given.now(), given.draw()] == [9, 9, 3]
        with pytest.raises(TapeExhausted):
            given.draw()


def test_without_a_tape_time_goes_on_and_draws_differ() -> None:
    live = LiveTape()
    with use(live):
        assert current().now() <= current().now()
        assert len({current().draw() for _ in range(8)}) == 8
        assert current().answer("kernel", lambda: "answer") == "answer"
