# SPDX-License-Identifier: Apache-2.0
"""Expressions to typed tree: names, literals, operators, comparisons, conditions, attributes, subscripts."""

from __future__ import annotations

import ast
from dataclasses import replace

from transect.base.diagnostic import Label, closest
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.calls import Calls
from transect.core.frontend.constants import constant_int, fit, int_range, literal
from transect.core.frontend.facts import Has, implied, interval
from transect.core.frontend.loops import orderable
from transect.core.frontend.modules import ClassDef, ConstantDef, Surface
from transect.core.frontend.typing import convert, join, loose, short, widen
from transect.core.ir import BinaryOp, CompareOp, Expr, FieldKind, TableRead, UnaryOp
from transect.core.types import (
    BOOL,
    DURATION,
    FLOAT,
    INSTANT,
    INT,
    TEXT,
    U64,
    UNIT,
    ArrayType,
    BoolType,
    BytesType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    ViewType,
    is_value,
    spell,
)

BINARY: dict[type[ast.operator], BinaryOp] = {
    ast.Add: BinaryOp.ADD,
    ast.Sub: BinaryOp.SUB,
    ast.Mult: BinaryOp.MUL,
    ast.Div: BinaryOp.DIV,
    ast.FloorDiv: BinaryOp.FLOORDIV,
    ast.Mod: BinaryOp.MOD,
    ast.BitAnd: BinaryOp.AND,
    ast.BitOr: BinaryOp.OR,
    ast.BitXor: BinaryOp.XOR,
    ast.LShift: BinaryOp.SHL,
    ast.RShift: BinaryOp.SHR,
}
_COMPARE: dict[type[ast.cmpop], CompareOp] = {
    ast.Eq: CompareOp.EQ,
    ast.NotEq: CompareOp.NE,
    ast.Lt: CompareOp.LT,
    ast.LtE: CompareOp.LE,
    ast.Gt: CompareOp.GT,
    ast.GtE: CompareOp.GE,
}
_BITS = (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)


