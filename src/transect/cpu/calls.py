# SPDX-License-Identifier: Apache-2.0
"""Which functions of the kernel each hook of a policy calls, also through helpers, and on which queues each call may
be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from transect.core import ir
from transect.core.ir import Expr, Function, Program
from transect.core.walk import walk

PUTS = frozenset(
    {
        "cpu.Fifo.put",
        "cpu.Fifo.put_for",
        "cpu.Timeline.put",
        "cpu.Timeline.put_for",
        "cpu.start",
        "cpu.start_first",
    }
)
STEALS = frozenset(
    {
        "cpu.Fifos.steal",
        "cpu.Timelines.steal",
        "cpu.NodeFifos.steal",
        "cpu.NodeTimelines.steal",
        "cpu.Lanes.steal",
    }
)
TAKES = frozenset({"cpu.Fifo.take", "cpu.Timeline.take"}) | STEALS
STARTS = frozenset({"cpu.start", "cpu.start_first"})

Fields: TypeAlias = frozenset[str]
NONE: Fields = frozenset()


class Calls:
    """The calls of one program."""

    def __init__(self, program: Program) -> None:
        self.functions = {f.name: f for f in program.functions}

    def of(
        self, function: Function, given: Mapping[str, Fields] = MappingProxyType({})
    ) -> Iterator[tuple[ir.Intrinsic, Fields]]:
        """The functions of the stratum that it calls, also through helpers, and the fields whose queues each may be
        called on.
        """
        for part in _below(function):
            if isinstance(part, ir.Intrinsic):
                yield part, self._may_be(part.args[0], function, given) if part.args else NONE
            elif isinstance(part, ir.Call):
                yield from self.of(*self._entered(part, function, given))

    def _entered(
        self, call: ir.Call, function: Function, given: Mapping[str, Fields]
    ) -> tuple[Function, Mapping[str, Fields]]:
        helper = self.functions[call.function]
        values = [self._may_be(value, function, given) for value in call.args]
        return helper, {param.name: fields for param, fields in zip(helper.params, values, strict=True)}

    def _may_be(self, value: Expr, function: Function, given: Mapping[str, Fields]) -> Fields:
        """The fields whose queue a value may be; if the value is no queue, those of its parts."""
        match value:
            case ir.State():
                return frozenset({value.field})
            case ir.Choose():
                return self._may_be(value.then, function, given) | self._may_be(value.orelse, function, given)
            case ir.Intrinsic(args=(queues, *_)):  # `.on(…)` of many queues
                return self._may_be(queues, function, given)
            case ir.LetIn():
                return self._may_be(value.body, function, given)
            case ir.Local() if value.name in given:
                return given[value.name]
            case ir.Local():
                others = {**given, value.name: NONE}  # a name that is given to itself adds nothing
                return NONE.union(
                    *(self._may_be(given_it, function, others) for given_it in _values(function, value.name))
                )
            case ir.Call():
                helper, fields = self._entered(value, function, given)
                returns = [part for part in _below(helper) if isinstance(part, ir.Return)]
                return NONE.union(*(self._may_be(r.value, helper, fields) for r in returns if r.value))
            case _:
                return NONE


def _values(function: Function, name: str) -> Iterator[Expr]:
    """The values that a local of the function is set to, in any place."""
    for part in _below(function):
        if isinstance(part, ir.Let | ir.LetIn) and part.name == name:
            yield part.value


def _below(function: Function) -> Iterator[object]:
    for s in function.body:
        yield from walk(s)
