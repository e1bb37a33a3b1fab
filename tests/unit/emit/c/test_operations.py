# SPDX-License-Identifier: Apache-2.0
"""Arithmetic, texts and hashes of the C runtime: handlers of one operation each, against the interpreter."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from tests.operators import every
from tests.unit.emit.c.machine import SANITIZED, Session, build, interpreted, shown
from transect.core.interp import Instance
from transect.core.text import parse
from transect.core.types import BYTES, FLOAT, INT, TEXT, U64, Type

INTS, FLOATS = every("iii"), every("fff")
COMPARED = ("==", "!=", "<", "<=", ">", ">=")


def handlers() -> list[tuple[str, str, tuple[Type, ...]]]:
    """Name, text and the types of the arguments."""
    found: list[tuple[str, str, tuple[Type, ...]]] = []

    def add(args: str, result: str, expression: str, *types: Type) -> None:
        name = f"h{len(found)}"
        found.append((name, f"handler {name}({args}) -> {result}\n  return {expression}\n", types))

    for op in INTS:
        add("a: int, b: int", "int", f"(a {op} b)", INT, INT)
        add("a: u64, b: u64", "u64", f"(a {op} b)", U64, U64)
    for op in FLOATS:
        add("a: float, b: float", "float", f"(a {op} b)", FLOAT, FLOAT)
    for kind, t in (("int", INT), ("u64", U64), ("float", FLOAT), ("str", TEXT), ("bytes", BYTES)):
        for op in COMPARED:
            add(f"a: {kind}, b: {kind}", "bool", f"(a {op} b)", t, t)
    for name in ("contains", "startswith", "endswith"):
        add("a: str, b: str", "bool", f"%{name}(a, b)", TEXT, TEXT)
        add("a: bytes, b: bytes", "bool", f"%{name}(a, b)", BYTES, BYTES)
    for op in ("min", "max"):
        add("a: str, b: str", "str", f"(a {op} b)", TEXT, TEXT)
        add("a: int, b: int, c: str, d: str", "(int, str)", f"([a, c] {op} [b, d])", INT, INT, TEXT, TEXT)
    for op in COMPARED:
        add("a: float, b: float, c: str, d: str", "bool", f"([a, c] {op} [b, d])", FLOAT, FLOAT, TEXT, TEXT)
    for bits in (8, 16, 32):
        for sign in "iu":
            add("a: int", "int", f"cast(cast(a)::{sign}{bits})::int", INT)
            add("a: float", "int", f"cast(cast(a)::{sign}{bits})::int", FLOAT)
    for source, t in (("int", INT), ("u64", U64), ("float", FLOAT)):
        for target in ("int", "u64", "float", "Duration", "Instant"):
            add(f"a: {source}", target, f"cast(a)::{target}", t)
    add("a: int", "int", "(- a)", INT)
    add("a: u64", "u64", "(- a)", U64)
    add("a: float", "float", "(- a)", FLOAT)
    add("a: int", "int", "(~ a)", INT)
    add("a: u64", "u64", "(~ a)", U64)
    add("a: int", "int", "%abs(a)", INT)
    add("a: float", "float", "%abs(a)", FLOAT)
    add("a: int, b: int, c: int", "int", "%mul_div(a, b, c)", INT, INT, INT)
    add("a: u64, b: u64, c: u64", "u64", "%mul_div(a, b, c)", U64, U64, U64)
    add("a: str", "int", "%len(a)", TEXT)
    add("a: bytes, n: int", "bool", "%fits(a, n)", BYTES, INT)
    add("a: str", "int?", "%parse_int(a)", TEXT)
    add("a: int", "str", "format(a)", INT)
    for name in ("removeprefix", "removesuffix"):
        add("a: str, b: str", "str", f"%{name}(a, b)", TEXT, TEXT)
        add("a: bytes, b: bytes", "bytes", f"%{name}(a, b)", BYTES, BYTES)
    add("a: str", "str", "%lower(a)", TEXT)
    add("a: str", "str", "%strip(a)", TEXT)
    add("a: str, b: str", "(str, str, str)", "%partition(a, b)", TEXT, TEXT)
    for kind, t in (("int", INT), ("u64", U64), ("str", TEXT), ("bytes", BYTES)):
        add(f"a: {kind}, b: u64", "u64", "%hash64(a, b)", t, U64)
    add("a: int, b: u64, c: bool, d: str", "str", "format('<', a, b, c, d, '>')", INT, U64, INT, TEXT)
    add("a: int", "int", "cast((a < 3))::int", INT)
    return found


HANDLERS = [(n, t, a) for n, t, a in handlers() if "c: bool" not in t]
TEXT_FORM = (
    "transect-ir 1\npolicy Operations stratum '' base 'Shape' stage CHECKED\npath 'o.py' hash '0'\n"
    + "".join(text for _, text, _ in HANDLERS)
)
EDGES = (0, 1, 2, 3, 7, 63, 64, 65, 127, 128, 255, 256, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 2, 2**63 - 1)
REALS = (0.0, 0.5, 1.0, 1.5, 2.0**31, 2.0**53, 2.0**62, 2.0**63, 2.0**64, 1e300, 5e-324, math.inf, math.nan)
NUMBERS = (
    "7",
    "-7",
    "-0",
    "007",
    "-",
    "+1",
    "1 ",
    " 1",
    "1_0",
    "0x1",
    "\u0663",
    "1e3",
    "9" * 19,
    "0" * 30 + "5",
)
FARTHEST = (
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "1" * 5000,
)
ODD = (" a\tb \r\n", "\u00a0x\u00a0", "ABC \u00c9\u0130", "x:AB:", "\x1c\x85 a", "  ")
WORDS = (
    *NUMBERS,
    *FARTHEST,
    *ODD,
    "",
    "a",
    "b",
    "ab",
    "aba",
    "abab",
    "aab",
    "é",
    "z\x00y",
    "日本",
    "\U0001f600",
    "a" * 40,
    "ab" * 30,
)


def argument(rng: random.Random, t: Type) -> object:
    if t == FLOAT:
        x = rng.choice(REALS) if rng.random() < 0.7 else rng.uniform(-1e19, 1e19)
        return x * rng.choice((1, -1))
    if t == TEXT:
        return rng.choice(WORDS) if rng.random() < 0.5 else "".join(rng.choices("ab", k=rng.randrange(12)))
    if t == BYTES:
        return str(argument(rng, TEXT)).encode()
    x = rng.choice(EDGES) * rng.choice((1, -1)) if rng.random() < 0.7 else rng.randint(-(2**63), 2**63 - 1)
    return x % 2**64 if t == U64 else x


@pytest.mark.parametrize("flags", [SANITIZED, (*SANITIZED, "-DTS_NO_INT128")], ids=["int128", "no-int128"])
def test_operations_mean_what_the_interpreter_means(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = parse(TEXT_FORM)
    instance = Instance(program)
    session = Session(build([program], tmp_path, flags), [program])
    session.start()
    rng = random.Random(7)
    asked = [(n, tuple(argument(rng, t) for t in types)) for n, _, types in HANDLERS for _ in range(200)]
    for name, args in asked:
        session.call(name, *args)
    texts = {name: text for name, text, _ in HANDLERS}
    for (name, args), found in zip(asked, session.run(), strict=True):
        assert shown(found) == interpreted(instance, name, *args), (texts[name], args)


def test_searching_takes_linear_time(tmp_path: Path) -> None:
    """A naive search would take 2e11 steps for these."""
    program = parse(TEXT_FORM)
    contains = next(name for name, text, _ in HANDLERS if "%contains(a, b)" in text and "str" in text)
    session = Session(build([program], tmp_path, ("-std=c11", "-O1")), [program])
    session.start()
    long = "a" * 1_000_000
    for needle in (
        "a" * 400_000 + "b",
        "b" + "a" * 400_000,
        "a" * 200_000 + "b" + "a" * 200_000,
        "ab" * 200_000,
    ):
        session.call(contains, long, needle)
    session.call(contains, long + "b", "a" * 400_000 + "b")
    session.call(contains, "ab" * 500_000, "ba" * 200_000 + "b")
    assert [a.result for a in session.run()] == [False, False, False, False, True, True]


def test_searching_finds_what_python_finds(tmp_path: Path) -> None:
    """Short words over two letters have every kind of period."""
    program = parse(TEXT_FORM)
    contains = next(name for name, text, _ in HANDLERS if "%contains(a, b)" in text and "str" in text)
    session = Session(build([program], tmp_path), [program])
    session.start()
    rng = random.Random(3)
    pairs = [
        ("".join(rng.choices("ab", k=rng.randrange(24))), "".join(rng.choices("ab", k=rng.randrange(9))))
        for _ in range(20_000)
    ]
    for text, word in pairs:
        session.call(contains, text, word)
    for (text, word), found in zip(pairs, session.run(), strict=True):
        assert found.result is (word in text), (text, word)
