# SPDX-License-Identifier: Apache-2.0
"""Every type in every place: what `check` takes, the verifier takes, emitted Python and emitted C take as well."""

from __future__ import annotations

import itertools
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from transect.core.frontend import compile_text
from transect.core.ir import Program, Stage
from transect.core.verify import require
from transect.emit.c import Lowered, lower, one_unit
from transect.emit.c.emitter import runtime
from transect.emit.c.printer import render
from transect.emit.py.build import build

HEAD = """
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, TypeAlias
from transect.lang import (
    Array, Counter, Duration, Histogram, Instant, Local, Map, Ordered, Param, Tally, array, as_float, as_int, as_u64,
    helper, i32, local, lru, ordered, param, struct, table, tally, u8, u64,
)
from transect.rpc import Code, Element, Forward, Message, Outcome, Reject, Rpc, Verdict
from transect.shapes import Client

class Sub(Message):
    a: int

class Colour(IntEnum):
    RED = 1
    BLUE = 2

@struct
class Box:
    n: int
    b: u8 = 0

@struct
class Empty:
    pass
"""
POLICY = """
{top}
class Ask(Message):
    user: str
    {view}

class P(Element):
    n: int = 0
    {fields}

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        {body}
        return Forward()
"""
TYPES = (
    *(
        "int",
        "u64",
        "u8",
        "i32",
        "bool",
        "float",
        "str",
        "bytes",
        "Instant",
        "Duration",
        "Colour",
        "Box",
        "Empty",
    ),
    *(
        "Sub",
        "Client",
        "None",
        "Any",
        "Verdict",
        "Forward",
        "Rpc",
        "Rpc[Sub]",
        "Code",
        "Counter",
        "Outcome",
        "Histogram",
    ),
)
WITHIN = (
    "tuple[{}]",
    "tuple[{}, int]",
    "{} | None",
    "None | {}",
    "set[{}]",
    "frozenset[{}]",
    "Sequence[{}]",
    "Mapping[str, {}]",
    "Mapping[{}, int]",
    "Map[str, {}]",
    "Array[{}]",
    "{} | Box",
)
F = "f: {t}"
PLACES: dict[str, dict[str, str]] = {
    "a field of a view": {"view": F},
    "a field that is read": {"view": F, "body": "x = rpc.msg.f"},
    "a field that is assigned": {"view": F + "\n    g: {t}", "body": "rpc.msg.g = rpc.msg.f"},
    "a field that is gone over": {"view": F, "body": "for x in rpc.msg.f:\n    self.n += 1"},
    "items of a sequence": {"view": "f: Sequence[{t}]", "body": "for x in rpc.msg.f:\n    y = x"},
    "values of a map": {"view": "f: Mapping[str, {t}]", "body": "y = rpc.msg.f.get('a')"},
    "a parameter": {
        "top": "@helper\ndef f(x: {t}) -> int:\n    return 1\n",
        "view": F,
        "body": "self.n += f(rpc.msg.f)",
    },
    "a parameter that nobody gives": {"top": "@helper\ndef f(x: {t}) -> int:\n    return 1\n"},
    "a result": {
        "fields": "def _f(self, x: {t}) -> {t}:\n        return x\n",
        "view": F,
        "body": "z = self._f(rpc.msg.f)",
    },
    "a local": {"view": F, "body": "x: {t} = rpc.msg.f"},
    "a local of None": {"body": "x: {t} = None"},
    "a scalar": {"fields": "s: {t} = 0"},
    "a scalar of None": {"fields": "s: {t} = None"},
    "a parameter of the operator's": {"fields": "s: Param[{t}] = param(0)"},
    "a value of an RPC": {"fields": "s: Local[{t}] = local(None)"},
    "values of a table": {"fields": "s: Map[str, {t}] = table(4)", "body": "x = self.s.get('a')"},
    "a value that is stored": {
        "fields": "s: Map[str, {t}] = table(4)",
        "view": F,
        "body": "self.s['a'] = rpc.msg.f",
    },
    "keys of a table": {
        "fields": "s: Map[{t}, int] = table(4)",
        "body": "for k in self.s:\n    self.n += 1",
    },
    "keys in order": {"fields": "s: Ordered[{t}, int] = ordered(4)", "body": "f = self.s.first()"},
    "a tally": {"fields": "s: Tally[str, {t}] = tally(4)", "body": "x = self.s['a']"},
    "an array": {"fields": "s: Array[{t}] = array(4)", "body": "x = self.s[0]"},
    "an lru": {"fields": "s: Map[{t}, {t}] = lru(4)", "body": "self.n += len(self.s)"},
    "a field of a struct": {
        "top": "@struct\nclass S:\n    a: {t}\n    b: int = 0\n",
        "view": F,
        "body": "s = S(a=rpc.msg.f)\nself.n += s.b",
    },
    "members of a set": {
        "view": "f: Sequence[{t}]",
        "body": "s = {{x for x in rpc.msg.f}}\nself.n += len(s)",
    },
    "a part of a tuple": {"view": F, "body": "s = (rpc.msg.f, 1)\nself.n += s[1]"},
    "one of two": {"view": F, "body": "s = rpc.msg.f if self.n > 1 else rpc.msg.f\nt = s"},
    "one or None": {"view": F, "body": "s = rpc.msg.f if self.n > 1 else None\nt = s"},
    "what is compared": {"view": F, "body": "if rpc.msg.f == rpc.msg.f:\n    self.n += 1"},
    "what is ordered": {"view": F, "body": "if rpc.msg.f < rpc.msg.f:\n    self.n += 1"},
    "what is tested": {"view": F, "body": "if rpc.msg.f is None:\n    self.n += 1"},
    "the smallest of many": {"view": "f: Sequence[{t}]", "body": "s = min(rpc.msg.f, default=None)"},
    "the smaller of two": {"view": F, "body": "s = min(rpc.msg.f, rpc.msg.f)"},
    "the first of many": {
        "view": "f: Sequence[{t}]",
        "body": "s = min(rpc.msg.f, key=lambda x: 1, default=None)",
    },
    "a key of `min`": {
        "view": F + "\n    q: Sequence[int]",
        "body": "s = min(rpc.msg.q, key=lambda x: rpc.msg.f, default=None)",
    },
    "a subject": {
        "view": F,
        "body": "match rpc.msg.f:\n    case None:\n        self.n += 1\n    case x:\n        y = x",
    },
    "what is looked for": {
        "view": F + "\n    g: Sequence[{t}]",
        "body": "if rpc.msg.f in rpc.msg.g:\n    self.n += 1",
    },
    "a piece of text": {"view": F, "body": "return Reject(Code.ABORTED, f'{{rpc.msg.f}}')"},
    "what is converted": {"view": F, "body": "x = as_float(rpc.msg.f)\ny = as_u64(rpc.msg.f)"},
    "a constant": {"top": "X: Final[{t}] = 0", "body": "x = X"},
    "a constant of None": {"top": "X: Final[{t}] = None", "body": "x = X"},
    "an alias": {"top": "X: TypeAlias = {t}", "view": "f: X", "body": "y = rpc.msg.f"},
}
COUNT = 12  # types in each place, as long as nobody asks for more


