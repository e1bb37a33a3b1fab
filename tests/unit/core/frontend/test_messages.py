# SPDX-License-Identifier: Apache-2.0
"""Every message of the front end, with the policy that earns it.  `messages.txt` is input and output in one."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.errors import titles

HERE = Path(__file__).parent
CASES = HERE / "messages.txt"
FRONTEND = Path(sys.modules["transect.core.frontend"].__file__ or "").parent

HEAD = """\
from enum import IntEnum
from typing import Any, Final
from transect.lang import (Array, Counter, Histogram, Map, Param, Tally, array, as_int, as_text, blob, counter, drop,
    fits, hash64, helper, histogram, lru, mul_div, now, param, parse_int, rand_below, seconds, state,
    struct, table, tally, text, trace, u64)
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict
from transect.shapes import Arbiter
"""
FIELDS = """\
@struct
class Box:
    content: int
@helper
def help_you(a: int) -> int:
    return a
class Q(Element):
    pass
class P(Element):
    count: int = 0
    big: u64 = 0
    flag: bool = False
    maybe: Box | None = None
    maybe_int: int | None = None
    box: Box = Box(content=1)
    code: Code = Code.OK
    limit: Param[int] = param(5)
    names: Map[str, int] = table(64)
    recent: Map[str, int] = lru(64)
    slots: Array[int] = array(8)
    seen: Counter = counter()
    sizes: Histogram = histogram()
    method_name: str = ""
    def _help(self, a: int) -> int:
        return a
    def _box(self) -> Box:
        return self.box
"""
HANDLER = """\
    def request(self, rpc: Rpc) -> Verdict:
        {body}
        return Forward()
"""


def cases() -> Iterator[tuple[str, str]]:
    """Name and text of each case; a `B:` or `P:` case is set into a policy."""
    for block in re.split(r"^=== ", CASES.read_text(), flags=re.M)[1:]:
        name, _, rest = block.partition("\n")
        source = re.split(r"^---$", rest, flags=re.M)[0].rstrip("\n")
        parts = re.split(r"^([BP]\d*): ?", source, flags=re.M)
        if parts[0].strip():
            yield name, HEAD + parts[0] + "\n"
        for kind, body in zip(parts[1::2], parts[2::2], strict=True):
            indented = body.rstrip("\n").replace("\n", "\n    ")
            text = HANDLER.format(body=indented) if kind.startswith("B") else f"    {indented}\n"
            yield f"{name} {kind}", HEAD + FIELDS + text


def said(text: str) -> list[str]:
    """What the front end says, a line each: code, what it points at, message, help."""
    diagnostics = compile_text(text.replace("\\0", "\0"), "policy.py").diagnostics
    lines = text.splitlines()
    found = []
    for d in diagnostics:
        line = lines[d.span.line - 1] if d.span.line <= len(lines) else ""
        piece = line[d.span.column : d.span.end_column if d.span.end_line == d.span.line else None]
        found.append(f"{d.code} `{piece.strip()}` {d.message} [{d.label}] = {d.help}")
    return found


def written() -> str:
    """The whole file as it should be."""
    blocks = re.split(r"^=== ", CASES.read_text(), flags=re.M)
    answers: dict[str, list[str]] = {}
    for name, text in cases():
        base = re.sub(r" [BP]\d*$", "", name)
        answers.setdefault(base, []).extend(said(text) or ["NOTHING"])
    out = [blocks[0]]
    for block in blocks[1:]:
        name, _, rest = block.partition("\n")
        source = re.split(r"^---$", rest, flags=re.M)[0].rstrip("\n")
        out.append(f"=== {name}\n{source}\n---\n" + "\n".join(answers[name]) + "\n")
    return "".join(out)


def test_every_message_is_as_written_down() -> None:
    text = written()
    if os.environ.get("TRANSECT_GOLDEN") == "update":
        CASES.write_text(text)
    assert CASES.read_text() == text
    assert "NOTHING" not in text


def call_sites() -> set[tuple[str, int]]:
    """File and line of every place in the front end which complains with a message of its own."""
    found = set()
    for path in sorted(FRONTEND.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                if (node.func.attr == "error" and "diagnostics" in owner) or (
                    node.func.attr == "error" and owner == "self"
                ):
                    found.add((_short(path), node.lineno))
    return found


def test_every_place_that_complains_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, int]] = set()
    original = Diagnostics.error

    def spy(self: Diagnostics, *args: Any, **kwargs: Any) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            seen.add((_short(Path(frame.f_code.co_filename)), frame.f_lineno))
            frame = frame.f_back
        original(self, *args, **kwargs)

    monkeypatch.setattr(Diagnostics, "error", spy)
    for _, text in cases():
        said(text)
    missing = sorted(site for site in call_sites() - seen if site[0] != "frontend/source.py")
    assert [_line(site) for site in missing] == []  # the messages of `source.py` are in `test_source.py`


def test_every_code_has_a_title() -> None:
    told = set(re.findall(r"^(P\d+) `", CASES.read_text(), flags=re.M))
    assert len(told) > 40 and told <= titles().keys()


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _line(site: tuple[str, int]) -> str:
    """The message at a call site: the first line that is a text with words."""
    lines = (
        (FRONTEND.parent / site[0] if site[0].startswith("frontend") else FRONTEND / site[0])
        .read_text()
        .splitlines()
    )
    return next(line.strip() for line in lines[site[1] - 1 :] if " is " in line or " `" in line)
