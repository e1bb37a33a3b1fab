# SPDX-License-Identifier: Apache-2.0
"""The flat form: what becomes a Let, in which order, and that nothing means anything else."""

from __future__ import annotations

import textwrap
import zlib
from dataclasses import replace

import pytest

from tests.fuzz.calls import Facts as Outside
from tests.fuzz.calls import calls
from tests.fuzz.choices import Choices
from tests.fuzz.generator import program as random_program
from tests.unit.core.sink import EXAMPLES, changed, sink
from transect.base.span import NOWHERE
from transect.core import ir
from transect.core.effects import Facts
from transect.core.frontend import compile_file, compile_text
from transect.core.interp import Instance
from transect.core.ir import Program, Stage
from transect.core.passes.flatten import flatten
from transect.core.text import dump
from transect.core.types import UNIT
from transect.core.values import normal
from transect.core.verify import verify
from transect.core.walk import walk

HEAD = """
from transect.lang import Map, Ordered, Tally, as_float, as_int, lru, ordered, rand_below, table, tally, trace
from transect.shapes import Arbiter, Client


class P(Arbiter):
    level: int = 0
    seen: Map[int, int] = table(4)
    queue: Ordered[int, int] = ordered(4)
    recent: Map[int, int] = lru(2)
    served: Tally[Client, int] = tally(8)

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def _bump(self, by: int) -> int:
        self.level += by
        return self.level

"""


def policy(body: str) -> Program:
    """A policy whose `charge` has that body."""
    method = "    def charge(self, client: Client, cost: int) -> None:\n" + textwrap.indent(
        textwrap.dedent(body).strip(), "        "
    )
    compiled = compile_text(HEAD + method + "\n")
    assert compiled.programs, [f"{d.code} {d.message}" for d in compiled.diagnostics]
    return compiled.programs[0]


def body(program: Program, handler: str = "charge") -> str:
    """A handler's statements in text form, without spans."""
    lines = dump(program).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"handler {handler}("))
    inside = []
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        if not line.startswith(("  locals", "  doc")):
            inside.append(line.split("  ;")[0][2:])
    return "\n".join(inside).strip()


def check(source: str, wanted: str, *, loops: bool = False) -> None:
    assert body(flatten(policy(source), loops=loops)) == textwrap.dedent(wanted).strip()


def test_an_effect_becomes_one_let() -> None:
    check(
        "self.level = self._bump(cost) + 1",
        """
        let t1 = @_bump(cost)
        store .level = (t1 + 1)
        """,
    )


def test_an_effect_that_is_the_whole_value_of_a_let_stays_where_it_is() -> None:
    check(
        """
        x = self._bump(cost)
        self.level = x
        """,
        """
        let x = @_bump(cost)
        store .level = x
        """,
    )


def test_an_operand_is_read_before_a_later_one_changes_it() -> None:
    check(
        "self.seen[1] = self.level - self._bump(cost)",
        """
        let t2 = .level
        let t1 = @_bump(cost)
        store .seen[1] = (t2 - t1)
        """,
    )


def test_an_operand_that_nothing_changes_stays_in_place() -> None:
    check(
        "self.level = self.seen.get(1, 0) - self._bump(cost)",
        """
        let t1 = @_bump(cost)
        store .level = (.seen.get_or(1, 0) - t1)
        """,
    )


def test_a_value_comes_before_its_place_and_what_was_there_before_what_is_added() -> None:
    check(
        """
        self.seen[self._bump(1)] = self._bump(2)
        self.served[client] += self._bump(3)
        del self.seen[self._bump(4)]
        """,
        """
        let t1 = @_bump(2)
        let t2 = @_bump(1)
        store .seen[t2] = t1
        let before = .served.total(client)
        let t3 = @_bump(3)
        store .served[client] = (before + t3)
        let t4 = @_bump(4)
        remove .seen[t4]
        """,
    )


def test_short_circuits_over_effects_become_if() -> None:
    check(
        """
        if cost > 0 and self._bump(cost) > 3 or self._bump(1) > 2:
            self.level = 0
        """,
        """
        let t2 = (cost > 0)
        if t2:
          let t1 = @_bump(cost)
          let t2 = (t1 > 3)
        let t4 = t2
        if (not t4):
          let t3 = @_bump(1)
          let t4 = (t3 > 2)
        if t4:
          store .level = 0
        """,
    )


def test_short_circuits_without_effects_stay() -> None:
    check(
        """
        if cost > 0 and self.level > 3:
            self.level = 1 if cost > 5 else 2
        """,
        """
        if ((cost > 0) and (.level > 3)):
          store .level = (1 if (cost > 5) else 2)
        """,
    )