def policy(place: str, t: str) -> str:
    parts = {"top": "", "view": "", "fields": "", "body": "pass"}
    parts |= {name: text.format(t=t) for name, text in PLACES[place].items()}
    return HEAD + POLICY.format_map(parts | {"body": parts["body"].replace("\n", "\n        ")})


def written(rng: random.Random) -> str:
    """A type of one to three levels."""
    found = rng.choice(TYPES)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        found = rng.choice(WITHIN).format(found)
    return found


def accepted(seed: int) -> Iterator[tuple[str, Program]]:
    rng = random.Random(seed)
    for place in PLACES:
        for t in [written(rng) for _ in range(COUNT)]:
            compiled = compile_text(policy(place, t))
            for program in compiled.programs:
                yield f"{place}: {t}", program


def refused_by_gcc(made: Sequence[Lowered], folder: Path) -> str:
    """What the compiler says."""
    (folder / "all.c").write_text(render("all.c", one_unit(made)))
    asked = [
        "gcc",
        "-std=c11",
        "-fsyntax-only",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-function",
        "all.c",
    ]
    return subprocess.run(asked, cwd=folder, capture_output=True, text=True).stderr


@pytest.mark.needs("gcc")
def test_what_check_takes_is_taken_by_every_target(tmp_path: Path, fuzz_seconds: float) -> None:
    for name, content in runtime().items():
        (tmp_path / name).write_bytes(content)
    until = time.monotonic() + fuzz_seconds
    for seed in itertools.count():
        found = list(accepted(seed))
        made = [_made(what, program, f"p{n}") for n, (what, program) in enumerate(found)]
        said = refused_by_gcc(made, tmp_path)
        blamed = [found[n][0] for n, one in enumerate(made) if said and refused_by_gcc([one], tmp_path)]
        assert not said, f"{blamed}\n{said[:2000]}"
        assert len(found) > 100
        if time.monotonic() >= until:
            break


def _made(what: str, program: Program, prefix: str) -> Lowered:
    """The program in C; the verifier and emitted Python have taken it as well."""
    try:
        build(require(program, Stage.CHECKED))
        return lower(program, prefix=prefix)
    except Exception as error:
        error.add_note(what)
        raise
