# SPDX-License-Identifier: Apache-2.0
"""What expressions of policies give: numbers, texts, times, options, tuples, structs, sets."""

from __future__ import annotations

import math

import pytest

from tests.unit.core.running import arbiter, compiled, value
from transect.core.interp import Instance
from transect.core.stratum_functions import provided
from transect.core.values import Record, normal
from transect.lang.tape import GivenTape

MIN, MAX, TOP = -(2**63), 2**63 - 1, 2**64 - 1


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("cost + 2 * cost", 15),
        ("(cost - 8) // 2", -2),
        ("(cost - 8) % 2", 1),
        ("cost // (cost - cost)", 0),
        ("cost % (cost - cost)", 5),
        ("cost << 62", 2**62),
        ("cost << 65", 10),
        ("-cost >> 1", -3),
        ("~cost & 12 | 3 ^ 1", 10),
        ("-9223372036854775808 // (cost - 6)", MIN),
        ("abs(cost - 9)", 4),
        ("min(cost, 3, 4)", 3),
        ("max(3, cost)", 5),
        ("cost if cost > 4 else 0", 5),
        ("mul_div(9223372036854775807, cost, 10)", (MAX * 5) // 10),
        ("as_int(2.9)", 2),
        ("as_int(1e300)", MAX),
        ("as_int(18446744073709551615 - as_u64(cost))", -6),
        ("as_int(cost == 5)", 1),
        ("as_int(ms(cost))", 5_000_000),
        ("seconds(cost) // ms(300)", 16),
        ("len('aé€') + len(b'abc')", 9),
    ],
)
def test_integers(expression: str, result: int) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("as_u64(cost) - 6", TOP),
        ("as_u64(-1) >> 63", 1),
        ("18446744073709551615 // as_u64(cost)", TOP // 5),
        ("~as_u64(0)", TOP),
        ("as_u64(-3.0)", 0),
    ],
)
def test_unsigned_integers(expression: str, result: int) -> None:
    assert value(expression, "u64") == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("as_float(cost) / 2.0", 2.5),
        ("1.0 / 0.0", math.inf),
        ("0.0 / 0.0", math.nan),
        ("-0.0", -0.0),
        ("min(0.0 / 0.0, 1.0)", 1.0),
        ("max(0.0, -0.0)", 0.0),
        ("sum(0.1 for i in range(10))", 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1),
        ("1e308 * 10.0", math.inf),
    ],
)
def test_floats(expression: str, result: float) -> None:
    assert normal(value(expression, "float", "0.5")) == normal(result)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 < cost <= 5", True),
        ("1 < cost < 5 or cost == 5 and not cost != 5", True),
        ("cost in (1, 5)", True),
        ("cost not in (1, 4)", True),
        ("True & (cost > 7) | False ^ True", True),
        ("'ab' < 'b' and 'Z' < 'a' and 'é' > 'z'", True),
        ("'b' in 'abc' and 'x' not in 'abc'", True),
        ("'abc'.startswith('ab') and b'abc'.endswith(b'bc')", True),
        ("fits('é', 2) and not fits('é', 1)", True),
        ("(1, 'a') == (1, 'a') and (1, 0.0 / 0.0) != (1, 0.0 / 0.0)", True),
        ("(1, 'a') < (1, 'b')", True),
        ("any(i > 2 for i in range(4)) and not all(i > 2 for i in range(4))", True),
        ("any(True for i in range(0)) or not all(False for i in range(0))", False),
    ],
)
def test_conditions(expression: str, result: bool) -> None:
    assert value(expression, "bool", "False") is result


def test_later_operands_are_not_evaluated_when_the_first_decides() -> None:
    p = arbiter(
        """
        n: int = 0
        def _bump(self, answer: bool) -> bool:
            self.n += 1
            return answer
        """,
        """
        a = self._bump(False) and self._bump(True)
        b = self._bump(True) or self._bump(True)
        c = 3 if self._bump(True) else as_int(self._bump(True))
        d = 1 < self.n < as_int(self._bump(True)) < 0
        """,
    )
    p.call("charge", (1, 5))
    assert p.state["n"] == 4  # one each


