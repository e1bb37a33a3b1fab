# SPDX-License-Identifier: Apache-2.0
"""What two arrangements must have in common: the three levels, and which state of an element counts at each.

| level       | the same for every stream of RPCs                                                             |
|-------------|-----------------------------------------------------------------------------------------------|
| `identical` | what services and callers receive, every element's whole state, telemetry                      |
| `service`   | what services and callers receive                                                             |
| `loose`     | what services receive                                                                         |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from transect.analysis.relevance import Flows, Node, flows
from transect.core import ir
from transect.core.effects import Facts, nodes
from transect.core.ir import FieldKind, Program, TableRead
from transect.core.types import TableKind, TableType
from transect.rpc.chain.needs import HOOKS


class Level(StrEnum):
    IDENTICAL = "identical"
    SERVICE = "service"
    LOOSE = "loose"


LEVELS = (Level.LOOSE, Level.SERVICE, Level.IDENTICAL)
"""Weakest first: what holds at one level holds at those before it."""


@dataclass(frozen=True)
class Counts:
    """The parts of an element's state that count at one level."""

    fields: frozenset[str]  # of the state
    locals: frozenset[str]
    later: frozenset[str]  # paths of message fields that a later hook reads: `msg.user`; `?.x`: not followed
    everything: bool  # also order, overflow counts and reports


class Element:
    """An element of a chain as the proofs see it: a program, and a name of its own."""

    def __init__(self, name: str, program: Program) -> None:
        self.name = name
        self.program = program
        self.hooks = frozenset(h.name for h in program.handlers if not h.default)

    @cached_property
    def facts(self) -> Facts:
        return Facts(self.program)

    @cached_property
    def flows(self) -> Flows:
        return flows(self.program)

    @cached_property
    def written(self) -> frozenset[str]:
        """State that the handlers change."""
        found: frozenset[str] = frozenset()
        return found.union(
            *(self.facts.of(h).written_fields for h in self.program.handlers if not h.default)
        ) & frozenset(f.name for f in self.program.state if f.kind is not FieldKind.LOCAL)

    def verdicts(self, hook: str) -> frozenset[str]:
        """Names of the verdicts that a hook may give."""
        return self._verdicts[hook]

    @cached_property
    def _verdicts(self) -> Mapping[str, frozenset[str]]:
        return {hook: self._verdicts_of(hook) for hook in HOOKS}

    def _verdicts_of(self, hook: str) -> frozenset[str]:
        handler = self.program.handler(hook)
        if handler is None or hook not in self.hooks:
            return frozenset({"None" if hook == "finish" else "Forward"})
        return self.facts.verdicts(handler)

    def counts(self, level: Level) -> Counts:
        state = {f.name for f in self.program.state if f.kind is not FieldKind.LOCAL}
        local = {f.name for f in self.program.state if f.kind is FieldKind.LOCAL}
        if level is Level.IDENTICAL:
            return Counts(frozenset(state), frozenset(local), self._later(self.flows.seen), True)
        relevant = self.flows.relevant(self.sinks(level))
        fields = {node[1] for node in relevant if node[0] == "field"}
        return Counts(frozenset(fields & state), frozenset(fields & local), self._later(relevant), False)

    def sinks(self, level: Level) -> list[Node]:
        """The places where something observable leaves the element."""
        loose = level is Level.LOOSE
        found: list[Node] = []
        for hook in HOOKS:
            ends = self.verdicts(hook) - {"Forward", "None"}
            if hook != "response" or not loose or "Reject" in ends:
                found += self.flows.sinks("verdict", hook)
            if not loose or hook == "request":
                found += self.flows.sinks("write", hook)
        return found

    def told(self, names: Collection[str], level: Level) -> bool:
        """Whether it matters what the element is told of replies and ends under one of these names."""
        seen: frozenset[Node] | set[Node] = self.flows.seen
        if level is not Level.IDENTICAL:
            seen = self.flows.relevant(self.sinks(level))
        paths = [node[2].split(".") for node in seen if node[0] == "view" and node[1] != "request"]
        return any(path[-1] in names for path in paths if len(path) == 1 or path[0] == "?")

    def asks(self, field: str, level: Level) -> bool:
        """Whether a field of `Rpc` itself matters to what the level compares."""
        seen: frozenset[Node] | set[Node] = self.flows.seen
        if level is not Level.IDENTICAL:  # at `loose`, other elements may act on what callers receive
            seen = self.flows.relevant(self.sinks(Level.SERVICE))
        return any(node[0] == "view" and node[2] in (field, f"?.{field}") for node in seen)

    def _later(self, seen: frozenset[Node] | set[Node]) -> frozenset[str]:
        roots = ("msg.", "reply.", "?.", "body", "reply_body")
        return frozenset(
            node[2]
            for node in seen
            if node[0] == "view" and node[1] != "request" and node[2].startswith(roots)
        )

    @cached_property
    def ordered(self) -> frozenset[str]:
        """Tables whose order matters: for an lru's eviction, or in a loop."""
        lru = {
            f.name
            for f in self.program.state
            if isinstance(f.type, TableType) and f.type.kind is TableKind.LRU
        }
        return frozenset(lru | {n.field for n in self._nodes() if isinstance(n, ir.OverState)})

    @cached_property
    def overflowing(self) -> frozenset[str]:
        """Tables whose count of overflows the policy reads."""
        return frozenset(
            n.field for n in self._nodes() if isinstance(n, ir.Lookup) and n.op is TableRead.OVERFLOW
        )

    def _nodes(self) -> list[object]:
        return [n for f in (*self.program.handlers, *self.program.functions) for n in nodes(f)]


def named(*programs: Program) -> list[Element]:
    """The elements, each under a name of its own."""
    seen: dict[str, int] = {}
    found = []
    for program in programs:
        seen[program.name] = seen.get(program.name, 0) + 1
        number = seen[program.name]
        found.append(Element(program.name if number == 1 else f"{program.name}{number}", program))
    return found
