# SPDX-License-Identifier: Apache-2.0
"""Functions of a flat program as C for BPF.

A handler is `P_hook(self, own, call, …)`: the words of the policy's state, those of the task it is called for, and what
belongs to this call.  Each access of state is one access of memory, each single-entry update an atomic instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, Expr, FieldKind, TableRead, UnaryOp
from transect.core.types import (
    ArrayType,
    BoolType,
    KeyType,
    OptionType,
    TableType,
    TextType,
    Type,
    UnitType,
    ViewType,
)
from transect.emit.bpf.platform import Platform
from transect.emit.bpf.unit import Unit
from transect.emit.bpf.values import OPTION, S64, U64, is_unsigned, narrow, value_type
from transect.emit.c import tree as c
from transect.emit.c.names import Names

_PLAIN = {BinaryOp.ADD: "+", BinaryOp.SUB: "-", BinaryOp.MUL: "*"}
_BITS = {BinaryOp.AND: "&", BinaryOp.OR: "|", BinaryOp.XOR: "^"}
_CALLS = {
    BinaryOp.FLOORDIV: ("ts_floordiv", "ts_floordiv_u64"),
    BinaryOp.MOD: ("ts_mod", "ts_mod_u64"),
    BinaryOp.SHL: ("ts_shl", "ts_shl"),
    BinaryOp.SHR: ("ts_shr", "ts_shr_u64"),
    BinaryOp.MIN: ("ts_min", "ts_min_u64"),
    BinaryOp.MAX: ("ts_max", "ts_max_u64"),
}
NOTHING = c.Compound(OPTION, c.braces(c.FALSE, c.ZERO))


def integer(value: int, unsigned: bool = False) -> c.Expr:
    if unsigned:
        return c.Integer(value % 2**64, "ull")
    if value == -(2**63):  # C has no literal for it
        return c.Binary("-", c.Unary("-", c.Integer(2**63 - 1, "ll")), c.ONE)
    literal = c.Integer(abs(value), "ll")
    return c.Unary("-", literal) if value < 0 else literal


def is_masked(index: Expr, length: int) -> bool:
    """Whether the verifier sees by itself that the index is in range: `x & 63` in 64 elements."""
    match index:
        case ir.Binary(op=BinaryOp.AND, left=left, right=right):
            masks = [e.value for e in (left, right) if isinstance(e, ir.Const)]
            return any(isinstance(mask, int) and 0 <= mask < length for mask in masks)
        case _:
            return False


class Lowering:
    """One function."""

    def __init__(self, unit: Unit, function: ir.Function, platform: Platform) -> None:
        self.unit = unit
        self.function = function
        self.platform = platform
        self.names = Names(("self", "own", "call", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64"))
        self.types: dict[str, Type] = dict(function.locals) | {p.name: p.type for p in function.params}
        self._temporaries = 0

    # ---------------------------------------------------------------- the function

    def type(self, t: Type) -> c.CType:
        return self.platform.view_type(t) if isinstance(t, ViewType | KeyType) else value_type(t)

    def definition(self) -> c.Function:
        params = [c.Var(self.names.of(p.name), self.type(p.type)) for p in self.function.params]
        locals = [
            c.Var(self.names.of(name), self.type(t), NOTHING if isinstance(t, OptionType) else c.ZERO)
            for name, t in self.function.locals
            if not isinstance(t, UnitType)
        ]
        body = c.Block((*locals, *self.block(self.function.body), *self.end()))
        return c.Function(
            self.unit.function(self.function.name),
            self.type(self.function.returns),
            (*self.unit.context(), *params),
            body,
            prefix="TS_HANDLER",
        )

    def end(self) -> tuple[c.Stmt, ...]:
        match self.function.returns:
            case UnitType():
                return ()
            case OptionType():
                return (c.Return(NOTHING),)
            case _:  # the front end has shown that every path returns
                return (c.Return(c.ZERO),)

    # ---------------------------------------------------------------- statements

    def block(self, block: ir.Block) -> tuple[c.Stmt, ...]:
        out: list[c.Stmt] = []
        for s in block:
            if s.span.line and not isinstance(s, ir.Pass):
                out.append(c.At(s.span.path, s.span.line))
            out.extend(self.statement(s))
        return tuple(out)

    def statement(self, s: ir.Stmt) -> list[c.Stmt]:
        match s:
            case ir.Let(name=name, value=value):
                done = self.expr(value)
                return [c.Do(done) if isinstance(value.type, UnitType) else self.bind(name, done)]
            case ir.Store(place=place, value=value):
                return self.store(place, self.expr(value))
            case ir.Update(place=place, op=op, value=value):
                return self.update(place, op, self.expr(value))
            case ir.Remove(field=field, key=key):
                return [c.Do(c.call("ts_table_remove", self.unit.table(field), self.key(key)))]
            case ir.Do(value=value):
                done = self.expr(value)
                return [c.Do(done if isinstance(value.type, UnitType) else c.Cast(c.VOID, done))]
            case ir.If(cond=cond, then=then, orelse=orelse):
                other = c.Block(self.block(orelse)) if orelse else None
                return [c.If(self.expr(cond), c.Block(self.block(then)), other)]
            case ir.Switch():
                return self.switch(s)
            case ir.For():
                return self.loop(s)
            case ir.Break():
                return [c.Break()]
            case ir.Continue():
                return [c.Continue()]
            case ir.Return(value=value):
                if value is None or isinstance(self.function.returns, UnitType):
                    nothing = isinstance(self.function.returns, OptionType)
                    return [c.Return(NOTHING if nothing else None)]
                return [c.Return(self.expr(value))]
            case ir.Pass():
                return []
            case _:
                assert_never(s)

    def bind(self, name: str, value: c.Expr) -> c.Stmt:
        return c.assign(c.Name(self.names.of(name)), value)

    def loop(self, s: ir.For) -> list[c.Stmt]:
        """Bounds are evaluated once.  The verifier does not know the values of the kernel's iterator, so it goes
        through the body until no new state appears; a counter of our own it would follow iteration by iteration.
        """
        match s.source:
            case ir.OverRange(start=start, stop=stop, step=step):
                begin, end = self.expr(start), self.expr(stop)
            case ir.OverState(field=field, part=part) if part is ir.Part.KEYS:
                begin, end, step = c.ZERO, c.Integer(self.unit.array(field).length), 1
            case _:
                raise AssertionError(f"{s.span}: `refuse` let a loop through that BPF has no form for")
        counter = self.temporary()
        first, last, length = self.temporary(), self.temporary(), self.temporary()
        item = c.Binary("+", c.Name(first), c.Binary("*", c.Name(counter), integer(step)))
        rounds = c.call("ts_rounds", c.Name(first), c.Name(last), integer(step))
        body = (self.bind(s.targets[0], item), *self.block(s.body))
        return [
            c.Block(
                (
                    c.Var(first, S64, begin),
                    c.Var(last, S64, end),
                    c.Var(length, S64, rounds),
                    c.Var(counter, c.INT),
                    c.Each("bpf_for", (c.Name(counter), c.ZERO, c.Name(length)), c.Block(body)),
                )
            )
        ]

    def temporary(self) -> str:
        self._temporaries += 1
        return self.names.fresh(f"n{self._temporaries}")

    def switch(self, s: ir.Switch) -> list[c.Stmt]:
        """A chain of `if`: patterns may bind, and have guards."""
        subject = self.temporary()
        taken = self.temporary()
        out: list[c.Stmt] = [
            c.Var(subject, self.type(s.subject.type), self.expr(s.subject)),
            c.Var(taken, c.BOOL, c.FALSE),
        ]
        for case in s.cases:
            test, binds = self.pattern(case.pattern, c.Name(subject), s.subject.type)
            inside: tuple[c.Stmt, ...] = (c.assign(c.Name(taken), c.TRUE), *self.block(case.body))
            if case.guard is not None:
                inside = (c.If(self.expr(case.guard), c.Block(inside)),)
            cond = c.negated(c.Name(taken))
            out.append(c.If(c.Binary("&&", cond, test) if test else cond, c.Block((*binds, *inside))))
        return [c.Block(tuple(out))]

    def pattern(self, p: ir.Pattern, subject: c.Expr, t: Type) -> tuple[c.Expr | None, list[c.Stmt]]:
        """Whether the subject matches (None: it always does), and what the names in it take."""
        match p:
            case ir.MatchAny(name=name):
                return None, [] if name is None else [self.bind(name, subject)]
            case ir.MatchConst(value=const) if const.value is None:
                return c.negated(c.dot(subject, "some")), []
            case ir.MatchConst(value=const):
                if isinstance(t, OptionType):
                    inside = c.Binary("==", c.dot(subject, "value"), self.expr(const))
                    return c.Binary("&&", c.dot(subject, "some"), inside), []
                return c.Binary("==", subject, self.expr(const)), []
            case ir.MatchSome(inner=inner):
                assert isinstance(t, OptionType), f"{p}: matches something in {t}"
                test, binds = self.pattern(inner, c.dot(subject, "value"), t.item)
                some = c.dot(subject, "some")
                return (c.Binary("&&", some, test) if test else some), binds
            case ir.MatchOr(options=options):
                tests = [self.pattern(o, subject, t)[0] for o in options]
                whole = tests[0]
                for test in tests[1:]:
                    whole = None if whole is None or test is None else c.Binary("||", whole, test)
                return whole, []
            case ir.MatchTuple() | ir.MatchStruct():
                raise AssertionError(f"`refuse` let a pattern of {t} through")
            case _:
                assert_never(p)

    # ---------------------------------------------------------------- writing state

    def store(self, place: ir.Place, value: c.Expr) -> list[c.Stmt]:
        match place:
            case ir.StatePlace(field=field, type=t):
                return self.write(self.unit.place(field), t, value)
            case ir.EntryPlace(field=field, key=key, type=t):
                if self.unit.is_array(field):
                    return self.element(field, key, lambda word: self.write(word, t, value))
                put = c.call(
                    "ts_table_put",
                    self.unit.table(field),
                    self.key(key),
                    self.truncated(t, value),
                    self.unit.overflow(field),
                )
                return [c.Do(c.Cast(c.VOID, put))]
            case ir.LocalPlace() | ir.ViewPlace():
                raise AssertionError(f"`refuse` let a store into {place} through")
            case _:
                assert_never(place)

    def write(self, place: c.Expr, t: Type, value: c.Expr) -> list[c.Stmt]:
        if isinstance(t, OptionType):
            return [c.Do(c.call("ts_option_write", c.address(place), value))]
        return [c.Do(c.call("TS_WRITE", place, self.truncated(t, value)))]

    def element(self, field: str, key: Expr, use: Callable[[c.Expr], Sequence[c.Stmt]]) -> list[c.Stmt]:
        """Statements on an element.  The index is in range, and a test shows the verifier that it is."""
        index = self.temporary()
        length = self.unit.array(field).length
        word = c.Index(self.unit.place(field), c.Name(index))
        at = c.Var(index, U64, self.expr(key))
        if is_masked(key, length):
            return [c.Block((at, *use(word)))]
        inside = c.Binary("<", c.Name(index), c.Integer(length))
        seen = c.Do(
            c.call("barrier_var", c.Name(index))
        )  # else clang leaves out the test that it does not need
        return [c.Block((at, seen, c.If(inside, c.Block(tuple(use(word))))))]

    def update(self, place: ir.Place, op: BinaryOp, value: c.Expr) -> list[c.Stmt]:
        match place:
            case ir.StatePlace(field=field, type=t):
                return [self.change(c.address(self.unit.place(field)), t, op, value)]
            case ir.EntryPlace(field=field, key=key, type=t):
                if self.unit.is_array(field):
                    return self.element(field, key, lambda w: [self.change(c.address(w), t, op, value)])
                word = self.temporary()
                found = c.call(
                    "ts_table_word",
                    self.unit.table(field),
                    self.key(key),
                    c.ZERO,
                    self.unit.overflow(field),
                )
                changed = c.If(c.Name(word), c.Block((self.change(c.Name(word), t, op, value),)))
                return [c.Block((c.Var(word, c.Pointer(S64), found), changed))]
            case ir.LocalPlace() | ir.ViewPlace():
                raise AssertionError(f"`refuse` let an update of {place} through")
            case _:
                assert_never(place)

    def change(self, word: c.Expr, t: Type, op: BinaryOp, value: c.Expr) -> c.Stmt:
        simple = not narrow(t) and not is_unsigned(t)
        match op:
            case BinaryOp.ADD:
                return c.Do(c.call("ts_add", word, value))
            case BinaryOp.SUB:
                return c.Do(c.call("ts_add", word, c.Unary("-", value)))
            case BinaryOp.MAX if simple:
                return c.Do(c.call("ts_raise", word, value))
            case BinaryOp.MIN if simple:
                return c.Do(c.call("ts_lower", word, value))
            case _:
                return c.Do(c.Cast(c.VOID, self.changed(word, t, op, value)))

    def changed(self, word: c.Expr, t: Type, op: BinaryOp, value: c.Expr) -> c.Expr:
        """An update for which there is no atomic instruction; its value is the word before."""
        before = self.loaded(t, c.Name("ts_before"))
        return c.call("TS_CHANGED", word, self.truncated(t, self.operate(op, t, before, value)))

    def truncated(self, t: Type, value: c.Expr) -> c.Expr:
        cut = narrow(t)
        return value if cut is None else c.Cast(cut, value)

    # ---------------------------------------------------------------- expressions

    def key(self, e: Expr) -> c.Expr:
        return self.expr(e)

    def expr(self, e: Expr) -> c.Expr:
        match e:
            case ir.Const(value=value, type=t):
                return self.constant(value, t)
            case ir.Local(name=name):
                return c.Name(self.names.of(name))
            case ir.State(field=field, type=t):
                return self.read(field, t)
            case ir.ViewField(base=base, name=name):
                assert isinstance(base.type, ViewType), f"{e.span}: a field of {base.type}"
                return self.platform.view_field(base.type.name, name, self.expr(base))
            case ir.Lookup():
                return self.look_up(e)
            case ir.Unary(op=op, operand=operand, type=t):
                sign = {UnaryOp.NEG: "-", UnaryOp.NOT: "!", UnaryOp.INVERT: "~"}[op]
                return c.Unary(sign, self.expr(operand))
            case ir.Binary(op=op, left=left, right=right, type=t):
                return self.operate(op, t, self.expr(left), self.expr(right))
            case ir.Compare(op=op, left=left, right=right):
                return self.compare(op, left, right)
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                return c.Binary("&&" if conjunction else "||", self.expr(left), self.expr(right))
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                return c.Ternary(self.expr(cond), self.expr(then), self.expr(orelse))
            case ir.Cast(value=value, type=t):
                return c.Cast(value_type(t), self.expr(value))
            case ir.Some(value=value):
                return c.call("ts_some", self.expr(value))
            case ir.IsSome(value=value):
                return c.dot(self.expr(value), "some")
            case ir.Unwrap(value=value, type=t):
                return c.Cast(value_type(t), c.dot(self.expr(value), "value"))
            case ir.Call(function=function, args=args):
                passed = [*self.unit.context_args(), *map(self.expr, args)]
                return c.call(self.unit.function(function), *passed)
            case ir.Intrinsic(args=args):
                # A text among them is a name, for the platform to read.
                return self.intrinsic(e, [self.expr(a) for a in args if not isinstance(a.type, TextType)])
            case (
                ir.Attr() | ir.Item() | ir.LetIn() | ir.MakeStruct() | ir.MakeTuple() | ir.Contains()
                | ir.Reduce() | ir.MakeSet() | ir.Format()
            ):  # fmt: skip
                raise AssertionError(f"{e.span}: `refuse` let {type(e).__name__} through")
            case _:
                assert_never(e)

    def constant(self, value: object, t: Type) -> c.Expr:
        match value:
            case None:
                return NOTHING
            case bool():
                return c.TRUE if value else c.FALSE
            case int():
                return integer(value, is_unsigned(t))
            case _:
                raise AssertionError(f"`refuse` let {value!r} through")

    def read(self, field: str, t: Type) -> c.Expr:
        f = self.unit.program.field(field)
        if f.kind is FieldKind.GIVEN:
            return self.platform.given(f)
        place = self.unit.place(field)
        if isinstance(t, OptionType):
            return c.call("ts_option_read", c.address(place))
        return self.loaded(f.type, c.call("TS_READ", place))

    def loaded(self, t: Type, word: c.Expr) -> c.Expr:
        cut = narrow(t) or (c.BOOL if isinstance(t, BoolType) else None)
        cut = cut or (U64 if is_unsigned(t) else None)
        return word if cut is None else c.Cast(cut, word)

    def look_up(self, e: ir.Lookup) -> c.Expr:
        f = self.unit.program.field(e.field)
        args = [self.expr(a) for a in e.args]
        match f.type, e.op:
            case ArrayType(item=item, length=length), TableRead.AT:
                place = self.unit.place(e.field)
                if is_masked(e.args[0], length):
                    return self.loaded(item, c.call("TS_READ", c.Index(place, args[0])))
                return self.loaded(item, c.call("TS_ELEMENT", place, args[0], c.Integer(length)))
            case ArrayType(length=length), TableRead.LEN:
                return c.Integer(length)
            case TableType(value=item), TableRead.AT | TableRead.TOTAL:
                return self.loaded(item, c.call("ts_table_get_or", self.unit.table(e.field), args[0], c.ZERO))
            case TableType(), TableRead.GET:
                return c.call("ts_table_get", self.unit.table(e.field), args[0])
            case TableType(value=item), TableRead.GET_OR:
                return self.loaded(item, c.call("ts_table_get_or", self.unit.table(e.field), *args))
            case TableType(), TableRead.HAS:
                return c.call("ts_table_has", self.unit.table(e.field), args[0])
            case TableType(value=item), TableRead.PUT:
                value = self.truncated(item, args[1])
                table = self.unit.table(e.field)
                return c.call("ts_table_put", table, args[0], value, self.unit.overflow(e.field))
            case TableType(), TableRead.OVERFLOW:
                return c.call("TS_READ", c.deref(self.unit.overflow(e.field)))
            case _:
                raise AssertionError(f"{e.span}: `refuse` let `{e.op}` of {f.type} through")

    def operate(self, op: BinaryOp, t: Type, left: c.Expr, right: c.Expr) -> c.Expr:
        if op in _PLAIN:
            return c.Binary(_PLAIN[op], left, right)
        if op in _BITS:
            return c.Binary(_BITS[op], left, right)
        return c.call(_CALLS[op][is_unsigned(t)], left, right)

    def compare(self, op: CompareOp, left: Expr, right: Expr) -> c.Expr:
        assert not isinstance(left.type, OptionType), f"{left.span}: an option is compared"
        return c.Binary(op.value, self.expr(left), self.expr(right))

    def intrinsic(self, e: ir.Intrinsic, args: Sequence[c.Expr]) -> c.Expr:
        match e.name:
            case "now":
                return self.platform.now()
            case "abs":
                return args[0] if is_unsigned(e.type) else c.call("ts_abs", *args)
            case "rand_below":
                return c.call("ts_rand_below", *args)
            case "hash64":
                return c.call("ts_hash64", *args)
            case _:
                return self.platform.intrinsic(e, args)
