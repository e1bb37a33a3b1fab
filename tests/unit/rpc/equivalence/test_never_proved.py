# SPDX-License-Identifier: Apache-2.0
"""Pairs that differ by a way which is easy to overlook: none of them may count as proved."""

from __future__ import annotations

import pytest

from tests.unit.core.running import compiled
from transect.rpc.equivalence import Level, Settings, Verdict, decide
from transect.rpc.equivalence.world import Oneofs

pytestmark = pytest.mark.needs("z3")

MESSAGES = """
class User(Message):
    name: str
class Other(Message):
    nick: str
class Ask(Message):
    user: str
    who: User | None
    deputy: User
    n: int
    nick: str | None
    count: int | None
class Answer(Message):
    n: int
"""
PICKY = """
bad: Map[str, bool] = table(64)
def request(self, rpc: Rpc[Ask]) -> Verdict:
    return Reject(Code.PERMISSION_DENIED, "no") if rpc.msg.user in self.bad else Forward()
"""
GATE = """
def request(self, rpc: Rpc[Ask]) -> Verdict:
    return Reject(Code.UNAVAILABLE, "shut") if self.shut else Forward()
"""


def verdict(
    first: str, second: str, level: Level, *, watched: bool = False, oneofs: Oneofs = None
) -> Verdict:
    a, b = (
        compiled(f"{MESSAGES}\nclass {name}(Element):\n" + "\n".join(f"    {x}" for x in body.splitlines()))
        for name, body in (("First", first), ("Second", second))
    )
    settings = Settings(limit=20, watched=watched, witnesses=False, oneofs=oneofs)
    return decide(a, b, levels=[level], settings=settings).at(level).verdict


def test_whoever_rejects_tells_the_others_at_its_end() -> None:
    """At `loose` callers are not looked at, but an element may be: `finish` learns the code."""
    first = f"""
shut: bool = False
{GATE}
def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
    return Reject(Code.UNAVAILABLE, "first")
def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
    self.shut = self.shut or outcome.code == Code.UNAVAILABLE
"""
    second = """
def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
    return Reject(Code.ABORTED, "second")
"""
    assert verdict(first, second, Level.LOOSE) is Verdict.REFUSED


def test_metadata_of_replies_is_read_at_the_end() -> None:
    first = f"""
shut: bool = False
{GATE}
def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
    rpc.trailers.set("k", "first")
    return Forward()
def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
    k = rpc.trailers.get("k")
    if k is not None and k == "first":
        self.shut = True
"""
    second = """
def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
    rpc.trailers.set("k", "second")
    return Forward()
"""
    assert verdict(first, second, Level.LOOSE) is Verdict.REFUSED


def test_a_request_sets_what_goes_back_with_the_reply() -> None:
    first, second = (
        f"def request(self, rpc: Rpc) -> Verdict:\n    rpc.trailers.set('k', '{n}')\n    return Forward()"
        for n in range(2)
    )
    assert verdict(first, second, Level.SERVICE) is Verdict.REFUSED
    assert verdict(first, second, Level.LOOSE) is Verdict.PROVED


COUNTED = """
count: int = 0
def request(self, rpc: Rpc[Ask]) -> Verdict:
    self.count += 1
    return Forward()
def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
    rpc.reply.n = self.count
    return Forward()
"""


def test_what_is_written_into_replies_counts_where_others_act_on_them() -> None:
    assert verdict(COUNTED, PICKY, Level.LOOSE) is Verdict.PROVED
    assert verdict(COUNTED, PICKY, Level.LOOSE, watched=True) is Verdict.REFUSED


def test_what_is_written_into_a_reply_may_be_read_again() -> None:
    first = """
shut: bool = False
count: int = 0
def request(self, rpc: Rpc[Ask]) -> Verdict:
    self.count += 1
    return Reject(Code.UNAVAILABLE, "shut") if self.shut else Forward()
def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
    rpc.reply.n = self.count
    if rpc.reply.n > 5:
        self.shut = True
    return Forward()
"""
    assert verdict(first, PICKY, Level.LOOSE) is Verdict.REFUSED


