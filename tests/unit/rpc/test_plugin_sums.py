# SPDX-License-Identifier: Apache-2.0
"""A plugin of an element whose loop clang makes a product of 128 bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rpc.three_ways import ThreeWays
from transect.rpc.native.chain import emit_chain
from transect.rpc.wasm.build import built

pytestmark = pytest.mark.needs("grpcio", "gcc", "clang-19", "wasm-ld-19")

PROTO = """
syntax = "proto3";
package test;
message Q { int64 n = 1; int64 total = 2; }
service T { rpc U(Q) returns (Q); }
"""
SUM = """

class Q(Message):
    n: int
    total: int


class Sum(Element):
    def request(self, rpc: Rpc[Q]) -> Verdict:
        total = 0
        for i in range(min(rpc.msg.n, 1000)):
            total += i
        rpc.msg.total = total
        return Forward()
"""


def test_a_plugin_of_an_element_that_sums_in_a_loop_is_made(tmp_path: Path) -> None:
    ways = ThreeWays(PROTO, [SUM], tmp_path)
    make = ways.message_class("test.Q")
    assert make.FromString(ways.request(make(n=1000).SerializeToString()).message).total == 499500
    assert built(emit_chain(ways.binding)).is_file()
