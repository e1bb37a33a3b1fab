# SPDX-License-Identifier: Apache-2.0
"""One mistake, one message: wherever an unknown name stands, it is all that is complained of.

What contains it has no type then; whoever meets that says nothing more, and goes on with the rest of the handler.
"""

from __future__ import annotations

from textwrap import indent

import pytest

from tests.unit.core.running import IMPORTS
from transect.core.frontend import compile_text

BEFORE = """\
@struct
class Box:
    content: int = 0
@helper
def twice(x: int) -> int:
    return x * 2
class P(Arbiter):
    slots: Array[int] = array(8)
    boxes: Map[int, Box] = table(8)
    names: Map[int, int] = table(8)
    sorted: Ordered[int, int] = ordered(8)
    recent: Map[int, int] = lru(8)
    served: Tally[Client, int] = tally(8)
    maybe: int | None = None
    pair: tuple[int, bool] = (1, True)
    box: Box = Box()
    word: str = ""
    count: int = 0
    hits: Counter = counter()
    sizes: Histogram = histogram()
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
    def _own(self, x: int) -> int:
        return x
    def charge(self, client: Client, cost: int) -> None:
"""

STATEMENTS = """\
x: missing = 3
x: int = missing
x = missing
a, b = missing
x = missing + 1
x = 1 + missing
x = -missing
x = not missing
x = ~missing
x = missing and cost > 3
x = cost > 3 and missing
x = missing < 3
x = 1 < missing < 3
x = 1 < cost < missing
x = missing is None
x = missing is not None
x = missing if cost > 3 else 4
x = 4 if cost > 3 else missing
x = 4 if missing else 3
x = missing in (1, 2)
x = cost in (1, missing)
x = missing in self.names
x = 3 in self.missing
x = 3 in missing
x = missing in self.word
x = missing in {c for c in self.waiting}
x = (missing, 3)
x = {missing for c in self.waiting}
x = {c for c in missing}
x = {c for c in self.waiting if missing}
x = set(missing)
x = Box(missing)
x = Box(content=missing)
x = missing.content
x = missing[0]
x = self.slots[missing]
x = self.missing[0]
x = self.missing
trace(f"{missing}")
x = twice(missing)
x = self._own(missing)
x = missing(3)
x = self._missing(3)
x = abs(missing)
x = len(missing)
x = len(self.missing)
x = min(missing, cost)
x = min(cost, missing)
x = min(3, missing)
x = mul_div(missing, 2, 3)
x = mul_div(2, 3, missing)
x = fits(missing)
x = ms(missing)
x = as_int(missing)
x = as_u64(missing)
x = rand_below(missing)
x = sum(missing for c in self.waiting)
x = sum(1 for c in missing)
x = sum(1 for c in self.waiting if missing)
x = any(missing for c in self.waiting)
x = min(self.waiting, key=lambda c: missing)
x = min(self.waiting, key=lambda c: 0, default=missing)
x = max((cost for c in self.waiting), default=missing)
x = self.names[missing]
x = self.names.get(missing)
x = self.names.get(3, missing)
x = self.names.put(missing, 3)
x = self.names.put(3, missing)
x = self.names.missing()
x = self.missing.get(3)
x = self.word.startswith(missing)
x = self.missing.overflow
self.names[missing] = 3
self.names[3] = missing
if 3 in self.names: self.names[3] += missing
self.boxes[3] = missing
self.missing[3] = 3
self.missing = 3
self.missing += 3
self.count = missing
self.count += missing
self.slots[missing] = 3
self.slots[missing] += 3
self.slots[0] += missing
self.box.content = missing
self.box.missing = 3
self.hits.add(missing)
self.sizes.observe(missing)
self.missing.add(3)
missing.content = 3
del self.names[missing]
del self.missing[3]
drop(missing)
trace(missing)
return missing
if missing: x = 3
for i in range(missing): pass
for i in range(3, missing): pass
for c in missing: pass
for c in self.missing: pass
for i, x in enumerate(self.missing): pass
for k, v in self.missing.items(): pass
for k in self.missing.keys(): pass
for k, v in missing.items(): pass
"""


def said(statement: str) -> list[str]:
    text = IMPORTS + BEFORE + indent(statement, "        ") + "\n"
    return [d.message for d in compile_text(text).diagnostics]


@pytest.mark.parametrize("statement", STATEMENTS.splitlines())
def test_an_unknown_name_is_all_that_is_complained_of(statement: str) -> None:
    messages = said(statement)
    assert len(messages) == 1, messages
    assert "missing" in messages[0]


@pytest.mark.parametrize(
    "statement", ["x = missing\ny = lacking", "self.count = missing\nself.count = lacking"]
)
def test_what_follows_is_still_looked_at(statement: str) -> None:
    first, second = said(statement)
    assert "missing" in first and "lacking" in second
