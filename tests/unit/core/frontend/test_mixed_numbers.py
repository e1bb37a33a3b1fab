# SPDX-License-Identifier: Apache-2.0
"""Where kinds of numbers are mixed, the help is code: written in the place of what it speaks of, it is taken."""

from __future__ import annotations

import re
from itertools import product

import pytest

from transect.core.frontend import compile_text

POLICY = """
from transect.lang import Duration, Instant, as_float, as_int, as_u64, ms, ns, u64
from transect.rpc import Code, Element, Forward, Rpc, Verdict

class P(Element):
    n: int = 3
    u: u64 = 3
    f: float = 1.5
    d: Duration = ms(3)
    i: Instant = 0
    c: Code = Code.OK
    r: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        {}
        return Forward()
"""
KINDS = {f"self.{name}" for name in "nufdic"}
COMPARISONS = ("<", ">=", "==", "!=")
# A divisor has to be tested, so that `/`, `//` and `%` have their test before them.
FORMS = {
    **{op: f"x = {{a}} {op} {{b}}" for op in ("+", "-", "*", "&", "<<")},
    **{
        op: f"if self.n > 0 and self.u > 0 and self.f > 0 and self.d > 0:\n            x = {{a}} {op} {{b}}"
        for op in ("/", "//", "%")
    },
    **{op: f"x = {{a}} {op} {{b}}" for op in COMPARISONS},
    "min": "x = min({a}, {b})",
    "in brackets": "x = ({a} - {a}) * ({b} - {b})",
}
DIVISIONS = {"P026", "P027"}  # a converted divisor has to be tested as it is


def found(line: str) -> list[tuple[str, str]]:
    return [(d.code, d.help) for d in compile_text(POLICY.format(line)).diagnostics]


@pytest.mark.parametrize("form", FORMS)
def test_the_help_is_taken_where_it_is_written(form: str) -> None:
    followed = 0
    for a, b in product(sorted(KINDS), repeat=2):
        line = FORMS[form].format(a=a, b=b)
        said = [(code, help) for code, help in found(line) if code == "P038"]
        for _, help in said:
            (written,) = re.findall(r"write `([^`]*)`", help)
            head, sign, _ = line.partition("x = ")
            left = {code for code, _ in found(f"{head}{sign}{written}")} - DIVISIONS
            assert not left, f"{line}: {help}: {left}"
            followed += 1
    assert followed >= (10 if form != "in brackets" else 0)


@pytest.mark.parametrize(
    ("line", "help"),
    [
        ("x = self.d + self.n", "write `self.d + ns(self.n)`"),
        ("x = self.n + self.f", "write `as_float(self.n) + self.f`"),
        ("x = (self.n + 1) * self.f", "write `as_float(self.n + 1) * self.f`"),
        ("x = self.n < self.u", "write `self.n < as_int(self.u)`"),
        ("x = self.c < Code.ABORTED", "write `as_int(self.c) < as_int(Code.ABORTED)`"),
        ("x = self.i > self.n", "write `as_int(self.i) > self.n`"),
        ("x = max(self.n, self.f)", "write `max(as_float(self.n), self.f)`"),
        ("self.n += self.f", "write `self.n += as_int(self.f)`"),
        ("self.d += self.n", "write `self.d += ns(self.n)`"),
        ("self.i += self.n", "write `self.i += ns(self.n)`"),
        ("self.f += self.n", "write `self.f += as_float(self.n)`"),
    ],
)
def test_the_least_conversion_is_written_out(line: str, help: str) -> None:
    ((_, said),) = found(line)
    assert said.startswith(help)
    assert found(re.findall(r"`([^`]*)`", help)[0].join(["x = " if line.startswith("x =") else "", ""])) == []


def test_a_unit_is_for_who_writes_to_choose() -> None:
    ((code, help),) = found("x = self.d + self.n")
    assert code == "P038" and help == "write `self.d + ns(self.n)`, or `us`, `ms` or `seconds` for `ns`"


def test_three_values_and_a_chain_are_told_what_converts() -> None:
    assert found("x = min(self.n, self.n, self.f)") == [("P038", "convert one side by `as_float(…)`")]
    assert found("x = 0 < self.n < self.u") == [("P038", "convert one side by `as_int(…)`")]
