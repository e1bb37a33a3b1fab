# SPDX-License-Identifier: Apache-2.0
"""Declarations: a policy as a whole."""

from __future__ import annotations

import dataclasses
from enum import IntEnum, StrEnum

from transect.base.record import record
from transect.base.span import NOWHERE, Span
from transect.core.ir.expressions import Expr
from transect.core.ir.statements import Block
from transect.core.types import DEFAULT_OPTIONS, Options, StructType, Type, UnionType


class Stage(IntEnum):
    TYPED = 1  # every expression has its type; nothing is proved about paths yet
    CHECKED = 2  # the flow rules hold: look-ups dominated, every path returns, no copy lost
    FLAT = 3  # operands are pure; each effectful read is one Let; short circuits with effects are If


MIGRATIONS = ("migrate", "migrate_back")
"""Handlers that no stratum calls: they run once, when one version of a policy takes over from another."""


class FieldKind(StrEnum):
    STATE = "state"
    PARAM = "param"  # set by the operator while it runs
    LOCAL = "local"  # one value per RPC (request, task …)
    GIVEN = "given"  # kept by the adapter, read-only for the policy: `waiting`


@record
class StateField:
    name: str
    type: Type
    kind: FieldKind
    default: (
        Expr | None
    )  # Const, MakeStruct or MakeTuple of constants; None for tables, arrays, counters: empty or zero
    options: Options = DEFAULT_OPTIONS
    doc: str = ""
    span: Span = dataclasses.field(compare=False, kw_only=True)


@record
class Param:
    name: str
    type: Type
    span: Span = dataclasses.field(compare=False)


@record
class Function:
    """A handler (its name is the hook's) or a helper (`_name` of the class, `name` of the module)."""

    name: str
    params: tuple[Param, ...]  # without `self`
    returns: Type
    body: Block
    locals: tuple[tuple[str, Type], ...]  # every name that Let, For, Reduce, MakeSet, LetIn, patterns bind
    default: bool = False  # a hook's default body, which the policy did not write
    doc: str = ""
    span: Span = dataclasses.field(compare=False, kw_only=True)


@record
class ViewMember:
    name: str
    type: Type
    writable: bool = False
    secret: bool = False  # a policy reads its digest alone, and records hold nothing else of it
    doc: str = ""
    layout: str = ""  # how the stratum finds it, as the class says behind `=`; "": by its name
    span: Span = dataclasses.field(default=NOWHERE, compare=False)


@record
class View:
    """A class of outside data: just the fields that a policy reads; bound to the real layout by a stratum."""

    name: str
    base: str  # the stratum's view class it derives from (`rpc.Message`), or "" for a stratum's own
    params: tuple[str, ...]  # type parameters (`M`, `R` of `Rpc`)
    members: tuple[ViewMember, ...]
    of: str = ""  # what it is a view of, when its class says so (`of="task_struct"`)
    span: Span = dataclasses.field(compare=False, kw_only=True)

    def member(self, name: str) -> ViewMember | None:
        return next((m for m in self.members if m.name == name), None)


class Effect(StrEnum):
    """What an intrinsic touches besides its arguments."""

    PURE = "pure"
    CLOCK = "clock"
    RANDOM = "random"
    OUTSIDE_READ = "outside-read"  # kernel results, remote reads, headers: answers go on the tape
    OUTSIDE_WRITE = "outside-write"
    REPORT = "report"  # trace, report: write-only output


@record
class IntrinsicDecl:
    name: str
    params: tuple[Param, ...]
    returns: Type
    effect: Effect
    named: bool = False  # any keywords may follow: (text constant, value) for each, after the parameters


@record
class Program:
    """One policy, complete: what its files say, resolved and typed."""

    name: str
    stratum: str  # rpc, llm, cpu, memory; "" for a shape
    base: str  # the class that gives the hooks: `rpc.Element`, `Arbiter`
    path: str
    source_hash: str  # sha256 of all its source texts, hex
    stage: Stage
    structs: tuple[StructType, ...]
    unions: tuple[UnionType, ...]
    views: tuple[View, ...]
    intrinsics: tuple[IntrinsicDecl, ...]  # those of the stratum
    state: tuple[StateField, ...]
    functions: tuple[Function, ...]  # helpers, each after those that it calls
    handlers: tuple[Function, ...]  # in the order of the base class's hooks
    old_state: tuple[StateField, ...] = ()  # of `class V1(OldState)`, for `migrate`
    doc: str = ""

    def view(self, name: str) -> View:
        return next(v for v in self.views if v.name == name)

    def field(self, name: str) -> StateField:
        return next(f for f in self.state if f.name == name)

    def handler(self, name: str) -> Function | None:
        return next((h for h in self.handlers if h.name == name), None)

    def function(self, name: str) -> Function:
        return next(f for f in self.functions if f.name == name)