def test_a_conditional_expression_evaluates_one_side() -> None:
    check(
        "self.level = self._bump(1) if cost > 0 else self._bump(2)",
        """
        if (cost > 0):
          let t1 = @_bump(1)
          let t3 = t1
        else:
          let t2 = @_bump(2)
          let t3 = t2
        store .level = t3
        """,
    )


def test_a_chained_comparison_names_its_middle_once() -> None:
    source = """
        if 0 < self._bump(cost) < 9:
            self.level = 0
        if 0 < self.level < 9:
            self.level = 1
        """
    check(
        source,
        """
        let middle = @_bump(cost)
        if ((0 < middle) and (middle < 9)):
          store .level = 0
        if (with middle_2 = .level in ((0 < middle_2) and (middle_2 < 9))):
          store .level = 1
        """,
    )


def test_a_name_within_an_expression_may_be_hoisted_too() -> None:
    program = policy("if 0 < self.level < 9:\n    self.level = 1")
    facts = Facts(program)
    flat = flatten(program, lambda e: isinstance(e, ir.LetIn) or facts.effectful(e))
    assert body(flat).splitlines()[0] == "let middle = .level"


def test_a_reduction_with_effects_becomes_a_loop() -> None:
    check(
        """
        if any(self._bump(k) > 3 for k in self.seen if k > 1):
            self.level = 0
        self.level = max((self._bump(k) for k in self.seen), default=self.level)
        """,
        """
        let t2 = False
        for k in keys@.seen:
          if (k > 1):
            let t1 = @_bump(k)
            if (t1 > 3):
              let t2 = True
              break
        if t2:
          store .level = 0
        let t4 = .level
        let t5 = None::int?
        for k_2 in keys@.seen:
          let t3 = @_bump(k_2)
          let t6 = t3
          if ((not is_some(t5)) or (t6 > unwrap(t5))):
            let t5 = some(t6)
        store .level = (unwrap(t5) if is_some(t5) else t4)
        """,
    )


def test_a_set_with_effects_grows_member_by_member() -> None:
    check(
        "s = {self._bump(k) for k in self.seen}\nif 3 in s:\n    self.level = 3",
        """
        let t2 = set{t3 for t4 in range(0, 0, 1, 0)}
        for k in keys@.seen:
          let t1 = @_bump(k)
          let t3 = t1
          let t2 = (t2 | set{t3 for t4 in range(0, 1, 1, 1)})
        let s = t2
        if (3 in s):
          store .level = 3
        """,
    )


def test_a_pure_reduction_stays_one_unless_loops_are_wanted() -> None:
    source = "self.level = sum(v for v in self.seen.values())"
    check(source, "store .level = sum{v for v in values@.seen}")
    check(
        source,
        """
        let t1 = 0
        for v in values@.seen:
          let t1 = (t1 + v)
        store .level = t1
        """,
        loops=True,
    )


def test_new_names_are_new() -> None:
    check(
        "t1 = cost\nself.level = as_int(sum(as_float(v) for v in self.seen.values())) + t1",
        """
        let t1 = cost
        let t2 = 0.0
        for v in values@.seen:
          let t2 = (t2 + cast(v)::float)
        store .level = (cast(t2)::int + t1)
        """,
        loops=True,
    )


def test_the_return_of_a_helper_that_gives_nothing_is_a_statement() -> None:
    program = changed("do %rand()", "return @_none()::None")
    program = replace(program, functions=(*program.functions, nothing()))
    assert body(flatten(program), "finish").splitlines()[-2:] == ["do @_none()", "return"]


def nothing() -> ir.Function:
    return ir.Function("_none", (), UNIT, (), (), span=NOWHERE)


def test_all_stops_at_the_first_that_fails() -> None:
    check(
        "if all(v > 0 for v in self.seen.values()):\n    self.level = 1",
        """
        let t1 = True
        for v in values@.seen:
          if (not (v > 0)):
            let t1 = False
            break
        if t1:
          store .level = 1
        """,
        loops=True,
    )


def test_nan_never_wins_in_a_loop() -> None:
    check(
        "self.level = as_int(min((as_float(v) for v in self.seen.values()), default=0.5))",
        """
        let t1 = None::float?
        for v in values@.seen:
          let t2 = cast(v)::float
          if ((not is_some(t1)) or ((t2 < unwrap(t1)) or ((unwrap(t1) != unwrap(t1)) and (t2 == t2)))):
            let t1 = some(t2)
        store .level = cast((unwrap(t1) if is_some(t1) else 0.5))::int
        """,
        loops=True,
    )


