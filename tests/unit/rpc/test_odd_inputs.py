# SPDX-License-Identifier: Apache-2.0
"""Legal messages that nobody's own writer would send, on proto2 with groups, closed enums and defaults: every way of
running a chain reads in them what protobuf reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.rpc.three_ways import ThreeWays
from transect.rpc.chain.python import Action

pytestmark = [pytest.mark.needs("grpcio"), pytest.mark.needs("gcc")]

PROTO = r"""
syntax = "proto2";
package test;
enum Color { RED = 1; BLUE = 2; }
message Node { optional int32 v = 1 [default = 7]; optional Node next = 2; repeated Node kids = 3; }
message Q {
  optional int32 i = 1 [default = 42];
  optional string s = 2 [default = "hey"];
  optional Color c = 3 [default = BLUE];
  optional Color c2 = 13;
  optional bool b = 4 [default = true];
  optional double d = 5 [default = inf];
  optional bytes y = 6 [default = "\xff\x00z"];
  required string must = 7;
  optional group Grp = 8 { optional string inner = 1; }
  optional Node node = 9;
  repeated int32 packed = 10 [packed = true];
  repeated int32 unpacked = 11;
  map<int32, string> m = 12;
  oneof o { string x = 20; int32 z = 21; }
  optional int64 out = 30;
  optional string sout = 31;
  optional double dout = 32;
  optional bool bout = 33;
  optional bytes yout = 34;
  extensions 100 to 200;
}
service T { rpc U(Q) returns (Q); }
"""
ODD = """
class Color(IntEnum):
    RED = 1
    BLUE = 2


class Inner(Message):
    v: int


class Node(Message):
    v: int
    next: Inner


class Q(Message):
    i: int
    s: str
    c: Color
    c2: Color
    b: bool
    d: float
    y: bytes
    node: Node
    packed: Sequence[int]
    unpacked: Sequence[int]
    m: Mapping[int, str]
    out: int
    sout: str
    dout: float
    bout: bool
    yout: bytes


class Odd(Element):
    def request(self, rpc: Rpc[Q]) -> Verdict:
        m = rpc.msg
        n = m.i * 1000000 + m.node.v * 1000 + m.node.next.v
        for p in m.packed:
            n = n * 3 + p
        for p in m.unpacked:
            n = n * 5 + p
        for k, v in m.m.items():
            n = n + k * 7 + len(v)
        if m.c == Color.BLUE:
            n = n + 10000000000
        if m.c2 == Color.RED:
            n = n + 20000000000
        m.out = n
        m.sout = m.s
        m.dout = m.d
        m.bout = m.b
        m.yout = m.y
        return Forward()
"""
MUST = b"\x3a\x01x"
INPUTS = {
    "nothing, not even what is required": b"",
    "only what is required": MUST,
    "an enum's number that has no name": MUST + b"\x18\x63",
    "a packed field one by one, and another one packed": MUST + b"\x50\x01\x50\x02\x5a\x02\x05\x06",
    "a sub-message in two pieces": MUST + b"\x4a\x02\x08\x09\x4a\x04\x12\x02\x08\x04",
    "map entries without key or value": MUST + b"\x62\x00\x62\x02\x08\x01\x62\x05\x12\x03abc",
    "a map's key twice": MUST
    + b"\x62\x05\x08\x01\x12\x01a\x62\x05\x08\x02\x12\x01b\x62\x06\x08\x01\x12\x02cc",
    "a key twice in one map entry": MUST + b"\x62\x06\x08\x01\x08\x02\x12\x00",
    "-1 in five bytes": MUST + b"\x08\xff\xff\xff\xff\x0f",
    "an integer longer than its field": MUST + b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a bool of 256": MUST + b"\x20\x80\x02",
    "a bool of 2 to the 32nd": MUST + b"\x20\x80\x80\x80\x80\x10",
    "a false bool in two bytes": MUST + b"\x20\x80\x00",
    "an enum's number with bits beyond 32": MUST + b"\x18\x81\x80\x80\x80\x10",
    "an enum as an empty group": MUST + b"\x6b\x6c",
    "a sub-message as a group": MUST + b"\x4b\x08\x05\x4c",
    "a group as a sub-message": MUST + b"\x42\x03\x0a\x01g",
    "a group": MUST + b"\x43\x0a\x01g\x44",
    "an integer of fixed size": MUST + b"\x0d\x01\x00\x00\x00",
    "text that is no UTF-8 where nobody reads": MUST + b"\xa2\x01\x01\xff",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> ThreeWays:
    return ThreeWays(PROTO, [ODD], tmp_path_factory.mktemp("odd"))


def expected(q: Any) -> tuple[int, str, float, bool, bytes]:
    """What the policy assigns, by protobuf's own reading."""
    n = q.i * 1000000 + q.node.v * 1000 + q.node.next.v
    for p in q.packed:
        n = n * 3 + p
    for p in q.unpacked:
        n = n * 5 + p
    n += sum(k * 7 + len(v) for k, v in q.m.items())
    n += 10000000000 * (q.c == 2) + 20000000000 * (q.c2 == 1)
    return n, q.s, q.d, q.b, q.y


@pytest.mark.parametrize("name", INPUTS)
def test_an_odd_message_is_read_as_protobuf_reads_it(odd: ThreeWays, name: str) -> None:
    make = odd.message_class("test.Q")
    passed = odd.request(INPUTS[name]).message
    assert passed is not None and passed.startswith(INPUTS[name]), "what is not assigned stays as it came"
    found = make.FromString(passed)
    assert (found.out, found.sout, found.dout, found.bout, found.yout) == expected(
        make.FromString(INPUTS[name])
    )


def test_text_that_is_no_utf8_is_refused_where_an_element_reads_it(odd: ThreeWays) -> None:
    verdict = odd.request(MUST + b"\x12\x01\xff")
    assert (verdict.action, verdict.text) == (Action.REJECT, b"malformed test.Q")
