# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import textwrap

import pytest

from tests.unit.core.sink import sink
from tests.unit.core.test_effects import HEAD, compiled, element
from transect.core import types as t
from transect.core.bound import Bound
from transect.core.bounds import STEPS_LIMIT, bounds, size, worst_steps
from transect.core.frontend import compile_text
from transect.core.interp import Instance, Run
from transect.core.values import Record


def steps(fields: str, body: str, helpers: str = "") -> str:
    return str(bounds(element(fields, body + "\nreturn Forward()", helpers))["request"].steps)


BASE = 5  # `return Forward()`: Return, Cast, MakeStruct, two constants


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("self.n = 1", f"{BASE + 3}"),
        ("if self.n > 3:\n    self.n = 1\nelse:\n    self.n += self.n", f"{BASE + 7}"),
        ("for i in range(8):\n    self.a[i] += 1", f"{BASE + 4 + 8 * 5}"),
        (
            "for i in range(8):\n    for j in range(3):\n        self.n += j",
            f"{BASE + 4 + 8 * (1 + 4 + 3 * 4)}",
        ),
        ("for k in self.words:\n    self.n += 1", f"{BASE + 2 + 16 * 4}"),
        ("for p in rpc.msg.parts:\n    self.n += 1", f"{BASE + 5} + 4 per element of rpc.msg.parts"),
        (
            "for p in rpc.msg.parts:\n    for q in rpc.msg.parts:\n        self.n += 1",
            f"{BASE + 5} + 6 per element of rpc.msg.parts + 4 per element of rpc.msg.parts × rpc.msg.parts",
        ),
        ("self.n = sum(1 for p in rpc.msg.parts)", f"{BASE + 7} + 1 per element of rpc.msg.parts"),
        (
            "seen = {p.size for p in rpc.msg.parts}\nfor s in seen:\n    self.n += 1",
            f"{BASE + 5 + 4} + 7 per element of rpc.msg.parts",
        ),
        (
            "a = {p.size for p in rpc.msg.parts}\nb = {1 for i in range(3)}\nfor s in a | b:\n    self.n += 1",
            f"{BASE + 6 + 8 + 5 + 3 * 5} + 8 per element of rpc.msg.parts",
        ),
        (
            "a = {p.size for p in rpc.msg.parts}\nb = {1 for i in range(3)}\nfor s in a & b:\n    self.n += 1",
            f"{BASE + 6 + 8 + 5} + 8 per element of rpc.msg.parts",
        ),
        (
            "a = {p.size for p in rpc.msg.parts}\na = a | a\nfor s in a:\n    self.n += 1",
            f"{BASE + 5 + 4 + 4} + 15 per element of rpc.msg.parts",
        ),
        ("x = self._twice(3)", f"{BASE + 3 + 4}"),
    ],
)
def test_steps(body: str, wanted: str) -> None:
    fields = "n: int = 0\na: Array[int] = array(8)\nwords: Map[str, int] = table(16)"
    assert steps(fields, body, "def _twice(self, x: int) -> int:\n    return x * 2") == wanted


def test_no_run_takes_more_steps_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    program = element(
        "n: int = 0\nt: Tally[int, int] = tally(5)",
        """
        for i in range(20):
            self.t[i % 7] += i
        for k, v in self.t.items():
            if v > 3 and k != 2:
                self.n += self._sum(v)
        return Reject(Code.ABORTED, f"{self.n}") if self.n > 9 else Forward()
        """,
        "def _sum(self, x: int) -> int:\n    return sum(i * x for i in range(4))",
    )
    taken = 0
    evaluate, execute = Run.evaluate, Run.execute

    def counting(original: object) -> object:
        def counted(self: Run, node: object, frame: object) -> object:
            nonlocal taken
            taken += 1
            return original(self, node, frame)  # type: ignore[operator]

        return counted

    monkeypatch.setattr(Run, "evaluate", counting(evaluate))
    monkeypatch.setattr(Run, "execute", counting(execute))
    verdict = Instance(program).call("request", [None])
    known = bounds(program)["request"].steps.known
    assert isinstance(verdict, Record) and known is not None
    assert known / 2 < taken <= known


def test_the_tape_holds_one_time_and_every_draw_and_answer() -> None:
    program = element(
        "n: int = 0",
        """
        if now() > now():
            self.n = rand_below(3)
        for i in range(4):
            self.n += rand_below(3) + rand_below(2)
        for p in rpc.msg.parts:
            token = rpc.headers.get("x")
        return Forward()
        """,
    )
    assert str(bounds(program)["request"].tape) == "10 + 1 per element of rpc.msg.parts"
    assert bounds(program)["finish"].tape.known == 0


