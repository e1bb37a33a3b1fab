# SPDX-License-Identifier: Apache-2.0
"""What an absent field reads: the default that its .proto gives it, in every target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.rpc.three_ways import ThreeWays
from transect.rpc.native.chain import emit_chain
from transect.rpc.wasm.build import built

pytestmark = [pytest.mark.needs("grpcio"), pytest.mark.needs("gcc")]

NUMBERS = ("inf", "-inf", "nan", "-nan", "-0.0", "0.1", "1e300", "-1.5", "1e-300")
SINGLES = ("inf", "-inf", "nan", "-0.0", "0.1", "3.4e38", "1e39", "-1e39", "1e-30")
PROTO = (
    'syntax = "proto2"; package test;\nmessage Q {\n'
    + "".join(f"optional double d{i} = {i + 1} [default = {n}];\n" for i, n in enumerate(NUMBERS))
    + "".join(f"optional double e{i} = {i + 21};\n" for i in range(len(NUMBERS)))
    + "".join(f"optional float f{i} = {i + 41} [default = {n}];\n" for i, n in enumerate(SINGLES))
    + "".join(f"optional double g{i} = {i + 61};\n" for i in range(len(SINGLES)))
    + "}\nservice T { rpc U(Q) returns (Q); }\n"
)
MOVED = [(f"d{i}", f"e{i}") for i in range(len(NUMBERS))] + [(f"f{i}", f"g{i}") for i in range(len(SINGLES))]
COPY = (
    "class Q(Message):\n"
    + "".join(f"    {source}: float\n    {target}: float\n" for source, target in MOVED)
    + "\n\nclass Copy(Element):\n    def request(self, rpc: Rpc[Q]) -> Verdict:\n"
    + "".join(f"        rpc.msg.{target} = rpc.msg.{source}\n" for source, target in MOVED)
    + "        return Forward()\n"
)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> ThreeWays:
    return ThreeWays(PROTO, [COPY], tmp_path_factory.mktemp("copied"))


def test_a_default_is_read_as_protobuf_reads_it_infinite_and_no_number_too(copied: ThreeWays) -> None:
    make = copied.message_class("test.Q")
    found = make.FromString(copied.request(b"").message)
    for source, target in MOVED:
        assert repr(getattr(found, target)) == repr(getattr(make(), source)), source


def test_a_plugin_reads_such_defaults_too(copied: ThreeWays, needs: Callable[[str], Path]) -> None:
    needs("clang-19")
    needs("wasm-ld-19")
    assert built(emit_chain(copied.binding)).is_file()
