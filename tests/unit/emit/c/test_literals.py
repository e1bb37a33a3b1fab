# SPDX-License-Identifier: Apache-2.0
"""Constants that do not fit are refused: a compiler that cut one would make a policy mean something else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from transect.emit.c import toolchain as native
from transect.emit.c import tree as c
from transect.emit.c.printer import expression
from transect.emit.toolchain import BuildError
from transect.emit.wasm import toolchain as wasm

CUT = {
    "converted": "unsigned char cut(void) { return 300; }",
    "computed": "int cut(void) { return 2147483647 + 1; }",
    "shifted": "unsigned long long cut(void) { return 1ull << 80; }",
}


@pytest.mark.parametrize(
    "value, suffix", [(2**64, "ull"), (2**64, "u"), (2**63, ""), (2**63, "ll"), (-1, "")]
)
def test_an_integer_that_c_cannot_write_is_refused(value: int, suffix: str) -> None:
    with pytest.raises(AssertionError):
        c.Integer(value, suffix)


def test_the_greatest_integers_are_written() -> None:
    assert expression(c.Integer(2**64 - 1, "ull")) == "18446744073709551615ull"
    assert expression(c.Integer(2**63 - 1)) == "9223372036854775807"


@pytest.mark.parametrize("value", [math.inf, math.nan, -1.0, -0.0])
def test_a_float_that_c_has_no_literal_for_is_refused(value: float) -> None:
    with pytest.raises(AssertionError):
        c.Real(value)


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("kind", CUT)
def test_the_native_compiler_refuses_a_constant_that_is_cut(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        native.shared_object("cut", {"cut.c": CUT[kind].encode()}, folder=tmp_path)


@pytest.mark.needs("clang-19", "wasm-ld-19")
@pytest.mark.parametrize("kind", CUT)
def test_the_compiler_for_wasm_refuses_a_constant_that_is_cut(kind: str, tmp_path: Path) -> None:
    (tmp_path / "cut.c").write_text(CUT[kind])
    with pytest.raises(BuildError):
        wasm.compile(["cut.c"], tmp_path, tmp_path / "cut.o", flags=("-c",))
