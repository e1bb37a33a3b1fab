# SPDX-License-Identifier: Apache-2.0
"""Expressions over all inputs at once, case by case as `core/interp.py` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

from transect.analysis import fold
from transect.analysis.state import UNROLLED, Held, Path, Said, Table
from transect.analysis.summary import summarised_value
from transect.analysis.terms import FALSE, TRUE, Op, Sort, Term, boolean, function, integer, number, text
from transect.analysis.values import (
    Many,
    Option,
    Struct,
    Tuple,
    Union,
    Unsupported,
    Value,
    View,
    anything,
    at_path,
    constant,
    join,
    leaves,
    made,
    same,
)
from transect.analysis.world import World
from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, FieldKind, Program, ReduceOp, TableRead, UnaryOp
from transect.core.rules import widened
from transect.core.types import (
    INT,
    U64,
    ArrayType,
    BoolType,
    BytesType,
    FloatType,
    IntType,
    SetType,
    StructType,
    TableKind,
    TextType,
    TupleType,
    Type,
    UnionType,
)

_INTEGER: Mapping[BinaryOp, tuple[Op, Op]] = {  # of `int`, of `u64`
    BinaryOp.ADD: (Op.ADD, Op.ADD),
    BinaryOp.SUB: (Op.SUB, Op.SUB),
    BinaryOp.MUL: (Op.MUL, Op.MUL),
    BinaryOp.FLOORDIV: (Op.FLOORDIV_S, Op.FLOORDIV_U),
    BinaryOp.MOD: (Op.MOD_S, Op.MOD_U),
    BinaryOp.AND: (Op.BITAND, Op.BITAND),
    BinaryOp.OR: (Op.BITOR, Op.BITOR),
    BinaryOp.XOR: (Op.XOR, Op.XOR),
    BinaryOp.SHL: (Op.SHL, Op.SHL),
    BinaryOp.SHR: (Op.SHR_S, Op.SHR_U),
}
_FLOAT = {
    BinaryOp.ADD: Op.ADD_F,
    BinaryOp.SUB: Op.SUB_F,
    BinaryOp.MUL: Op.MUL_F,
    BinaryOp.DIV: Op.DIV_F,
}
_BOOL: Mapping[BinaryOp, Callable[[Term, Term], Term]] = {
    BinaryOp.AND: fold.both,
    BinaryOp.OR: fold.either,
    BinaryOp.XOR: lambda a, b: fold.negate(fold.equal(a, b)),
    BinaryOp.MIN: fold.both,
    BinaryOp.MAX: fold.either,
}


class Expressions:
    """The half of an evaluator that computes."""

    program: Program

    def __init__(self, program: Program, world: World) -> None:
        self.program = program
        self.world = world
        self.fields = {f.name: f for f in program.state}
        self.intrinsics = {d.name: d for d in program.intrinsics}

    def call(self, called: ir.Function, args: Sequence[Value], path: Path) -> Any:
        raise NotImplementedError  # of the evaluator

    # ------------------------------------------------------------ state

    def read(self, field: str, path: Path) -> Value:
        held: Held = (path.locals if self.fields[field].kind is FieldKind.LOCAL else path.fields)[field]
        assert not isinstance(held, Table), f"{field} is one value"
        return held

    def table(self, field: str, path: Path) -> Table:
        held = path.fields[field]
        assert isinstance(held, Table), f"{field} is a table"
        return held

    def entry(self, field: str, key: Value, path: Path) -> Value:
        """`field[key]` as an update reads it."""
        table = self.table(field, path)
        if table.kind is TableKind.TALLY:
            return table.total(key, anything(table.value), self.world.assume)
        if table.kind is TableKind.LRU:
            path.fields[field] = table.touched(key, self.world.assume)
        return table.get(key, self.world.assume)

    at = staticmethod(at_path)

    def view(self, e: ir.Expr, path: Path) -> View:
        found = self.evaluate(e, path)
        if not isinstance(found, View):
            raise Unsupported("a view that is not followed")
        return found

    def truth(self, e: ir.Expr, path: Path) -> Term:
        return self.term(e, path)

    def term(self, e: ir.Expr, path: Path) -> Term:
        found = self.evaluate(e, path)
        if not isinstance(found, Term):
            raise Unsupported(f"a {type(found).__name__} where one value is needed")
        return found

    # ------------------------------------------------------------ expressions

    def effect(self, e: ir.Expr, path: Path) -> Value:
        """The value of a Let or Do, which may change the state."""
        match e:
            case ir.Call(function=name, args=args):
                result = self.call(self.program.function(name), [self.evaluate(a, path) for a in args], path)
                _become(path, result.path)
                value: Value = result.value
                return value
            case _:
                return self.evaluate(e, path)

    def evaluate(self, e: ir.Expr, path: Path) -> Value:
        match e:
            case ir.Const(value=value, type=t):
                return constant(t, value)
            case ir.Local(name=name):
                if name not in path.frame:
                    raise Unsupported(f"`{name}` depends on the input in a way that is not followed")
                return path.frame[name]
            case ir.State(field=field):
                return self.read(field, path)
            case ir.Attr(base=base, name=name):
                return at_path(self.evaluate(base, path), (name,))
            case ir.ViewField(base=base, name=name, type=t):
                return self.world.read(path, self.view(base, path), name, t)
            case ir.Item(base=base, index=index):
                whole = self.evaluate(base, path)
                assert isinstance(whole, Tuple), "an item of a tuple"
                return whole.items[index]
            case ir.Lookup():
                return self.look_up(e, path)
            case ir.Unary(op=op, operand=operand, type=t):
                return self.unary(op, t, self.term(operand, path))
            case ir.Binary(op=op, left=left, right=right, type=t):
                return self.binary(op, t, left.type, self.evaluate(left, path), self.evaluate(right, path))
            case ir.Compare(op=op, left=left, right=right):
                return self.compare(op, left.type, self.evaluate(left, path), self.evaluate(right, path))
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                a = self.term(left, path)
                if a is boolean(not conjunction):
                    return a
                b = self.term(right, path)
                return fold.both(a, b) if conjunction else fold.either(a, b)
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                chosen = self.term(cond, path)
                if chosen.is_const:
                    return self.evaluate(then if chosen is TRUE else orelse, path)
                return join(chosen, self.evaluate(then, path), self.evaluate(orelse, path))
            case ir.LetIn(name=name, value=value, body=body):
                path.frame[name] = self.evaluate(value, path)
                return self.evaluate(body, path)
            case ir.Cast(value=value, type=t):
                return self.cast(t, value.type, self.evaluate(value, path))
            case ir.Some(value=value, type=t):
                return made(t, Option(TRUE, self.evaluate(value, path)))
            case ir.IsSome(value=value):
                return self.option(value, path).present
            case ir.Unwrap(value=value, type=t):
                inner = self.option(value, path).value
                return anything(t) if inner is None else inner
            case ir.MakeStruct(values=items, type=t):
                assert isinstance(t, StructType), "a struct is made"
                parts = {f.name: self.evaluate(v, path) for f, v in zip(t.fields, items, strict=True)}
                return made(t, Struct(t.name, parts))
            case ir.MakeTuple(items=items, type=t):
                return made(t, Tuple(tuple(self.evaluate(item, path) for item in items)))
            case ir.Contains(item=item, container=container):
                return self.contains(self.evaluate(item, path), self.evaluate(container, path), path)
            case ir.Call(function=name, args=args):  # pure here: an effectful one is a Let's whole value
                given = [self.evaluate(a, path) for a in args]
                called: Value = self.call(self.program.function(name), given, path.copy()).value
                return called
            case ir.Intrinsic(name=name, args=args, type=t):
                return self.intrinsic(name, t, args, path)
            case ir.Reduce() | ir.MakeSet():
                return self.loop_value(e, path)
            case ir.Format(parts=parts):
                return self.format(parts, path)
            case _:
                assert_never(e)

    def option(self, e: ir.Expr, path: Path) -> Option:
        found = self.evaluate(e, path)
        if not isinstance(found, Option):
            raise Unsupported("an option that is not followed")
        return found

    # ------------------------------------------------------------ tables

    def look_up(self, e: ir.Lookup, path: Path) -> Value:
        table = self.table(e.field, path)
        args = [self.evaluate(a, path) for a in e.args]
        assume = self.world.assume
        if table.kind is TableKind.LRU and e.op in (TableRead.AT, TableRead.GET, TableRead.GET_OR):
            path.fields[e.field] = table.touched(args[0], assume)
        match e.op:
            case TableRead.AT:
                return table.get(args[0], assume)
            case TableRead.GET:
                return table.option(args[0], assume)
            case TableRead.GET_OR:
                return join(table.has(args[0], assume), table.get(args[0], assume), args[1])
            case TableRead.TOTAL:
                return table.total(args[0], anything(table.value), assume)
            case TableRead.HAS:
                return table.has(args[0], assume)
            case TableRead.LEN if isinstance(self.fields[e.field].type, ArrayType):
                assert table.capacity is not None, "an array has a length"
                return integer(table.capacity)
            case TableRead.LEN if table.kind is not TableKind.TALLY:
                return table.size
            case TableRead.OVERFLOW:
                return table.overflow
            case TableRead.PUT:
                done, path.fields[e.field] = table.put(args[0], args[1], assume)
                return done
            case TableRead.LEN | TableRead.FIRST | TableRead.POP_FIRST:
                raise Unsupported(f"`{e.op}` of a {table.kind}")
            case _:
                assert_never(e.op)

    def contains(self, item: Value, container: Value, path: Path) -> Term:
        match container:
            case Many(members=members):
                return fold.either(*(fold.both(g, self.equal(v, item)) for g, v in members))
            case View():
                return self.world.map(path, container).has(item)
            case Term() if container.sort is Sort.OPAQUE:
                return function("in", Sort.BOOL, (container, *(t for _, t in leaves(item))))
            case _:
                raise Unsupported("membership in this")

    # ------------------------------------------------------------ operators

    def unary(self, op: UnaryOp, t: Type, x: Term) -> Term:
        match op:
            case UnaryOp.NOT:
                return fold.negate(x)
            case UnaryOp.NEG if isinstance(t, FloatType):
                return fold.float_negate(x)
            case UnaryOp.NEG:
                return fold.arithmetic(Op.SUB, integer(0), x)
            case UnaryOp.INVERT:
                return fold.arithmetic(Op.XOR, x, integer(-1))
            case _:
                assert_never(op)

    def binary(self, op: BinaryOp, t: Type, operands: Type, a: Value, b: Value) -> Value:
        """`a op b` with a result of type t."""
        t = widened(t)
        if op in (BinaryOp.MIN, BinaryOp.MAX) and not isinstance(t, BoolType):
            return join(self._wins(op, operands, a, b), b, a)
        if isinstance(t, SetType):
            return self._sets(op, a, b)
        if not isinstance(a, Term) or not isinstance(b, Term):
            raise Unsupported(f"`{op}` of this")
        match t:
            case FloatType():
                return fold.float_arithmetic(_FLOAT[op], a, b)
            case BoolType():
                return _BOOL[op](a, b)
            case _:
                signed, unsigned = _INTEGER[op]
                return fold.arithmetic(unsigned if t == U64 else signed, a, b)

    def _wins(self, op: BinaryOp, t: Type, best: Value, new: Value) -> Term:
        """Whether `new` takes the place of `best` in `min` or `max`."""
        better = self.less(t, new, best) if op is BinaryOp.MIN else self.less(t, best, new)
        if not isinstance(t, FloatType):
            return better
        assert isinstance(best, Term) and isinstance(new, Term), "floats are terms"
        is_nan = fold.negate(fold.float_equal(best, best))
        return fold.either(better, fold.both(is_nan, fold.float_equal(new, new)))

    def _sets(self, op: BinaryOp, a: Value, b: Value) -> Many:
        if not isinstance(a, Many) or not isinstance(b, Many):
            raise Unsupported("sets that are not unrolled")

        def within(many: Many, item: Value) -> Term:
            return fold.either(*(fold.both(g, self.equal(v, item)) for g, v in many.members))

        match op:
            case BinaryOp.AND:
                return Many(tuple((fold.both(g, within(b, v)), v) for g, v in a.members))
            case BinaryOp.SUB:
                return Many(tuple((fold.both(g, fold.negate(within(b, v))), v) for g, v in a.members))
            case BinaryOp.OR:
                return Many((*a.members, *b.members))
            case _:
                raise Unsupported(f"`{op}` of sets")

    def equal(self, a: Value, b: Value) -> Term:
        """`==`: as `same`, except that floats compare as numbers."""
        match a, b:
            case Term(), Term() if a.sort is Sort.FLOAT:
                return fold.float_equal(a, b)
            case Struct(fields=x), Struct(fields=y):
                return fold.both(*(self.equal(x[name], y[name]) for name in x))
            case Tuple(items=x_items), Tuple(items=y_items):
                return fold.both(*map(self.equal, x_items, y_items))
            case Option(present=p, value=x_value), Option(present=q, value=y_value):
                inner = TRUE if x_value is None or y_value is None else self.equal(x_value, y_value)
                return fold.both(fold.equal(p, q), fold.implies(p, inner))
            case _:
                return same(a, b)

    def less(self, t: Type, a: Value, b: Value) -> Term:
        match a, b:
            case Term(), Term() if a.sort is Sort.FLOAT:
                return fold.float_less(a, b)
            case Term(), Term() if a.sort is Sort.TEXT:
                return fold.of_texts(Op.LT_T, a, b)
            case Term(), Term() if a.sort is Sort.BOOL:
                return fold.both(fold.negate(a), b)
            case Term(), Term() if a.sort is Sort.INT:
                return fold.less(a, b, signed=t != U64)
            case Tuple(items=x), Tuple(items=y) if isinstance(t, TupleType):
                found, still = FALSE, TRUE
                for item, p, q in zip(t.items, x, y, strict=True):
                    found = fold.either(found, fold.both(still, self.less(item, p, q)))
                    still = fold.both(still, self.equal(p, q))
                return found
            case _:
                raise Unsupported("an order of these")

    def compare(self, op: CompareOp, t: Type, a: Value, b: Value) -> Term:
        match op:
            case CompareOp.EQ:
                return self.equal(a, b)
            case CompareOp.NE:
                return fold.negate(self.equal(a, b))
            case CompareOp.LT:
                return self.less(t, a, b)
            case CompareOp.GT:
                return self.less(t, b, a)
            case CompareOp.LE if not isinstance(t, FloatType | TupleType):
                return fold.negate(self.less(t, b, a))
            case CompareOp.GE if not isinstance(t, FloatType | TupleType):
                return fold.negate(self.less(t, a, b))
            case CompareOp.LE:
                return fold.either(self.less(t, a, b), self.equal(a, b))
            case CompareOp.GE:
                return fold.either(self.less(t, b, a), self.equal(a, b))
            case _:
                assert_never(op)

    def cast(self, t: Type, of: Type, value: Value) -> Value:
        match t, value:
            case UnionType(), Struct():
                return Union({value.name: (TRUE, value)})
            case UnionType(), Union():
                return value
            case IntType(bits=bits, signed=signed), Term() if value.sort is Sort.FLOAT:
                cut = fold.converted(Op.F_TO_INT if signed else Op.F_TO_UINT, value)
                return fold.narrow(cut, bits, signed) if bits < 64 else cut
            case FloatType(), Term() if value.sort is Sort.INT:
                return fold.converted(Op.UINT_TO_F if of == U64 else Op.INT_TO_F, value)
            case FloatType(), Term() if value.sort is Sort.BOOL:
                return fold.ite(value, number(1.0), number(0.0))
            case IntType(bits=bits, signed=signed), Term() if bits < 64 and value.sort is Sort.INT:
                return fold.narrow(value, bits, signed)
            case _, Term() if value.sort is Sort.BOOL and not isinstance(t, BoolType):
                return fold.ite(value, integer(1), integer(0))
            case _, Term() if value.sort is Sort.FLOAT and not isinstance(t, FloatType):
                return fold.converted(Op.F_TO_INT, value)
            case _:
                return value if isinstance(t, TextType | BytesType) else made(t, value)

    # ------------------------------------------------------------ loops within expressions

    def members(self, source: ir.Source, path: Path) -> tuple[tuple[Term, Value], ...] | None:
        """What a loop goes over, when it is short enough to be unrolled; each with the condition that it is there."""
        match source:
            case ir.OverRange(start=start, stop=stop, step=step, bound=bound):
                return self._range(self.term(start, path), self.term(stop, path), step, bound)
            case ir.OverState(field=field, part=part) if isinstance(self.fields[field].type, ArrayType):
                table = self.table(field, path)
                if table.capacity is None or table.capacity > UNROLLED:
                    return None
                found = [
                    (integer(i), table.get(integer(i), self.world.assume)) for i in range(table.capacity)
                ]
                return tuple((TRUE, _part(part, key, value)) for key, value in found)
            case ir.OverState():
                return None
            case ir.OverValue(value=value, part=part):
                held = self.evaluate(value, path)
                return self._distinct(held) if isinstance(held, Many) else None
            case _:
                assert_never(source)

    def _range(self, start: Term, stop: Term, step: int, bound: int) -> tuple[tuple[Term, Value], ...] | None:
        if start.is_const and stop.is_const:
            rounds = range(start.data, stop.data, step)
            return tuple((TRUE, integer(i)) for i in rounds) if len(rounds) <= UNROLLED else None
        if bound > UNROLLED or not start.is_const:
            return None
        found = []
        for n in range(bound):
            index = integer(start.data + n * step)
            inside = fold.less(index, stop) if step > 0 else fold.less(stop, index)
            found.append((inside, index))
        return tuple(found)

    def _distinct(self, many: Many) -> tuple[tuple[Term, Value], ...]:
        """The members of a set, each only where no earlier one is equal."""
        found: list[tuple[Term, Value]] = []
        for guard, value in many.members:
            before = fold.either(*(fold.both(g, self.equal(v, value)) for g, v in found))
            found.append((fold.both(guard, fold.negate(before)), value))
        return tuple(found)

    @staticmethod
    def bind(targets: tuple[str, ...], item: Value, frame: dict[str, Value]) -> None:
        if len(targets) == 1:
            frame[targets[0]] = item
        else:
            assert isinstance(item, Tuple), "several targets take a tuple apart"
            frame.update(zip(targets, item.items, strict=True))

    def loop_value(self, e: ir.Reduce | ir.MakeSet, path: Path) -> Value:
        members = self.members(e.source, path)
        if members is None:
            return summarised_value(self, e, path)
        found: list[tuple[Term, Value, Value]] = []  # where it counts, its value, the item
        for guard, item in members:
            self.bind(e.targets, item, path.frame)
            if e.cond is not None:
                guard = fold.both(guard, self.term(e.cond, path))
            value = e.item if isinstance(e, ir.MakeSet) else e.value
            found.append((guard, self.evaluate(value, path), item))
        if isinstance(e, ir.MakeSet):
            return Many(tuple((guard, value) for guard, value, _ in found))
        return self._folded(e, found, path)

    def _folded(self, e: ir.Reduce, found: list[tuple[Term, Value, Value]], path: Path) -> Value:
        match e.op:
            case ReduceOp.ANY:
                return fold.either(*(fold.both(g, _term(v)) for g, v, _ in found))
            case ReduceOp.ALL:
                return fold.both(*(fold.implies(g, _term(v)) for g, v, _ in found))
            case ReduceOp.SUM:
                total: Value = anything(widened(e.type))
                for guard, value, _ in found:
                    total = join(guard, self.binary(BinaryOp.ADD, e.type, e.type, total, value), total)
                return total
            case ReduceOp.MIN | ReduceOp.MAX | ReduceOp.ARGMIN | ReduceOp.ARGMAX:
                return self._best(e, found, path)
            case _:
                assert_never(e.op)

    def _best(self, e: ir.Reduce, found: list[tuple[Term, Value, Value]], path: Path) -> Value:
        op = BinaryOp.MIN if e.op in (ReduceOp.MIN, ReduceOp.ARGMIN) else BinaryOp.MAX
        any_yet = FALSE
        best: Value = anything(e.value.type)
        result = self.evaluate(e.default, path) if e.default is not None else anything(e.type)
        for guard, value, item in found:
            wins = fold.either(fold.negate(any_yet), self._wins(op, e.value.type, best, value))
            takes = fold.both(guard, wins)
            result = join(takes, item if e.op in (ReduceOp.ARGMIN, ReduceOp.ARGMAX) else value, result)
            best = join(takes, value, best)
            any_yet = fold.either(any_yet, guard)
        return result

    # ------------------------------------------------------------ intrinsics

    def format(self, parts: Sequence[ir.Expr], path: Path) -> Term:
        """An f-string: equal parts give equal texts; the text itself is left unknown."""
        shape, terms = [], []
        for part in parts:
            if isinstance(part, ir.Const):
                shape.append(repr(part.value))
            else:
                shape.append(f"{{{_written_as(part.type)}}}")
                terms += [term for _, term in leaves(self.evaluate(part, path))]
        if shape == [f"{{{_written_as(INT)}}}"]:
            return fold.decimal(terms[0])
        if not terms:
            joined = "".join(str(p.value) for p in parts if isinstance(p, ir.Const))
            return text(joined.encode())
        return function(f"format {''.join(shape)}", Sort.TEXT, terms)

    def intrinsic(self, name: str, t: Type, exprs: Sequence[ir.Expr], path: Path) -> Value:
        args = [self.evaluate(e, path) for e in exprs]
        match name, args:
            case "len", [Term() as x] if x.sort is Sort.TEXT:
                return fold.length(x)
            case "len", [Many() as many]:
                total: Term = integer(0)
                for guard, _ in self._distinct(many):
                    total = fold.ite(guard, fold.arithmetic(Op.ADD, total, integer(1)), total)
                return total
            case "len", [Term() as x]:
                return function("len", Sort.INT, (x,))
            case "abs", [Term() as x] if isinstance(t, FloatType):
                below = fold.either(fold.float_less(x, number(0.0)), fold.equal(x, number(-0.0)))
                return fold.ite(below, fold.float_negate(x), x)
            case "abs", [Term() as x]:
                if t == U64:
                    return x
                return fold.ite(fold.less(x, integer(0)), fold.arithmetic(Op.SUB, integer(0), x), x)
            case "startswith", [Term() as x, Term() as y]:
                return fold.of_texts(Op.PREFIX, x, y)
            case "endswith", [Term() as x, Term() as y]:
                return fold.of_texts(Op.SUFFIX, x, y)
            case "contains", [Term() as x, Term() as y]:
                return fold.of_texts(Op.CONTAINS, x, y)
            case "now", []:
                return self.world.now()
            case "rand", []:
                return self.world.rand(path)
            case "rand_below", [Term() as n]:
                return self.world.rand_below(path, n)
            case "mul_div", [Term() as a, Term() as b, Term() as c]:
                return function("mul_div_u" if t == U64 else "mul_div", Sort.INT, (a, b, c))
            case "partition", [Term() as x, Term() as mark]:
                return Tuple(tuple(fold.part_of(which, x, mark) for which in ("before", "between", "behind")))
            case "lower" | "strip" | "removeprefix" | "removesuffix", [Term() as x, *rest]:
                return fold.part_of(name, x, *(_term(y) for y in rest))
            case "parse_int", [Term() as x]:
                return Option(*fold.parsed(x))
            case "hash64", [Term() as x, Term() as seed]:
                return fold.hashed(x, seed)
            case "fits", [Term() as x, Term() as size] if size.is_const:
                return fold.fits(x, size.data)
            case "fits", [Term() as x, Term() as size]:
                return fold.at_most(fold.length(x), size)
            case "trace", [Term() as said]:
                path.said = (*path.said, Said(TRUE, "trace", (said,)))
                return None
            case "dict.get", [View() as mapping, key]:
                return self.world.map(path, mapping).option(key, self.world.assume)
            case "dict.get_or", [View() as mapping, key, default]:
                table = self.world.map(path, mapping)
                return join(table.has(key, self.world.assume), table.get(key, self.world.assume), default)
            case _:
                if name not in self.intrinsics:
                    raise Unsupported(f"`{name}` of this")
                return self.world.call(path, self.intrinsics[name], args)


def _term(value: Value) -> Term:
    assert isinstance(value, Term), "a truth value"
    return value


def _written_as(t: Type) -> str:
    """How an f-string writes a value: the same bits are another text as an `int`, a `u64`, a member of an enum."""
    return "text" if isinstance(t, TextType | BytesType) else str(widened(t))


def _part(part: ir.Part, key: Term, value: Value) -> Value:
    match part:
        case ir.Part.KEYS:
            return key
        case ir.Part.VALUES:
            return value
        case ir.Part.ITEMS:
            return Tuple((key, value))
        case _:
            assert_never(part)


def _become(path: Path, other: Path) -> None:
    """The path takes everything from another."""
    for name in Path.__slots__:
        setattr(path, name, getattr(other, name))