def test_a_long_loop_reads_what_the_neighbour_has_assigned() -> None:
    first = """
allowed: Map[str, bool] = table(64)
def request(self, rpc: Rpc[Ask]) -> Verdict:
    return Forward() if any(k == rpc.msg.user for k in self.allowed) else Reject(Code.ABORTED, "no")
"""
    second = "def request(self, rpc: Rpc[Ask]) -> Verdict:\n    rpc.msg.user = 'root'\n    return Forward()"
    assert verdict(first, second, Level.LOOSE) is Verdict.REFUSED


def test_a_draw_is_no_case_that_lasts() -> None:
    first = """
share: float = 0.5
def request(self, rpc: Rpc[Ask]) -> Verdict:
    return Reject(Code.ABORTED, "unlucky") if rand() < self.share else Forward()
"""
    second = """
count: int = 0
def request(self, rpc: Rpc[Ask]) -> Verdict:
    self.count += 1
    return Reject(Code.RESOURCE_EXHAUSTED, "enough") if self.count > 5 else Forward()
"""
    assert verdict(first, second, Level.LOOSE) is Verdict.REFUSED


def test_the_same_bits_are_another_text_as_another_type() -> None:
    first, second = (
        f"def request(self, rpc: Rpc[Ask]) -> Verdict:\n    return Reject(Code.ABORTED, f'{{{e}}}')"
        for e in ("rpc.msg.n", "as_u64(rpc.msg.n)")
    )
    assert verdict(first, first, Level.SERVICE) is Verdict.PROVED
    assert verdict(first, second, Level.SERVICE) is Verdict.REFUSED


def test_a_computed_name_of_a_header_may_be_one_that_is_written() -> None:
    first = "def request(self, rpc: Rpc[Ask]) -> Verdict:\n    rpc.headers.set(rpc.msg.user, '1')\n    return Forward()"
    second = """
def request(self, rpc: Rpc[Ask]) -> Verdict:
    if rpc.msg.user == "abc" and rpc.headers.get("abc") is not None:
        return Reject(Code.ABORTED, "no")
    return Forward()
"""
    assert verdict(first, second, Level.LOOSE) is Verdict.REFUSED


NICK = """
def request(self, rpc: Rpc[Ask]) -> Verdict:
    rpc.msg.nick = 'a'
    return Forward()
"""
READERS = {
    "count": "rpc.msg.count is None",
    "user": "rpc.msg.user == ''",
    "who": "rpc.msg.who is None",
    "deputy": "rpc.msg.deputy.name == 'ann'",
}


@pytest.mark.parametrize("field", READERS)
def test_fields_may_be_of_one_oneof(field: str) -> None:
    """Where they are, whoever assigns one ends the other, however that is read."""
    reader = f"""
def request(self, rpc: Rpc[Ask]) -> Verdict:
    return Reject(Code.ABORTED, "none") if {READERS[field]} else Forward()
"""
    assert verdict(NICK, reader, Level.LOOSE) is Verdict.UNKNOWN
    assert verdict(NICK, reader, Level.LOOSE, oneofs=[("nick", field, "n")]) is Verdict.UNKNOWN
    assert verdict(NICK, reader, Level.IDENTICAL, oneofs=[("nick", "n")]) is Verdict.PROVED


@pytest.mark.parametrize("use", ["rpc.msg.nick = 'b'", "rpc.trailers.set('nick', rpc.msg.nick)"])
def test_a_field_that_may_be_absent_to_one_and_is_its_default_to_another(use: str) -> None:
    other = f"def request(self, rpc: Rpc[Other]) -> Verdict:\n    {use}\n    return Forward()"
    assert verdict(NICK, other, Level.IDENTICAL, oneofs=()) is Verdict.UNKNOWN


def test_a_number_may_be_cut_between_two_elements() -> None:
    """In an int32, the first order leaves 3, the second 5."""
    first, second = (
        f"def request(self, rpc: Rpc[Ask]) -> Verdict:\n    rpc.msg.n = max(rpc.msg.n, {least})\n    return Forward()"
        for least in (2**40 + 5, 2**33 + 3)
    )
    assert verdict(first, second, Level.LOOSE) is not Verdict.PROVED
    small, smaller = (
        text.replace(str(n), m) for text, n, m in ((first, 2**40 + 5, "9"), (second, 2**33 + 3, "7"))
    )
    capped = [
        text.replace("max(rpc.msg.n", "min(max(rpc.msg.n").replace(")\n    return", "), 99)\n    return")
        for text in (small, smaller)
    ]
    assert verdict(capped[0], capped[1], Level.IDENTICAL) is Verdict.PROVED