class Expressions(Calls):
    """Typing of expressions; None stands for one that has a diagnostic."""

    def expression(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        """The typed expression; `wanted` gives literals their type, conversions are the caller's."""
        e = self.raw(node, wanted)
        return None if e is None else self.present(widen(e))

    def value(self, node: ast.expr, wanted: Type, what: str = "") -> Expr | None:
        e = self.expression(node, wanted)
        return None if e is None else self.convert(e, wanted, node, what)

    def raw(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        """Without narrowing of options: what `is None` and `match` look at."""
        match node:
            case ast.Constant():
                return self._constant(node, wanted)
            case ast.Name():
                return self._name(node, wanted)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.UnaryOp():
                return self._unary(node, wanted)
            case ast.BinOp():
                return self._binary(node, wanted)
            case ast.BoolOp():
                return self._logic(node)
            case ast.Compare():
                return self._compare(node)
            case ast.IfExp():
                return self._choose(node, wanted)
            case ast.Tuple():
                return self._tuple(node, wanted)
            case ast.Call():
                return self.call(node, wanted)
            case ast.SetComp():
                return self.set_comprehension(node)
            case ast.JoinedStr():
                return self._format(node)
            case _:
                return self._refused(node)

    def _refused(self, node: ast.expr) -> None:
        message, help = _REFUSED.get(
            type(node),
            (
                f"`{type(node).__name__}` is not part of the language",
                "write it with the operators, reductions and helpers of the language",
            ),
        )
        self.error("P047", node, message, help, label="not part of the language")

    # ------------------------------------------------------------ literals and names

    def _constant(self, node: ast.Constant, wanted: Type | None) -> Expr | None:
        value = node.value
        target = wanted.item if isinstance(wanted, OptionType) else wanted
        match value:
            case bool():
                t: Type = BOOL
            case int():
                t = (
                    target
                    if isinstance(target, FloatType | InstantType | DurationType) or target == U64
                    else INT
                )
            case float():
                t = FLOAT
            case str():
                t = TextType()
            case bytes():
                t = BytesType()
            case None:
                return ir.Const(None, type=UNIT, span=self.span(node))
            case _:
                self.error(
                    "P047",
                    node,
                    f"`{short(node)}` is not a literal of the language",
                    "literals are integers, floats, text, bytes, True, False and None",
                    label="not part of the language",
                )
                return None
        return self._fitted(node, value, t)

    def _fitted(self, node: ast.expr, value: object, t: Type) -> Expr | None:
        ok, plain = fit(value, t)
        if not ok:
            low, high = int_range(64, t != U64)
            why = (
                f"`{spell(t)}` goes from {low} to {high}"
                if isinstance(value, int)
                else "it is not valid UTF-8"
            )
            self.error(
                "P039", node, f"`{short(node)}` does not fit in a `{spell(t)}`", why, label="out of range"
            )
            return None
        return ir.Const(plain, type=t, span=self.span(node))

    def _name(self, node: ast.Name, wanted: Type | None) -> Expr | None:
        found = self.scope.lookup(node.id)
        if found is not None:
            return self._local(node, *found)
        match self.world.binding(self.module, node):
            case ConstantDef() as constant:
                return self._named_constant(node, constant, wanted)
            case Surface(name=name) if name in ("True", "False", "None"):
                return None
            case None:
                self._unknown_name(node)
            case _:
                self.error(
                    "P033",
                    node,
                    f"`{node.id}` is not a value",
                    "call it, or name a member of it",
                    label="a class, function or module",
                )
        return None

    def _local(self, node: ast.Name, unique: str, t: Type | None) -> Expr | None:
        if t is None:
            return None
        if unique not in self.facts.assigned and unique in self.scope.types:
            first = self.scope.first.get(node.id)
            others = () if first is None else (Label(first, "assigned here, but not on every path"),)
            self.error(
                "P024",
                node,
                f"`{node.id}` may have no value here",
                f"give `{node.id}` a value before the branch or loop",
                label="not assigned on every path",
                others=others,
            )
            return None
        return ir.Local(unique, type=t, span=self.span(node))

    def _unknown_name(self, node: ast.Name) -> None:
        if node.id == "self":
            self.error(
                "P045",
                node,
                "`self` is not a value",
                "name a field of it, `self.field`, or call a helper, `self._helper()`",
                label="only before a dot",
            )
            return
        known = [*self.scope.types, *self.scope.params, *self.module.names]
        close = closest(node.id, known)
        field_help = (
            f"write `self.{node.id}`"
            if node.id in self.policy.fields
            else f"write `{close}`"
            if close
            else "assign it first, or import it"
        )
        self.error(
            "P007", node, f"unknown name `{node.id}`", field_help, label="not a local, parameter or import"
        )

    def _named_constant(self, node: ast.expr, constant: ConstantDef, wanted: Type | None) -> Expr | None:
        """`NAME: Final = 5`: as if its value stood here; `NAME: Final[u64] = 5` has that type."""
        declared = constant.node.annotation
        value = constant.node.value
        if isinstance(declared, ast.Subscript):
            t = self.world.type_of(constant.module, declared.slice)
            if t is None:
                return None
            ok, plain = literal(value, t)
            if ok:
                return ir.Const(plain, type=t, span=self.span(node))
        elif isinstance(declared, ast.Name) and declared.id == "Final":
            return self._folded_constant(node, constant, wanted)
        self.error(
            "P028",
            node,
            f"`{short(node)}` is not a constant",
            f"write `{short(node)}: Final = …` with a literal",
            label="not declared `Final` with a literal",
        )
        return None

    def _folded_constant(self, node: ast.expr, constant: ConstantDef, wanted: Type | None) -> Expr | None:
        value = constant.node.value
        number = None if value is None else constant_int(value, lambda n: self.constant_number(n, constant))
        if number is not None:
            stand_in = ast.copy_location(ast.Constant(number), node)
            e = self._constant(stand_in, wanted)
            return e
        match value:
            case ast.Constant(value=plain):
                return self._constant(ast.copy_location(ast.Constant(plain), node), wanted)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float(plain))):
                return ir.Const(-plain, type=FLOAT, span=self.span(node))
            case ast.Call(func=ast.Name(id=unit), args=[count]) if unit in ("ns", "us", "ms", "seconds"):
                return self.duration(node, unit, count)
            case _:
                self.error(
                    "P028",
                    node,
                    f"`{short(node)}` is not a literal constant",
                    "a constant is a number, text, duration, True or False",
                    label="its value is computed",
                )
                return None

    def constant_number(self, node: ast.expr, within: ConstantDef | None = None) -> int | None:
        """The integer that a module's constant stands for, or None."""
        module = self.module if within is None else within.module
        binding = self.world.binding(module, node)
        if isinstance(binding, ConstantDef) and binding is not within and binding.node.value is not None:
            return constant_int(binding.node.value, lambda n: self.constant_number(n, binding))
        return None

    def flexible(self, node: ast.expr) -> bool:
        """Whether the node is a number that takes the type of its context."""
        match node:
            case ast.Constant(value=int() | float()):
                return not isinstance(node.value, bool)
            case ast.UnaryOp(op=ast.USub() | ast.Invert(), operand=operand):
                return self.flexible(operand)
            case ast.BinOp(left=left, right=right):
                return self.flexible(left) and self.flexible(right)
            case ast.Name(id=name) if self.scope.lookup(name) is None:
                binding = self.world.binding(self.module, node)
                return (
                    isinstance(binding, ConstantDef)
                    and isinstance(binding.node.annotation, ast.Name)
                    and self.constant_number(node) is not None
                )
            case _:
                return False

    # ------------------------------------------------------------ attributes and subscripts

    def own(self, node: ast.expr) -> str | None:
        """`field` of `self.field`."""
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=attr) if self.scope.lookup("self") is None:
                return attr
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if self._is_old(name):
                return f"old.{attr}"
            case _:
                return None

    def _is_old(self, name: str) -> bool:
        """The parameter of `migrate` and `migrate_back`: state of another version."""
        return self.hook in ("migrate", "migrate_back") and name in self.scope.params

    def state_field(self, node: ast.Attribute, name: str) -> ir.StateField | None:
        """The field, or None with a diagnostic."""
        fields = self.policy.old_fields if name.startswith("old.") else self.policy.fields
        if name in fields:
            return fields[name]
        bare = name.removeprefix("old.")
        close = closest(bare, [f.removeprefix("old.") for f in fields])
        others: tuple[Label, ...] = ()
        if close is not None:
            declared = fields.get(close) or fields[f"old.{close}"]
            others = (Label(declared.span, "a field with a close name is declared here"),)
        if self.policy.method(bare) is not None:
            self.error(
                "P033",
                node,
                f"`{bare}` is a method, not a value",
                f"call it: `self.{bare}(…)`",
                label="a method",
            )
            return None
        owner = ast.unparse(node.value)
        at = self.span(node)
        self.error(
            "P006",
            at,
            f"no state field `{bare}`",
            f"write `{owner}.{close}`" if close else f"declare it in the class: `{bare}: int = 0`",
            label="unknown field",
            others=others,
        )
        return None

    def _attribute(self, node: ast.Attribute) -> Expr | None:
        name = self.own(node)
        if name is not None:
            return self._own_field(node, name)
        constant = self._member(node)
        if constant is not None:
            return constant
        if isinstance(self.world.binding(self.module, node), ConstantDef):
            binding = self.world.binding(self.module, node)
            assert isinstance(binding, ConstantDef)
            return self._named_constant(node, binding, None)
        if node.attr == "overflow":
            return self._overflow(node)
        base = self.expression(node.value)
        return None if base is None else self.field_of(base, node)

    def _overflow(self, node: ast.Attribute) -> Expr | None:
        name = self.own(node.value)
        f = (
            self.state_field(node.value, name)
            if name is not None and isinstance(node.value, ast.Attribute)
            else None
        )
        if f is not None and isinstance(f.type, TableType):
            return ir.Lookup(TableRead.OVERFLOW, f.name, (), type=INT, span=self.span(node))
        if name is None:
            base = self.expression(node.value)
            return None if base is None else self.field_of(base, node)
        return None

    def _own_field(self, node: ast.Attribute, name: str) -> Expr | None:
        f = self.state_field(node, name)
        if f is None:
            return None
        if isinstance(f.type, TableType | ArrayType):
            self.error(
                "P031",
                node,
                f"the table `{name}` as a whole is not a value",
                f"look up a key: `self.{name}[key]`, ask `key in self.{name}`, or loop over it",
                label=f"`{spell(f.type)}`",
            )
            return None
        if not is_value(f.type) and f.kind is not FieldKind.GIVEN:
            self.error(
                "P031",
                node,
                f"`{name}` is for the operator, not for verdicts",
                "keep a number of your own: `seen: int = 0`",
                label=f"`{spell(f.type)}`",
            )
            return None
        return ir.State(name, type=f.type, span=self.span(node))

    def _member(self, node: ast.Attribute) -> Expr | None:
        """`Code.ABORTED`"""
        if isinstance(node.value, ast.Name) and self.scope.lookup(node.value.id) is not None:
            return None
        binding = self.world.binding(self.module, node.value)
        if not isinstance(binding, ClassDef) or self.world.kind(binding) != "enum":
            return None
        enum = self.world.enum(binding)
        members = dict(enum.members)
        if node.attr in members:
            return ir.Const(members[node.attr], type=enum, span=self.span(node))
        close = closest(node.attr, members)
        self.error(
            "P031",
            node,
            f"`{enum.name}` has no member `{node.attr}`",
            f"write `{enum.name}.{close}`" if close else f"members: {', '.join(members)}",
            label="unknown member",
        )
        return ir.Const(0, type=enum, span=self.span(node))

    def field_of(self, base: Expr, node: ast.Attribute) -> Expr | None:
        """A field of a struct or view."""
        match base.type:
            case StructType() as struct:
                f = struct.field(node.attr)
                if f is not None:
                    return ir.Attr(base, node.attr, type=f.type, span=self.span(node))
                known = [x.name for x in struct.fields]
            case ViewType() as view:
                member = self.view_member(view, node.attr)
                if member is not None:
                    return ir.ViewField(base, node.attr, type=member.type, span=self.span(node))
                known = self._view_names(view)
            case OptionType():
                self.error(
                    "P022",
                    node.value,
                    f"`{short(node.value)}` may be None",
                    f"test it first: `if {short(node.value)} is not None:`",
                    label=f"`{spell(base.type)}`",
                )
                return None
            case _:
                known = []
        close = closest(node.attr, known)
        help = (
            f"write `.{close}`"
            if close
            else f"it has {', '.join(known)}"
            if known
            else "plain values have no fields"
        )
        if isinstance(base.type, ViewType) and base.type.name in ("Any", "M", "R"):
            help = "say which view the message is: `rpc: Rpc[Ask]` with `class Ask(Message): …`"
        self.error(
            "P031",
            self._attr_span(node),
            f"`{spell(base.type)}` has no field `{node.attr}`",
            help,
            label="unknown field",
        )
        return None

    def _attr_span(self, node: ast.Attribute) -> Span:
        whole = self.span(node)
        return replace(whole, line=whole.end_line, column=max(whole.end_column - len(node.attr), 0))

    def view_member(self, view: ViewType, name: str) -> ir.ViewMember | None:
        """A member with the view's type arguments put in."""
        declared = self.world.find_view(view.name)
        member = None if declared is None else declared.member(name)
        if declared is None or member is None:
            return None
        if isinstance(member.type, ViewType) and member.type.name in declared.params:
            index = declared.params.index(member.type.name)
            argument = view.arguments[index] if index < len(view.arguments) else ViewType("Any")
            return replace(member, type=argument)
        return member

    def _view_names(self, view: ViewType) -> list[str]:
        declared = self.world.find_view(view.name)
        return [] if declared is None else [m.name for m in declared.members]

    def _subscript(self, node: ast.Subscript) -> Expr | None:
        name = self.own(node.value)
        if name is not None and isinstance(node.value, ast.Attribute):
            f = self.state_field(node.value, name)
            return None if f is None else self.entry(node, f)
        base = self.expression(node.value)
        if base is None:
            return None
        match base.type:
            case TupleType(items=items):
                index = constant_int(node.slice, self.constant_number)
                if index is not None and 0 <= index < len(items):
                    return ir.Item(base, index, type=items[index], span=self.span(node))
                self.error(
                    "P027",
                    node.slice,
                    "the index of a tuple is a constant in its range",
                    f"write a number from 0 to {len(items) - 1}",
                    label="not such a number",
                )
            case DictType(key=key):
                self.error(
                    "P021",
                    node,
                    "the key may be missing",
                    f"write `{short(node.value)}.get({short(node.slice)}, …)`",
                    label=f"a map field; keys are `{spell(key)}`",
                )
            case _:
                self.error(
                    "P031",
                    node,
                    f"a `{spell(base.type)}` cannot be indexed",
                    "only tables, arrays and tuples have `[…]`; loop over a sequence, and compare texts as a whole",
                    label=f"`{spell(base.type)}`",
                )
        return None

    def entry(self, node: ast.Subscript, f: ir.StateField) -> Expr | None:
        """`self.table[key]`, read: a key known to be there, a tally, an index in range."""
        span = self.span(node)
        match f.type:
            case ArrayType(item=item):
                index = self.index(node, f)
                return (
                    None if index is None else ir.Lookup(TableRead.AT, f.name, (index,), type=item, span=span)
                )
            case TableType(kind=TableKind.TALLY, key=key_type, value=value):
                key = self.value(node.slice, key_type, "the key")
                return (
                    None if key is None else ir.Lookup(TableRead.TOTAL, f.name, (key,), type=value, span=span)
                )
            case TableType(key=key_type, value=value):
                key = self.value(node.slice, key_type, "the key")
                if key is None:
                    return None
                if Has(f.name, key) not in self.facts.known:
                    self.error(
                        "P021",
                        node,
                        f"`{short(node.slice)}` may not be in `{f.name}`",
                        f"write `self.{f.name}.get({short(node.slice)}, …)`, or test `if {short(node.slice)} in self.{f.name}:` first",
                        label="no test shows that the key is there",
                        others=(Label(f.span, "declared here"),),
                    )
                    return None
                if f.type.kind is TableKind.LRU:
                    self.facts = self.facts.write_field(f.name, removes=False)
                return ir.Lookup(TableRead.AT, f.name, (key,), type=value, span=span)
            case _:
                self.error(
                    "P031",
                    node,
                    f"`{f.name}` cannot be indexed",
                    "only tables and arrays have `[…]`",
                    label=f"`{spell(f.type)}`",
                )
                return None

    def index(self, node: ast.Subscript, f: ir.StateField) -> Expr | None:
        """An array index that is certainly in range."""
        assert isinstance(f.type, ArrayType)
        index = self.value(node.slice, INT, "the index")
        if index is None:
            return None
        low, high = interval(index, self.facts)
        if low < 0 or high >= f.type.length:
            text = short(node.slice)
            self.error(
                "P027",
                node.slice,
                f"`{text}` may be outside of `{f.name}`",
                f"test it first: `if 0 <= {text} < {f.type.length}:`, or write `{text} % {f.type.length}`",
                label=f"must be from 0 to {f.type.length - 1}",
                others=(Label(f.span, f"{f.type.length} elements"),),
            )
            return None
        return index

    # ------------------------------------------------------------ operators

    def _unary(self, node: ast.UnaryOp, wanted: Type | None) -> Expr | None:
        if isinstance(node.op, ast.Not):
            return self.condition(node)
        if (
            isinstance(node.op, ast.USub)
            and isinstance(node.operand, ast.Constant)
            and isinstance(node.operand.value, int | float)
            and not isinstance(node.operand.value, bool)
        ):
            return self._constant(ast.copy_location(ast.Constant(-node.operand.value), node), wanted)
        operand = self.expression(node.operand, wanted)
        if operand is None:
            return None
        span = self.span(node)
        match node.op, operand.type:
            case ast.UAdd(), IntType() | FloatType():
                return operand
            case ast.USub(), IntType() | FloatType() | DurationType():
                return ir.Unary(UnaryOp.NEG, operand, type=operand.type, span=span)
            case ast.Invert(), IntType():
                return ir.Unary(UnaryOp.INVERT, operand, type=operand.type, span=span)
            case _:
                sign = {ast.UAdd: "+", ast.USub: "-"}.get(type(node.op), "~")
                self.error(
                    "P011",
                    node,
                    f"`{sign}` needs a number, not a `{spell(operand.type)}`",
                    "give an integer" if sign == "~" else "give a number",
                    label=f"`{spell(operand.type)}`",
                )
                return None

    def _binary(self, node: ast.BinOp, wanted: Type | None) -> Expr | None:
        op = BINARY.get(type(node.op))
        if op is None:
            self.error(
                "P047",
                node,
                "this operator is not part of the language",
                "write powers as multiplications or shifts",
                label="not part of the language",
            )
            return None
        pair = self._operands(op, node.left, node.right, wanted)
        return None if pair is None else self.combine(node, op, *pair)

    def _operands(
        self, op: BinaryOp, left: ast.expr, right: ast.expr, wanted: Type | None
    ) -> tuple[Expr, Expr] | None:
        """Both sides; a bare number takes the other side's type."""
        context = wanted if isinstance(wanted, IntType | FloatType | DurationType | InstantType) else None
        if self.flexible(left) and not self.flexible(right):
            b = self.expression(right, context)
            a = None if b is None else self.expression(left, literal_kind(op, b.type, on_left=True))
        else:
            a = self.expression(left, context)
            kind = (
                context
                if self.flexible(left)
                else None
                if a is None
                else literal_kind(op, a.type, on_left=False)
            )
            b = self.expression(right, kind)
        return None if a is None or b is None else (a, b)

    def combine(self, node: ast.AST, op: BinaryOp, a: Expr, b: Expr) -> Expr | None:
        """The operation on typed operands, or None with a diagnostic."""
        t = _result(op, a.type, b.type)
        if t is not None:
            return ir.Binary(op, a, b, type=t, span=self.span(node))
        message = f"`{op}` does not go between `{spell(a.type)}` and `{spell(b.type)}`"
        code, help = "P011", "both sides need one type"
        numbers = (IntType, FloatType, InstantType, DurationType, EnumType)
        if isinstance(a.type, OptionType) or isinstance(b.type, OptionType):
            code, help = "P022", "test that the value is there first: `if … is not None:`"
        elif isinstance(a.type, numbers) and isinstance(b.type, numbers):
            code, help = "P038", "convert one side: `as_int(…)`, `as_u64(…)`, `as_float(…)`, `ns(…)`"
            if op is BinaryOp.DIV and isinstance(a.type, IntType):
                help = "integers divide by `//`; for a fraction write `as_float(…) / as_float(…)`"
        elif isinstance(a.type, TextType | BytesType):
            help = "texts are compared, searched and measured, never joined; use a tuple of texts as a key, an f-string in a message"
        self.error(code, node, message, help, label=f"`{spell(a.type)}` and `{spell(b.type)}`")
        return None

    def _choose(self, node: ast.IfExp, wanted: Type | None) -> Expr | None:
        cond = self.condition(node.test)
        if cond is None:
            return None
        flexible = self.flexible(node.body) and not self.flexible(node.orelse)
        with self.assuming(self.facts.having(implied(cond, False))):
            orelse = self.expression(node.orelse, wanted)
        with self.assuming(self.facts.having(implied(cond, True))):
            then = self.expression(node.body, orelse.type if flexible and orelse is not None else wanted)
        if then is not None and orelse is not None and self.flexible(node.orelse):
            with self.assuming(self.facts.having(implied(cond, False))):
                orelse = self.expression(node.orelse, then.type if wanted is None else wanted)
        if then is None or orelse is None:
            return None
        t = join(then.type, orelse.type) or wanted
        a, b = (None, None) if t is None else (convert(then, t), convert(orelse, t))
        if t is None or a is None or b is None:
            self.error(
                "P011",
                node,
                f"the two sides are `{spell(then.type)}` and `{spell(orelse.type)}`",
                "give both sides one type",
                label="two types",
            )
            return None
        return ir.Choose(cond, a, b, type=t, span=self.span(node))

    def _tuple(self, node: ast.Tuple, wanted: Type | None) -> Expr | None:
        kinds: tuple[Type | None, ...] = (
            wanted.items
            if isinstance(wanted, TupleType) and len(wanted.items) == len(node.elts)
            else (None,) * len(node.elts)
        )
        items = [self.expression(e, k) for e, k in zip(node.elts, kinds, strict=True)]
        good = tuple(i for i in items if i is not None)
        if len(good) < len(items) or not good:
            if not node.elts:
                self.error("P047", node, "an empty tuple has no use", "leave it out", label="empty")
            return None
        return ir.MakeTuple(good, type=TupleType(tuple(g.type for g in good)), span=self.span(node))

    def _format(self, node: ast.JoinedStr) -> Expr | None:
        if not self.formats:
            self.error(
                "P035",
                node,
                "an f-string may not stand here",
                "f-strings are for a verdict's message, `trace` and `report`; elsewhere use a tuple",
                label="only for people to read",
            )
            return None
        parts: list[Expr] = []
        for value in node.values:
            part = self._piece(value)
            if part is None:
                return None
            parts.append(part)
        return ir.Format(tuple(parts), type=TEXT, span=self.span(node))

    def _piece(self, node: ast.expr) -> Expr | None:
        match node:
            case ast.Constant(value=str(text)):
                return ir.Const(text, type=TEXT, span=self.span(node))
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                e = self.expression(inner)
                if e is None or isinstance(e.type, IntType | BoolType | TextType | EnumType):
                    return e
                self.error(
                    "P035",
                    inner,
                    f"a `{spell(e.type)}` cannot be put into a text",
                    "parts are int, u64, bool, str and enums; convert with `as_int(…)`",
                    label=f"`{spell(e.type)}`",
                )
            case _:
                self.error(
                    "P035",
                    node,
                    "format specifications are not part of the language",
                    "write `{value}` alone",
                    label="`!r`, `:x` and the like",
                )
        return None

    # ------------------------------------------------------------ conditions

    def condition(self, node: ast.expr) -> Expr | None:
        """An expression of type bool; the one test by truth value is `waiting` (empty or not)."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return (
                    None if inner is None else ir.Unary(UnaryOp.NOT, inner, type=BOOL, span=self.span(node))
                )
            case ast.BoolOp():
                return self._logic(node)
            case _:
                e = self.expression(node)
        if e is None or isinstance(e.type, BoolType):
            return e
        if isinstance(e, ir.State) and isinstance(e.type, SeqType):
            span = self.span(node)
            length = ir.Intrinsic("len", (e,), type=INT, span=span)
            return ir.Compare(CompareOp.GT, length, ir.Const(0, type=INT, span=span), type=BOOL, span=span)
        self.error(
            "P012",
            node,
            f"a condition is a `bool`, not a `{spell(e.type)}`",
            _condition_help(e.type, short(node)),
            label=f"`{spell(e.type)}`",
        )
        return None

    def _logic(self, node: ast.BoolOp) -> Expr | None:
        conjunction = isinstance(node.op, ast.And)
        before = self.facts
        result: Expr | None = None
        for index, value in enumerate(node.values):
            e = self.condition(value)
            if e is None:
                self.facts = before
                return None
            left = result
            result = e if left is None else ir.Logic(conjunction, left, e, type=BOOL, span=self.span(node))
            if index < len(node.values) - 1:
                self.facts = self.facts.having(implied(e, conjunction))
        self.facts = before
        return result

    # ------------------------------------------------------------ comparisons

    def _compare(self, node: ast.Compare) -> Expr | None:
        """`a < b`, and chains: each middle operand is evaluated once."""
        operands = [node.left, *node.comparators]
        if len(operands) == 2:
            return self._one(node, node.ops[0], node.left, node.comparators[0])
        return self._chain(node, operands)

    def _chain(self, node: ast.Compare, operands: list[ast.expr]) -> Expr | None:
        if any(isinstance(op, ast.In | ast.NotIn | ast.Is | ast.IsNot) for op in node.ops):
            self.error("P047", node, "`in` and `is` do not chain", "join two tests by `and`", label="a chain")
            return None
        typed = self._alike(operands)
        if typed is None:
            return None
        span = self.span(node)
        names: list[tuple[str, Expr]] = []
        values: list[Expr] = [typed[0]]
        for e in typed[1:-1]:
            if isinstance(e, ir.Const | ir.Local):
                values.append(e)
            else:
                name = self.scope.unique("middle", e.type)
                names.append((name, e))
                values.append(ir.Local(name, type=e.type, span=e.span))
        values.append(typed[-1])
        return self._chained(node, values, dict(names), span)

    def _chained(
        self, node: ast.Compare, values: list[Expr], lets: dict[str, Expr], span: Span
    ) -> Expr | None:
        result: Expr | None = None
        for i in reversed(range(len(node.ops))):
            test = self._comparison(node, _COMPARE[type(node.ops[i])], values[i], values[i + 1])
            if test is None:
                return None
            result = test if result is None else ir.Logic(True, test, result, type=BOOL, span=span)
            right = values[i + 1]
            if isinstance(right, ir.Local) and right.name in lets:
                # The first operand is pure here or evaluated before by an outer let, so naming the second one now is in order.
                result = ir.LetIn(right.name, lets[right.name], result, type=BOOL, span=span)
        first = values[0]
        if result is not None and lets and not isinstance(first, ir.Const | ir.Local):
            name = self.scope.unique("first", first.type)
            result = _replace_first(result, first, ir.Local(name, type=first.type, span=first.span))
            result = ir.LetIn(name, first, result, type=BOOL, span=span)
        return result

    def _alike(self, nodes: list[ast.expr]) -> list[Expr] | None:
        """Typed operands of a chain: numbers take the type of the first that has one."""
        anchor = next((n for n in nodes if not self.flexible(n)), None)
        kind = None
        if anchor is not None:
            probe = self.expression(anchor)
            if probe is None:
                return None
            kind = probe.type
        typed = [self.expression(n, kind if self.flexible(n) else None) for n in nodes]
        good = [t for t in typed if t is not None]
        return good if len(good) == len(nodes) else None

    def _one(self, node: ast.Compare, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Expr | None:
        match op:
            case ast.Is() | ast.IsNot():
                return self._is_none(node, isinstance(op, ast.IsNot), left, right)
            case ast.In() | ast.NotIn():
                e = self.membership(node, left, right)
                negate = e is not None and isinstance(op, ast.NotIn)
                return (
                    ir.Unary(UnaryOp.NOT, e, type=BOOL, span=self.span(node))
                    if e is not None and negate
                    else e
                )
            case _:
                pass
        if _is_none_literal(left) or _is_none_literal(right):
            other = short(right if _is_none_literal(left) else left)
            self.error(
                "P022",
                node,
                "None is tested by `is`",
                f"write `{other} is {'not ' if isinstance(op, ast.NotEq) else ''}None`",
                label="compared by value",
            )
            return None
        pair = self._operands(BinaryOp.ADD, left, right, None)
        return None if pair is None else self._comparison(node, _COMPARE[type(op)], *pair)

    def _comparison(self, node: ast.AST, op: CompareOp, a: Expr, b: Expr) -> Expr | None:
        ordered = op not in (CompareOp.EQ, CompareOp.NE)
        same = loose(a.type) == loose(b.type)
        fine = same and (
            orderable(a.type) if ordered else is_value(a.type) and not isinstance(a.type, OptionType)
        )
        if fine:
            return ir.Compare(op, a, b, type=BOOL, span=self.span(node))
        self._uncomparable(node, op, a, b, same)
        return None

    def _uncomparable(self, node: ast.AST, op: CompareOp, a: Expr, b: Expr, same: bool) -> None:
        label = f"`{spell(a.type)}` and `{spell(b.type)}`"
        if isinstance(a.type, OptionType) or isinstance(b.type, OptionType):
            self.error(
                "P022",
                node,
                "an option cannot be compared",
                "test that the value is there first: `if … is not None:`",
                label=label,
            )
        elif same:
            self.error(
                "P011",
                node,
                f"values of type `{spell(a.type)}` have no `{op}`",
                "compare their parts",
                label=label,
            )
        else:
            numbers = (IntType, FloatType, InstantType, DurationType, EnumType)
            both = isinstance(a.type, numbers) and isinstance(b.type, numbers)
            help = (
                "convert one side: `as_int(…)`, `as_u64(…)`, `as_float(…)`, `ns(…)`"
                if both
                else "compare values of one type"
            )
            self.error(
                "P038" if both else "P011",
                node,
                f"`{spell(a.type)}` is not compared with `{spell(b.type)}`",
                help,
                label=label,
            )

    def _is_none(self, node: ast.Compare, negate: bool, left: ast.expr, right: ast.expr) -> Expr | None:
        if not _is_none_literal(right):
            self.error(
                "P047",
                node,
                "`is` tests for None only",
                "compare values by `==`",
                label="identity has no meaning for values",
            )
            return None
        e = self.raw(left)
        if e is None:
            return None
        if not isinstance(e.type, OptionType):
            self.error(
                "P022",
                node,
                f"`{short(left)}` is never None",
                "leave the test out",
                label=f"`{spell(e.type)}`",
            )
            return None
        span = self.span(node)
        some = ir.IsSome(e, type=BOOL, span=span)
        return some if negate else ir.Unary(UnaryOp.NOT, some, type=BOOL, span=span)

    def membership(self, node: ast.Compare, left: ast.expr, right: ast.expr) -> Expr | None:
        """`item in container`"""
        span = self.span(node)
        name = self.own(right)
        if name is not None and isinstance(right, ast.Attribute):
            f = self.state_field(right, name)
            if f is None:
                return None
            if isinstance(f.type, TableType):
                key = self.value(left, f.type.key, "the key")
                return None if key is None else ir.Lookup(TableRead.HAS, f.name, (key,), type=BOOL, span=span)
        if isinstance(right, ast.Tuple | ast.Set):
            return self._one_of(node, left, right.elts)
        container = self.expression(right)
        if container is None:
            return None
        match container.type:
            case SetType(item=item) | SeqType(item=item) | DictType(key=item):
                member = self.value(left, item, "the member")
                return None if member is None else ir.Contains(member, container, type=BOOL, span=span)
            case TextType() | BytesType():
                needle = self.value(left, container.type, "the text searched for")
                return (
                    None
                    if needle is None
                    else ir.Intrinsic("contains", (container, needle), type=BOOL, span=span)
                )
            case _:
                self.error(
                    "P031",
                    right,
                    f"`in` does not look into a `{spell(container.type)}`",
                    "it looks into tables, sets, sequences, maps, texts and tuples",
                    label=f"`{spell(container.type)}`",
                )
                return None

    def _one_of(self, node: ast.Compare, left: ast.expr, choices: list[ast.expr]) -> Expr | None:
        """`x in (1, 2, 3)`: x is evaluated once, then compared from left to right."""
        if not choices:
            self.error("P047", node, "nothing is in an empty tuple", "leave the test out", label="empty")
            return None
        typed = self._alike([left, *choices])
        if typed is None:
            return None
        span = self.span(node)
        subject = typed[0]
        name = (
            None if isinstance(subject, ir.Local | ir.Const) else self.scope.unique("subject", subject.type)
        )
        local: Expr = subject if name is None else ir.Local(name, type=subject.type, span=subject.span)
        result: Expr | None = None
        for choice in typed[1:]:
            test = self._comparison(node, CompareOp.EQ, local, choice)
            if test is None:
                return None
            result = test if result is None else ir.Logic(False, result, test, type=BOOL, span=span)
        assert result is not None
        return result if name is None else ir.LetIn(name, subject, result, type=BOOL, span=span)


def _replace_first(e: Expr, old: Expr, new: Expr) -> Expr:
    """The chain with its leftmost operand named."""
    match e:
        case ir.LetIn():
            return replace(e, body=_replace_first(e.body, old, new))
        case ir.Logic():
            return replace(e, left=_replace_first(e.left, old, new))
        case ir.Compare():
            return replace(e, left=new)
        case _:
            raise AssertionError(f"not a comparison: {e}")


def _is_none_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _condition_help(t: Type, text: str) -> str:
    match t:
        case IntType() | FloatType() | DurationType() | EnumType():
            return f"compare it: `{text} != 0`"
        case OptionType():
            return f"write `{text} is not None`"
        case TextType() | BytesType() | SetType() | SeqType() | DictType():
            return f"write `len({text}) > 0`"
        case KeyType() | ViewType():
            return "compare it with something"
        case _:
            return "compare it with something"


def literal_kind(op: BinaryOp, other: Type, on_left: bool) -> Type | None:
    """The type of a bare number beside an operand of type `other`."""
    if isinstance(other, InstantType):
        return DURATION if op in (BinaryOp.ADD, BinaryOp.SUB) and not on_left else INSTANT
    if isinstance(other, DurationType) and op in (BinaryOp.MUL, BinaryOp.FLOORDIV):
        return INT if not (op is BinaryOp.FLOORDIV and on_left) else DURATION
    return other


def _result(op: BinaryOp, a: Type, b: Type) -> Type | None:
    """The type of `a op b`; None when there is no such operation."""
    match a, b:
        case IntType(), IntType() if a == b:
            return None if op is BinaryOp.DIV else a
        case FloatType(), FloatType():
            return (
                a
                if op in (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.DIV, BinaryOp.MIN, BinaryOp.MAX)
                else None
            )
        case BoolType(), BoolType():
            return a if op in _BITS else None
        case SetType(item=x, bound=m), SetType(item=y, bound=n) if loose(x) == loose(y):
            return _set_result(op, x, m, n)
        case InstantType() | DurationType(), InstantType() | DurationType() | IntType():
            return _time_result(op, a, b)
        case IntType(signed=True), DurationType():
            return DURATION if op is BinaryOp.MUL else None
        case (TextType(), TextType()) | (BytesType(), BytesType()):
            return join(a, b) if op in (BinaryOp.MIN, BinaryOp.MAX) else None
        case _:
            return None


def _set_result(op: BinaryOp, item: Type, m: int | None, n: int | None) -> Type | None:
    match op:
        case BinaryOp.OR:
            return SetType(item, None if m is None or n is None else m + n)
        case BinaryOp.AND | BinaryOp.SUB:
            return SetType(item, m)
        case _:
            return None


def _time_result(op: BinaryOp, a: Type, b: Type) -> Type | None:
    match a, op, b:
        case InstantType(), BinaryOp.SUB, InstantType():
            return DURATION
        case InstantType(), BinaryOp.ADD | BinaryOp.SUB, DurationType():
            return INSTANT
        case InstantType(), BinaryOp.MIN | BinaryOp.MAX, InstantType():
            return INSTANT
        case DurationType(), BinaryOp.ADD, InstantType():
            return INSTANT
        case (
            DurationType(),
            BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MOD | BinaryOp.MIN | BinaryOp.MAX,
            DurationType(),
        ):
            return DURATION
        case DurationType(), BinaryOp.FLOORDIV, DurationType():
            return INT
        case DurationType(), BinaryOp.MUL | BinaryOp.FLOORDIV, IntType(signed=True):
            return DURATION
        case _:
            return None


_REFUSED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Lambda: (
        "a function as a value is not part of the language",
        "a lambda may stand after `key=` of `min` and `max`; elsewhere write a helper",
    ),
    ast.Dict: ("a dict is not a value of the language", "keep it as state (`table(…)`), or use tuples"),
    ast.Set: (
        "a set display is not part of the language",
        "write a set comprehension, or `x in (a, b)` for a test",
    ),
    ast.List: (
        "a list is not a value of the language",
        "use a tuple, a set comprehension, or state (`array(…)`)",
    ),
    ast.ListComp: (
        "a list comprehension is not part of the language",
        "write a generator inside a reduction, `sum(… for … in …)`, or a set comprehension",
    ),
    ast.DictComp: ("a dict comprehension is not part of the language", "keep it as state (`table(…)`)"),
    ast.GeneratorExp: (
        "a generator stands inside a reduction only",
        "write `min(…)`, `max(…)`, `sum(…)`, `any(…)` or `all(…)` around it",
    ),
    ast.Await: ("`await` has no meaning in a policy", "handlers never wait; return a verdict"),
    ast.Yield: ("`yield` has no meaning in a policy", "return a value"),
    ast.YieldFrom: ("`yield` has no meaning in a policy", "return a value"),
    ast.NamedExpr: ("`:=` is not part of the language", "assign on a line of its own"),
    ast.Starred: ("`*` is not part of the language", "write the values out"),
    ast.Slice: ("slices are not part of the language", "compare, search and measure texts as a whole"),
}
