# SPDX-License-Identifier: Apache-2.0
"""Texts in emitted C are slices: none shows a later store into the state that it was taken from."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from tests.fuzz import native
from tests.fuzz.calls import calls
from tests.fuzz.machines import interpreted
from tests.unit.core.running import compiled

FIELDS = """\
name: str = text(64)
words: Array[str] = array(4)
keys: Map[str, int] = table(8)
values: Map[int, str] = table(8)
def _same(self, word: str) -> str:
    return word
def _last(self) -> str:
    last = ""
    for word in self.words:
        last = word
    return last
def _some(self) -> str:
    for word in self.words:
        if word != "":
            return word
    return "none"
def pick(self) -> Client:
    return min(self.waiting, key=lambda c: 0)
"""
NEXT = '"changed" if cost % 2 == 0 else "else"'
BODIES = {
    "a helper that gives back its argument": ("x = self._same(self.name)", "self.name"),
    "a local set in a loop": ('x = ""\nfor word in self.words:\n    x = word', "self.words[3]"),
    "a loop's target after it": ('x = ""\nfor x in self.words:\n    pass', "self.words[3]"),
    "what a helper's loop found last": ("x = self._last()", "self.words[3]"),
    "what a helper's loop found first": ("x = self._some()", "self.words[3]"),
    "the best value": ("x = max(self.words)", "self.words[2]"),
    "the best value of a table": ('x = min((v for v in self.values.values()), default="")', "self.values[1]"),
    "a pair": ('x, y = (self.name, "a")', "self.name"),
}
STORES = {
    "the best key": 'x = max(self.keys, key=lambda k: self.keys.get(k, 0), default="")\ndel self.keys[x]\n'
    'self.keys["abc" if cost % 3 == 0 else "de"] = cost',
    "a set": 'found = {w for w in self.words}\nx = ""\nfor w in found:\n'
    f'    self.words[cost % 4] = {NEXT}\n    trace(f"{{w}}")',
    "a set of keys": 'found = {k for k in self.keys}\nx = ""\nself.keys["abc" if cost % 3 == 0 else "de"] = cost\n'
    'for k in found:\n    del self.keys[k]\n    self.keys["fgh"] = cost\n    trace(f"{k}")',
}


@pytest.mark.needs("gcc")
def test_no_text_changes_after_it_was_read() -> None:
    bodies = {name: f"{read}\n{place} = {NEXT}" for name, (read, place) in BODIES.items()} | STORES
    work = []
    for body in bodies.values():
        charge = indent(f'{body}\ntrace(f"{{x}}")', "    ")
        lines = f"{FIELDS}def charge(self, client: Client, cost: int) -> None:\n{charge}"
        program = compiled(f"class P(Arbiter):\n{indent(dedent(lines), '    ')}\n")
        work.append((program, calls(program, 1, 40)))
    for name, one, seen in zip(bodies, work, native.in_c(work), strict=True):
        assert seen == interpreted(*one), name
