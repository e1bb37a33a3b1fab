# SPDX-License-Identifier: Apache-2.0
"""Whatever the bytes are, the answer is a tree or a diagnostic."""

from __future__ import annotations

import hashlib
import sysconfig
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.base.shipped import paths
from transect.core.frontend import compile_file, compile_text, hashing, source

EXAMPLES = paths()


def codes(text: str) -> list[str]:
    return [d.code for d in compile_text(text).diagnostics]


BOMBS = {
    "unary minuses": ("x = " + "-" * 100_000 + "1", "P003"),
    "a long sum": ("x = " + "+".join(["1"] * 20_000), "P003"),
    "a NUL byte": ("a\0b", "P001"),
    "parentheses": ("(" * 5000 + ")" * 5000, "P001"),
    "lists in lists": ("x=" + "[" * 150 + "]" * 150, "P003"),
    "a huge literal": ("x=" + "9" * 100_000, "P001"),
    "ifs in ifs": ("".join(" " * i + "if x:\n" for i in range(99)) + " " * 99 + "pass", "P003"),
    "attributes": ("x" + ".a" * 50_000, "P003"),
    "nots": ("not " * 50_000 + "1", "P003"),
    "a large file": ("#" * (1 << 20) + "#", "P003"),
    "an `if` with many arms": ("if x: pass\n" + "elif x: pass\n" * 80, "P003"),
    "a hexadecimal of 5,000 digits": ("x = 0x" + "f" * 5000, "P039"),
    "an import of a name of 300 letters": (f"from {'a' * 300} import b", "P004"),
    "an import from here of a name of 300 letters": (f"from . import {'a' * 300}", "P004"),
    "an import from transect of a name of 300 letters": (f"from transect.{'a' * 300} import b", "P004"),
    "a lone surrogate": ('x = "\\ud800"', "P047"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_a_diagnostic(name: str) -> None:
    text, code = BOMBS[name]
    assert codes(text) == [code]


@pytest.mark.parametrize(
    "error", [ValueError("source code string cannot contain null bytes"), OverflowError("large")]
)
def test_what_other_versions_of_python_say(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: str, path: str) -> NoReturn:
        raise error

    monkeypatch.setattr("transect.core.frontend.source.ast.parse", refuse)
    (found,) = compile_text("x = 1").diagnostics
    assert (found.code, found.message) == ("P001", f"not Python: {error}")


def test_digests_are_the_same_where_python_has_no_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = hashing.sha256_of(b"policy")
    monkeypatch.setattr(hashing, "import_module", lambda name: object())
    assert hashing.sha256_of(b"policy") == own == hashlib.sha256(b"policy").hexdigest()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (found,) = compile_file(tmp_path / "acl.py").diagnostics
    assert found.code == "P002" and "No such file" in found.message
    assert found.help == "give the path of a Python file"


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "acl.py"
    path.write_bytes(b"x = 1\n\xff\n")
    (found,) = compile_file(path).diagnostics
    assert (found.code, found.span.line, found.help) == ("P002", 2, "save it as UTF-8")


def test_columns_count_characters() -> None:
    (found,) = [d for d in compile_text('é = "ü"; import os').diagnostics if d.code == "P004"]
    assert (found.span.column, found.span.end_column) == (9, 18)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_python_counts_them(end: str) -> None:
    """A form feed or a Unicode line separator within a text ends no line; columns stay those of the right one."""
    text = end.join(['WORDS: Final = "größe \u2028 \x0c \x85"', "class é(Nothing):", "    pass"])
    found = [(d.code, d.span.line, d.span.column) for d in compile_text(text).diagnostics]
    assert ("P007", 1, 7) in found
    assert ("P007", 2, 8) in found


def test_a_file_of_more_than_a_megabyte_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "large.py").write_bytes(b"#" * (source.MAX_BYTES + 1))
    assert [d.code for d in compile_file(tmp_path / "large.py").diagnostics] == ["P003"]


def test_the_whole_standard_library_ends_in_diagnostics() -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [f for f in root.rglob("*.py") if "site-packages" not in f.parts]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        told = list(pool.map(_told, [files[i::8] for i in range(8)]))
    assert len(files) > 500 and sum(found for found, _ in told) > 5_000
    assert sum(seconds for _, seconds in told) < 60


def _told(files: list[Path]) -> tuple[int, float]:
    """How many diagnostics, and the seconds that the compiler took, whoever else is on the machine."""
    start = time.process_time()
    return sum(len(compile_file(f).diagnostics) for f in files), time.process_time() - start


@settings(max_examples=300)
@given(st.sampled_from(EXAMPLES), st.data())
def test_a_mutated_policy_ends_in_diagnostics_or_success(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        other = data.draw(st.sampled_from(EXAMPLES)).read_text()
        start = data.draw(st.integers(0, len(other)))
        piece = data.draw(
            st.sampled_from(["", "self.", "None", "[", ")", " in ", "-", ".get", "0", ":", "\n", "if "])
        )
        text = text[:at] + piece + other[start : start + length] + text[at + length :]
    compiled = compile_text(text, str(path))
    assert compiled.programs or len(compiled.diagnostics) or "Element" not in text


POLICY = """
from typing import Final, TypeAlias
from transect.lang import helper
from transect.rpc import Element, Forward, Rpc, Verdict
{before}
class P(Element):
    n: int = 0
    def request(self, rpc: Rpc) -> Verdict:
        {body}
        return Forward()
"""


def policy(body: str, before: str = "") -> str:
    return POLICY.format(before=before, body=body)


LONG = {
    "a condition of 3,000 terms": (policy("if " + " and ".join(["self.n > 1"] * 3000) + ": self.n = 1"), []),
    "one of 3,000 numbers": (policy(f"if self.n in {set(range(3000))}: self.n = 1"), []),
    "a chain of comparisons": (policy("if " + " < ".join(["self.n"] * 40) + ": self.n = 1"), ["P003"]),
    "a type that is made of itself": (
        policy("x: X = 1", "X: TypeAlias = Y\nY: TypeAlias = X\n"),
        ["P018", "P018"],
    ),
    "a break outside of loops": (policy("break"), ["P001"]),
    "a name that a pattern binds twice": (
        policy("match (1, 2):\n            case (x, x):\n                pass"),
        ["P001"],
    ),
    "a constant that is itself": (policy("self.n = A", "A: Final = B\nB: Final = A\n"), ["P028", "P028"]),
    "helpers in a long chain": (
        policy(
            "self.n = h0()",
            "".join(f"@helper\ndef h{i}() -> int:\n    return h{i + 1}()\n" for i in range(900))
            + "@helper\ndef h900() -> int:\n    return 1\n",
        ),
        ["P003"],
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_what_is_long_is_taken_or_refused_in_words(name: str) -> None:
    text, wanted = LONG[name]
    assert codes(text) == wanted


def test_what_is_too_deep_for_pythons_compiler_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def shallow(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(source, "compile", shallow, raising=False)
    assert codes(policy("pass")) == ["P003"]


def test_a_file_that_is_too_large_is_so_wherever_it_would_be_cut(tmp_path: Path) -> None:
    """The bytes that are read of it may end within a character."""
    for before in range(3):
        (tmp_path / "large.py").write_bytes(b"#" * before + "€".encode() * (2 * source.MAX_BYTES))
        (said,) = compile_file(tmp_path / "large.py").diagnostics
        assert (said.code, said.message) == ("P003", "the file is too large")