def test_evaluation_goes_from_left_to_right() -> None:
    p = arbiter(
        """
        log: int = 0
        cells: Array[int] = array(10)
        def _say(self, digit: int) -> int:
            self.log = self.log * 10 + digit
            return digit
        """,
        """
        x = self._say(1) + self._say(2) * self._say(3)
        self.cells[self._say(5) % 10] = self._say(4)
        self.cells[self._say(6) % 10] += self._say(7)
        """,
    )
    p.call("charge", (1, 5))
    assert p.state["log"] == 1234567  # a plain assignment evaluates its value first, as in Python
    assert p.state["cells"].values()[5:8] == [4, 7, 0]


def test_times() -> None:
    p = arbiter(
        "at: Instant = 0\nage: Duration = ns(0)",
        "self.age = now() - self.at + us(cost) * 2 % ms(1)\nself.at = now() + self.age // 2",
    )
    p.call("charge", (1, 5), tape=GivenTape(now=100))
    assert p.state["age"] == 100 + 10_000 and p.state["at"] == 100 + 10_100 // 2


def test_a_number_beside_a_duration_stays_a_number() -> None:
    assert value("max(3, 4) * us(2)", "Duration", "ns(0)") == 8_000
    assert value("us(8) // max(3, 4)", "Duration", "ns(0)") == 2_000


def test_now_is_one_value_a_call_and_draws_are_numbered() -> None:
    p = arbiter(
        "a: Instant = 0\nb: Instant = 0\nf: float = 0.0\nd: int = 0\ne: int = 0",
        "self.a = now()\nself.f = rand()\nself.d = rand_below(cost)\nself.e = rand_below(0 - cost)\nself.b = now()",
    )
    p.call("charge", (1, 5), tape=GivenTape(now=[7], rand=[0.25, 13, 99]))
    assert [p.state[n] for n in "abfde"] == [7, 7, 0.25, 3, 0]


def test_options() -> None:
    p = arbiter(
        "o: int | None = None\nn: int = 0",
        """
        if self.o is None:
            self.o = cost
        else:
            self.n += self.o
        x: int | None = cost if cost > 3 else None
        if x is not None and x > 4:
            self.n += x * 100
        """,
    )
    p.call("charge", (1, 5))
    assert (p.state["o"], p.state["n"]) == (5, 500)
    p.call("charge", (1, 2))
    assert (p.state["o"], p.state["n"]) == (5, 505)


@pytest.mark.parametrize(("cost", "n"), [(5, 7), (2, 1)])
@pytest.mark.parametrize(
    "charge",
    [
        "x = None\nif cost > 3:\n    x = self.o",
        "x = self.o\nif cost <= 3:\n    x = None",
        "x = None if cost <= 3 else self.o",
        "x = self.o if cost > 3 else None",
    ],
)
def test_none_and_an_option_are_one_type(charge: str, cost: int, n: int) -> None:
    p = arbiter("o: int | None = None\nn: int = 1", f"{charge}\nif x is not None:\n    self.n = x")
    p.state["o"] = 7
    p.call("charge", (1, cost))
    assert p.state["n"] == n


def test_what_an_option_holds_is_updated_in_place() -> None:
    charge = "point = self.kept\nif point is not None:\n    point.x += cost\n    self.kept = point\nelse:\n"
    p = arbiter("kept: Point | None = None", charge + "    self.kept = Point(x=cost)", STRUCTS)
    for cost in (5, 6):
        p.call("charge", (1, cost))
    assert p.state["kept"].x == 11


STRUCTS = """
@struct
class Point:
    x: int
    small: u8 = 3
    name: str = text(2)

@struct
class Line:
    start: Point
    end: Point
"""


def test_structs_are_values() -> None:
    p = arbiter(
        "kept: Point = Point(x=1)\nother: Point = Point(x=0)",
        """
        copy = self.kept
        copy.x += cost
        self.other = copy
        copy.x = 99
        self.kept.small = 300
        self.kept = copy if copy.x < 0 else self.kept
        """,
        before=STRUCTS,
    )
    p.call("charge", (1, 5))
    assert p.state["other"] == Record("Point", {"x": 6, "small": 3, "name": ""})
    assert p.state["kept"] == Record("Point", {"x": 1, "small": 44, "name": ""})


