# SPDX-License-Identifier: Apache-2.0
"""Probes in C are loaded only from where nobody else can have put them; what is in the way is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.memory.native.build import loaded

SOURCE = {
    "answer.c": b'#include "answer.h"\nint answer(void) { return ANSWER; }\n',
    "answer.h": b"#define ANSWER 42\n",
}

pytestmark = pytest.mark.needs("gcc")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_it_is_compiled_once_and_what_is_damaged_anew(folder: Path) -> None:
    assert loaded("it", SOURCE, "answer").answer() == 42
    (made,) = (folder / "transect" / "probes").glob("answer_*.so")
    before = made.stat().st_mtime_ns
    assert loaded("it", SOURCE, "answer").answer() == 42 and made.stat().st_mtime_ns == before
    whole = made.read_bytes()
    made.unlink()  # it is loaded here, and stays as it is
    made.write_bytes(whole[:1000])
    assert loaded("it", SOURCE, "answer").answer() == 42
    assert len(made.read_bytes()) > 1000


def test_where_others_may_write_nothing_is_loaded(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(Unavailable, match=r"others may write there \(mode 777\)"):
        loaded("it", SOURCE, "answer")


def test_what_the_compiler_says_is_told(folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"^it: answer\.c: In function .answer.:\nanswer\.c:1:27: error"):
        loaded("it", {"answer.c": b"int answer(void) { return nothing; }\n"}, "answer")
