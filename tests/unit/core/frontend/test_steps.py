# SPDX-License-Identifier: Apache-2.0
"""Where a handler that takes too many steps takes them."""

from __future__ import annotations

from tests.unit.core.running import IMPORTS
from transect.core.bounds import Steps
from transect.core.frontend import compile_text
from transect.core.frontend.steps import longest

POLICY = """\
class P(Arbiter):
    count: int = 0
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
    def charge(self, client: Client, cost: int) -> None:
        self.count = cost
"""


def test_the_place_may_be_one_with_nothing_within() -> None:
    text = IMPORTS + POLICY
    program = compile_text(text).programs[-1]
    handler = program.handler("charge")
    assert handler is not None
    at, _ = longest(handler, Steps(program), limit=-1)
    assert text.splitlines()[at.line - 1][at.column : at.end_column] == "self.count"
