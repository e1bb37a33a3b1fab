# SPDX-License-Identifier: Apache-2.0
"""How long the schedulers are: lines of the class, without blank ones and its docstring."""

from __future__ import annotations

import ast

import pytest

from transect.base.shipped import path_of

MOST = {"fifo": 10, "weighted_fair": 25, "shinjuku": 25, "locality": 20, "arachne": 40, "by_tenant": 47}


def lines(name: str) -> int:
    text = path_of(name).read_text()
    cls = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)][
        -1
    ]  # forms of hints come before
    docstring = cls.body[0]
    inside = text.splitlines()[cls.lineno - 1 : cls.end_lineno]
    skipped = set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return sum(bool(line.strip()) for n, line in enumerate(inside, cls.lineno) if n not in skipped)


@pytest.mark.parametrize("name", MOST)
def test_a_scheduler_is_short(name: str) -> None:
    assert lines(name) <= MOST[name]
