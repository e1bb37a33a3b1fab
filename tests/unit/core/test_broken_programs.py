# SPDX-License-Identifier: Apache-2.0
"""What no compiled program does, because the checker shows it: the interpreter says so, and goes no further."""

from __future__ import annotations

import re

import pytest

from tests.unit.core.running import IMPORTS
from transect.core.frontend import compile_text
from transect.core.interp import Broken, Instance
from transect.core.text import dump, parse

POLICY = """\
class P(Arbiter):
    maybe: int | None = None
    names: Map[int, int] = table(8)
    count: int = 0
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
    def charge(self, client: Client, cost: int) -> None:
        if self.maybe is not None:
            self.count = self.maybe
        for i in range(3):
            self.count += 1
        if len(self.names) > 0:
            self.count = min(self.names)
"""


@pytest.mark.parametrize(
    ("shown", "claimed", "message"),
    [
        ("is_some(.maybe)", "True", "an empty Option is taken for a value"),
        ("range(0, 3, 1, 3)", "range(0, 3, 1, 2)", "3 steps, where 2 were promised"),
        ("(.names.len() > 0)", "True", "`min` of nothing"),
    ],
)
def test_a_promise_that_a_program_breaks_ends_its_call(shown: str, claimed: str, message: str) -> None:
    text = re.sub(r"  ;.*|\nfile .*", "", dump(compile_text(IMPORTS + POLICY).programs[-1]))  # without spans
    assert text.count(shown) == 1
    with pytest.raises(Broken, match=re.escape(message)):
        Instance(parse(text.replace(shown, claimed))).call("charge", (1, 5))