def test_fields_within_fields_are_written_in_place() -> None:
    p = arbiter(
        "line: Line = Line(start=Point(x=1), end=Point(x=2))",
        "self.line.end.x *= cost\nself.line.start.name = 'ab'\nself.line.end.name = 'abc'",
        before=STRUCTS,
    )
    p.call("charge", (1, 5))
    line = p.state["line"]
    assert (line.start.x, line.end.x, line.start.name, line.end.name) == (1, 10, "ab", "")
    assert p.overflows() == {"line": 1}


def test_making_a_struct_cuts_narrow_integers_and_equality_goes_by_fields() -> None:
    p = arbiter(
        "n: int = 0\nsame: bool = False",
        "p = Point(x=cost, small=258)\nself.n = p.small\nself.same = p == Point(cost, small=2)",
        before=STRUCTS,
    )
    p.call("charge", (1, 5))
    assert p.state["n"] == 2 and p.state["same"] is True


def test_tuples_are_taken_apart_and_indexed() -> None:
    p = arbiter(
        "pair: tuple[int, str] = (1, 'a')\nn: int = 0",
        "a, b = self.pair\nself.n = a + len(b) + self.pair[0]\nself.pair = (cost, 'xyz')",
    )
    p.call("charge", (1, 5))
    assert p.state["n"] == 3 and p.state["pair"] == (5, "xyz")


def test_sets_keep_the_order_of_first_insertion() -> None:
    p = arbiter(
        "order: int = 0\nn: int = 0",
        """
        a = {i * 7 % 5 for i in range(6)}
        b = {i for i in range(10) if i % 2 == 0}
        for x in (a | b) - {0 for i in range(1)}:
            self.order = self.order * 10 + x
        self.n = len(a & b) + (100 if 3 in a and 9 not in a else 0)
        """,
    )
    p.call("charge", (1, 5))
    assert p.state["order"] == 241368
    assert p.state["n"] == 103


def test_enums_are_numbers_with_names() -> None:
    p = arbiter(
        "c: Colour = Colour.RED\nn: int = 0",
        "self.c = Colour.BLUE if self.c == Colour.RED else Colour.RED\nself.n = as_int(self.c)",
        before="class Colour(IntEnum):\n    RED = 0\n    BLUE = 7\n",
    )
    p.call("charge", (1, 5))
    assert p.state["c"] == 7 and p.state["n"] == 7


def test_texts_of_traces() -> None:
    p = arbiter("n: int = 0", "trace(f'{cost} {cost > 3} {as_u64(-1)} {\"é\"} {{}}')")
    said: list[str] = []
    p.call("charge", (1, 5), functions={"trace": said.append})
    p.call("charge", (1, 5))  # nobody listens
    assert said == ["5 True 18446744073709551615 é {}"]


def test_helpers_and_constants() -> None:
    assert (
        value(
            "double(BIAS) + self._plus(1)",
            fields="def _plus(self, n: int) -> int:\n    return n + double(n)\n",
            before="BIAS: Final = 20\n\n@helper\ndef double(n: int) -> int:\n    return n * 2\n",
        )
        == 43
    )


def test_a_helper_calls_the_one_that_it_replaces() -> None:
    program = compiled("""
        class A(Element):
            n: int = 3
            def _next(self) -> int:
                return self.n + 1
        class P(A):
            def _next(self) -> int:
                return super()._next() * 2
            def request(self, rpc: Rpc) -> Verdict:
                self.n = self._next()
                return Forward()
    """)
    p = Instance(program)
    p.call("request", (None,))
    assert p.state["n"] == 8


def test_a_hook_need_not_repeat_its_result() -> None:
    text = "class P(Element):\n    def request(self, rpc: Rpc){}:\n        return Forward()\n"
    said, unsaid = (compiled(text.format(returns)) for returns in (" -> Verdict", ""))
    assert [h.returns for h in unsaid.handlers] == [h.returns for h in said.handlers]


def test_functions_of_a_stratum_are_there_without_being_given() -> None:
    program = compiled("""
        from transect.rpc.functions import compress
        class P(Element):
            packed: bytes = blob(64)
            def request(self, rpc: Rpc) -> Verdict:
                self.packed = compress(b"aaaa")
                return Forward()
    """)
    p = Instance(program)
    p.call("request", (None,))
    assert p.state["packed"] == provided("rpc.compress")(b"aaaa") != b""  # type: ignore[misc]
