# SPDX-License-Identifier: Apache-2.0
"""A log is read while it is written: whole frames, in the order of calls, and what is missing is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.schema import schema
from transect.replay import LogError, Writer
from transect.replay.following import APART, Following, InOrder
from transect.replay.log import FRAME, MAGIC, VERSION, Header, Policy, Record

POLICY = """from transect.rpc import Element, Forward, Rpc, Verdict

class Open(Element):
    def request(self, rpc: Rpc) -> Verdict:
        return Forward()
"""


def call(sequence: int, policy: int = 0) -> Record:
    return Record(sequence, policy, 0, sequence, b"", b"", b"\0")


def written(folder: Path, calls: int) -> Path:
    (program,) = compile_text(POLICY, "open.py").programs
    path = folder / "log"
    with Writer(path, Header("rpc", "shop", True)) as writer:
        writer.policy(Policy.of(program, schema(program), Instance(program).image(), sources={}))
        for number in range(calls):
            writer.add(call(number))
    return path


def test_a_log_that_grows_by_single_bytes_is_read_frame_by_frame(tmp_path: Path) -> None:
    whole = written(tmp_path, 3).read_bytes()
    growing = tmp_path / "growing"
    growing.write_bytes(b"")
    following = Following(growing)
    found: list[Policy | Record] = []
    for at in range(len(whole)):
        with growing.open("ab") as file:
            file.write(whole[at : at + 1])
        found += following.more()
    assert [one.sequence for one in found if isinstance(one, Record)] == [0, 1, 2]
    assert following.header is not None and following.ended and following.behind == 0
    following.close()


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    head = MAGIC + VERSION.to_bytes(4, "little")
    unknown = MAGIC + (99).to_bytes(4, "little")
    for data, why in (
        (b"x" * 100, "this is no log of transect"),
        (unknown, "log version 99 is not known"),
        (head + FRAME.pack(b"R", (1 << 32) - 1), "more than a shadow takes"),
    ):
        path = tmp_path / "log"
        path.write_bytes(data)
        following = Following(path)
        with pytest.raises(LogError, match=why):
            list(following.more())
        following.close()


def taken(order: InOrder, *, quiet: bool = False) -> list[int]:
    return [record.sequence for record in order.ready(quiet=quiet)]


def test_calls_come_in_the_order_in_which_they_took_effect() -> None:
    order = InOrder()
    order.begins(0, 5)
    for number in (6, 7):
        order.add(call(number))
    assert taken(order) == []
    order.add(call(5))
    assert (taken(order), order.missing) == ([5, 6, 7], 0)


def test_a_call_that_does_not_come_is_missing() -> None:
    order = InOrder()
    order.begins(0, 0)
    for number in (0, 3):
        order.add(call(number))
    assert taken(order) == [0]
    assert (taken(order, quiet=True), order.missing) == ([3], 2)
    for number in range(5, 5 + APART):
        order.add(call(number))
    assert (len(taken(order)), order.missing) == (APART, 3), "it waits for so many, and no longer"


def test_elements_share_a_clock_or_have_their_own() -> None:
    shared, own = InOrder(), InOrder()
    for order in (shared, own):
        order.begins(0, 0)
        order.begins(1, 0 if order is own else 1)
    for number in range(6):
        shared.add(call(number, number % 2))
        own.add(call(number, 0))
        own.add(call(number, 1))
    assert (sorted(taken(shared)), shared.missing) == ([0, 1, 2, 3, 4, 5], 0)
    assert (len(taken(own)), own.missing) == (12, 0)