def test_an_arg_min_holds_the_best_key_and_its_item() -> None:
    flat = flatten(policy("pass"), loops=True)
    assert (
        body(flat, "pick")
        == textwrap.dedent(
            """
        let t1 = None::int?
        let t3 = None::#Client?
        for item in values(.waiting):
          let t2 = .served.total(item)
          if ((not is_some(t1)) or (t2 < unwrap(t1))):
            let t1 = some(t2)
            let t3 = some(item)
        return unwrap(t3)
        """
        ).strip()
    )


def test_a_guard_with_effects_splits_a_match() -> None:
    check(
        """
        match self.level:
            case 1 if self._bump(1) > 0:
                self.level = 10
            case 2:
                self.level = 20
            case x if rand_below(3) > x:
                self.level = 30
            case _:
                self.level = 40
        """,
        """
        let t3 = False
        let t4 = .level
        match t4:
          case =1:
            let t1 = @_bump(1)
            if (t1 > 0):
              let t3 = True
              store .level = 10
        if (not t3):
          match t4:
            case =2:
              let t3 = True
              store .level = 20
            case x:
              let t2 = %rand_below(3)
              if (t2 > x):
                let t3 = True
                store .level = 30
          if (not t3):
            match t4:
              case _:
                let t3 = True
                store .level = 40
        """,
    )


def test_a_match_without_such_guards_stays() -> None:
    check(
        """
        match self._bump(1):
            case x if x > cost:
                self.level = x
            case _:
                pass
        """,
        """
        let t1 = @_bump(1)
        match t1:
          case x if (x > cost):
            store .level = x
          case _:
            pass
        """,
    )


def test_effects_as_statements_and_in_the_bounds_of_loops() -> None:
    check(
        """
        self._bump(1)
        trace(f"{self._bump(2)} {self.level}")
        for i in range(self._bump(1) % 4):
            if i > 2:
                break
            self.level = i
        """,
        """
        do @_bump(1)
        let t1 = @_bump(2)
        do %trace(format(t1, ' ', .level))
        let t2 = @_bump(1)
        for i in range(0, (t2 % 4), 1, 3):
          if (i > 2):
            break
          store .level = i
        """,
    )


def test_reading_an_lru_is_an_effect() -> None:
    check(
        "self.level = self.recent.get(1, 0) + self.recent.get(2, 0)",
        """
        let t1 = .recent.get_or(1, 0)
        let t2 = .recent.get_or(2, 0)
        store .level = (t1 + t2)
        """,
    )


# ---------------------------------------------------------------- all of the language


def everything() -> list[Program]:
    examples = [p for path in EXAMPLES for p in compile_file(path).programs]
    return [sink(), *examples]


@pytest.mark.parametrize("loops", [False, True])
def test_flat_programs_are_well_formed(loops: bool) -> None:
    for program in everything():
        assert verify(flatten(program, loops=loops), Stage.FLAT) == [], program.name


def test_loops_leave_no_reduction() -> None:
    for program in everything():
        for function in (*(flat := flatten(program, loops=True)).functions, *flat.handlers):
            for s in function.body:
                kept = [n for n in walk(s) if isinstance(n, ir.Reduce)]
                assert kept == [], program.name


def test_only_checked_programs_are_flattened() -> None:
    with pytest.raises(AssertionError, match="flatten got FLAT"):
        flatten(flatten(sink()))


def test_flat_programs_mean_the_same() -> None:
    """Random programs; in the flat form every expression with an effect is the whole value of a Let or Do."""
    for seed in range(100):
        compiled = compile_text(random_program(Choices.of_seed(seed)))
        if not compiled.programs:
            continue
        program = compiled.programs[0]
        sequence = calls(program, seed, 20)
        wanted = observed(program, sequence)
        for loops in (False, True):
            flat = flatten(program, loops=loops)
            assert verify(flat, Stage.FLAT) == [], seed
            assert observed(flat, sequence) == wanted, seed


def observed(program: Program, sequence: list) -> list[object]:
    instance = Instance(program)
    seen: list[object] = []
    for call in sequence:
        said: list[str] = []
        instance.waiting[:] = call.waiting
        result = instance.call(call.hook, call.args, tape=Outside(call), functions={"trace": said.append})
        seen.append((normal(result), zlib.crc32(instance.image()), said))
    return seen