def test_stack_and_what_outside_data_decides() -> None:
    found = bounds(sink())
    assert found["request"].open_sets == ("s",)
    assert found["finish"].stack == 8 + (8 + 8) + 8  # rpc, p: (int, float), q
    assert found["request"].steps.data == ("rpc.msg.labels", "rpc.msg.tags", "waiting")
    assert found["request"].steps.known is None


def test_a_set_that_grows_from_round_to_round_has_no_bound() -> None:
    program = element(
        "n: int = 0\nt: Map[int, int] = table(4)",
        """
        s = {k for k in self.t}
        for i in range(9):
            s = s | {k + i for k in self.t}
        self.n = len(s)
        return Forward()
        """,
    )
    assert bounds(program)["request"].open_sets == ("s",)
    instance = Instance(program)
    instance.state["t"].put(1, 1)
    instance.call("request", [None])
    assert instance.state["n"] == 9


def test_answers_of_a_stratum_are_outside_data() -> None:
    program = compiled("""
        from transect.memory import Probe, linux
        class P(Probe):
            n: int = 0
            def scan(self) -> None:
                for task in linux.tasks():
                    self.n += 1
    """)
    assert str(bounds(program)["scan"].steps) == "3 + 4 per element of memory.tasks"


def test_waiting_is_outside_data() -> None:
    assert bounds(sink())["request"].steps.terms[("waiting", "waiting")] > 0


def test_arithmetic_of_bounds() -> None:
    x, two = Bound.elements("x"), Bound.of(2)
    assert str(Bound()) == "0" and Bound().known == 0
    assert str((x + two) * (x + two)) == "4 + 4 per element of x + 1 per element of x × x"
    assert str((x + two) | Bound.of(5)) == "5 + 1 per element of x"


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (t.INT, 8),
        (t.BOOL, 1),
        (t.UNIT, 0),
        (t.TEXT, 16),
        (t.OptionType(t.INT), 16),
        (t.TupleType((t.INT, t.TEXT)), 24),
        (t.UnionType("U", (t.StructType("S", (t.StructField("a", t.INT),)), t.StructType("T", ()))), 16),
        (t.SetType(t.INT, 4), 40),
        (t.SetType(t.INT), None),
        (t.TupleType((t.SetType(t.INT), t.INT)), None),
    ],
)
def test_bytes_of_a_local(of: t.Type, wanted: int | None) -> None:
    assert size(of) == wanted


def test_the_worst_case_is_a_number_whatever_comes_from_outside() -> None:
    program = element("n: int = 0", "for p in rpc.msg.parts:\n    self.n += 1\nreturn Forward()")
    assert worst_steps(program)["request"] == BASE + 5 + 4
    assert worst_steps(sink())["request"] > 0


def doubling(helpers: int) -> str:
    """Each helper calls the next one twice."""
    return "\n".join(
        f"def _h{i}(self) -> int:\n    return "
        + (f"self._h{i + 1}() + self._h{i + 1}()" if i < helpers else "1")
        for i in range(helpers + 1)
    )


def test_helpers_that_call_the_next_twice_add_up() -> None:
    program = element("n: int = 0", "self.n = self._h0()\nreturn Forward()", doubling(20))
    assert worst_steps(program)["request"] == BASE + 3 + 6 * 2**20 - 4


def test_a_call_may_take_as_many_steps_as_the_limit_and_no_more() -> None:
    def said(rounds: int) -> list[str]:
        body = f"for i in range(1000):\n    for j in range({rounds}):\n        self.n += j\nreturn Forward()"
        text = textwrap.indent(textwrap.dedent(body), " " * 8)
        head = "class P(Element):\n    n: int = 0\n    def request(self, rpc: Rpc) -> Verdict:\n"
        return [d.code for d in compile_text(HEAD + head + text).diagnostics]

    most = ((STEPS_LIMIT - BASE - 4) // 1000 - 5) // 4
    assert said(most) == []
    assert said(most + 1) == ["P051"]


def test_what_migrate_goes_over_comes_from_outside() -> None:
    program = compiled("""
        from transect.lang import OldState
        class V1(OldState):
            seen: Tally[str, int]
        class P(Element):
            n: int = 0
            def migrate(self, old: V1) -> None:
                for key in old.seen:
                    self.n += 1
            def request(self, rpc: Rpc) -> Verdict:
                return Forward()
    """)
    assert worst_steps(program)["migrate"] == 2 + 4
    assert str(bounds(program)["migrate"].steps) == "2 + 4 per element of old.seen"
