# SPDX-License-Identifier: Apache-2.0
"""A file that has helpers and no policy is checked like any other."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from transect.core.frontend import compile_file, compile_text

HEAD = """
from transect.lang import as_int, helper, now, struct, text

@struct
class Box:
    content: int = 0

"""


def found(text: str) -> list[tuple[str, int]]:
    """The diagnostics' codes, and their lines after the head."""
    compiled = compile_text(HEAD + dedent(text).lstrip())
    assert compiled.programs == ()
    return [(d.code, d.span.line - HEAD.count("\n")) for d in compiled.diagnostics]


def test_what_is_right_has_no_diagnostics() -> None:
    assert not found("""
        @helper
        def late(box: Box, by: int) -> bool:
            return box.content + by > 3 and as_int(now()) > 0

        @helper
        def both(box: Box) -> int:
            return 1 if late(box, 2) else 0
    """)


@pytest.mark.parametrize(
    ("function", "code", "line"),
    [
        ("def f(x: Nothing) -> int:\n    return 1", "P007", 2),
        ("def f(x: int) -> int:\n    return y", "P007", 3),
        ("def f(x: int) -> str:\n    return x", "P011", 3),
        ("def f(x: int) -> int:\n    return self.x", "P006", 3),
        ("def f(x: int) -> int:\n    return f(x)", "P018", 3),
        ("def f(x: int) -> int:\n    if x > 0:\n        return 1", "P023", 3),
        ("def f(x: int) -> int:\n    return super().f(x)", "P033", 3),
    ],
)
def test_what_is_wrong_is_said(function: str, code: str, line: int) -> None:
    assert found(f"@helper\n{function}\n") == [(code, line)]


def test_each_helper_is_checked_once_in_whatever_order_they_call_each_other() -> None:
    text = """
        @helper
        def first(x: int) -> int:
            return second(x)

        @helper
        def second(x: int) -> int:
            return later
    """
    assert found(text) == [("P007", 7)]


def test_a_mark_that_is_not_imported() -> None:
    (told,) = compile_text("@helper\ndef f(x: int) -> int:\n    return x\n").diagnostics
    assert (told.code, told.help) == ("P033", "import the mark: `from transect.lang import helper`")


def test_a_file_that_cannot_be_read_has_no_helpers(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_bytes(b"x = 1\n\xff\n")
    (tmp_path / "main.py").write_text("from other import f\n")
    told = [(d.code, Path(d.span.path).name) for d in compile_file(tmp_path / "main.py").diagnostics]
    assert ("P002", "other.py") in told
