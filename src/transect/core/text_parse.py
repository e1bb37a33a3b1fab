# SPDX-License-Identifier: Apache-2.0
"""From text to tree; `text.py` shows the form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from transect.base.span import NOWHERE, Span
from transect.core import ir
from transect.core.rules import Scope, place_type, result_type
from transect.core.text_read import END, TextError, TypeReader
from transect.core.types import DEFAULT_OPTIONS, UNIT, Options, StructType, Sync, Type, UnionType


def parse(text: str) -> ir.Program:
    """The program that a text shows.  Raises `TextError`."""
    return _Program(text).program()


_BINARY = {str(op) for op in ir.BinaryOp}
_COMPARE = {str(op) for op in ir.CompareOp}
_REDUCE = {str(op) for op in ir.ReduceOp}
_WRAPPERS: dict[str, type[ir.Cast | ir.Some | ir.IsSome | ir.Unwrap]] = {
    "cast": ir.Cast,
    "some": ir.Some,
    "is_some": ir.IsSome,
    "unwrap": ir.Unwrap,
}


class _Expressions(TypeReader):
    """Reads expressions, places, sources and patterns, in the scope of one function."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.scope: Scope

    def close(self, e: ir.Expr) -> ir.Expr:
        """A node has ended: it takes its span and its type."""
        span = self.span()
        if self.skip("::"):
            t = self.type()
        elif isinstance(e, ir.MakeStruct):
            t = e.type
        else:
            found = result_type(e, self.scope)
            if found is None:
                raise self.error(f"the type of this {type(e).__name__} is not known; write `::` and the type")
            t = found
        e.type, e.span = t, span  # type: ignore[misc]  # the reader has made it a moment ago, and nobody has it yet
        return e

    def expr(self) -> ir.Expr:
        e = self.close(self._atom())
        while True:
            if self.skip("."):
                e = self.close(ir.Attr(e, self.name(), type=UNIT, span=NOWHERE))
            elif self.skip("->"):
                e = self.close(ir.ViewField(e, self.name(), type=UNIT, span=NOWHERE))
            elif self.peek().text == "#" and self.peek(1).kind == "number":
                self.take()
                e = self.close(ir.Item(e, self.integer(), type=UNIT, span=NOWHERE))
            else:
                return e

    def _atom(self) -> ir.Expr:
        token = self.peek()
        match token.kind, token.text:
            case ("text" | "number", _) | ("name", "None" | "True" | "False"):
                return ir.Const(self.literal(), type=UNIT, span=NOWHERE)
            case _, ".":
                return self._state()
            case _, "(":
                self.take()
                return self._parenthesised()
            case _, "[":
                self.take()
                return ir.MakeTuple(tuple(self.separated(self.expr, "]")), type=UNIT, span=NOWHERE)
            case _, "@":
                self.take()
                return ir.Call(self.name(), self._arguments(), type=UNIT, span=NOWHERE)
            case _, "%":
                self.take()
                return ir.Intrinsic(self.dotted(), self._arguments(), type=UNIT, span=NOWHERE)
            case _:
                return self._named()

    def _arguments(self) -> tuple[ir.Expr, ...]:
        self.expect("(")
        return tuple(self.separated(self.expr, ")"))

    def _named(self) -> ir.Expr:
        word, following = self.peek().text, self.peek(1).text
        if following == "(" and word in _WRAPPERS:
            self.take()
            self.take()
            value = self.expr()
            self.expect(")")
            return _WRAPPERS[word](value, type=UNIT, span=NOWHERE)
        if following == "(" and word == "format":
            self.take()
            return ir.Format(self._arguments(), type=UNIT, span=NOWHERE)
        if following == "{":
            return self._braced(word)
        return ir.Local(self.name(), type=UNIT, span=NOWHERE)

    def _braced(self, word: str) -> ir.Expr:
        if word in _REDUCE or word == "set":
            self.take()
            self.take()
            return self._generator(word)
        made = None if self.skip("struct") else self.struct()
        self.expect("{")
        return ir.MakeStruct(tuple(self.separated(self.expr, "}")), type=made or UNIT, span=NOWHERE)

    def _generator(self, word: str) -> ir.Expr:
        value = self.expr()
        self.expect("for")
        targets = self.targets()
        source = self.source()
        cond = self.expr() if self.skip("if") else None
        if word == "set":
            self.expect("}")
            return ir.MakeSet(targets, source, cond, value, type=UNIT, span=NOWHERE)
        default = self.expr() if self.skip("else") else None
        self.expect("}")
        return ir.Reduce(ir.ReduceOp(word), targets, source, cond, value, default, type=UNIT, span=NOWHERE)

    def targets(self) -> tuple[str, ...]:
        names: list[str] = []
        while not self.skip("in"):
            names.append(self.name())
            self.skip(",")
        return tuple(names)

    def _state(self) -> ir.Expr:
        self.expect(".")
        name = self.name()
        if self.peek().text == "." and self.peek(2).text == "(":
            self.take()
            op = self.name()
            return ir.Lookup(ir.TableRead(op), name, self._arguments(), type=UNIT, span=NOWHERE)
        return ir.State(name, type=UNIT, span=NOWHERE)

    def _parenthesised(self) -> ir.Expr:
        if self.peek().kind == "name" and self.skip("with"):
            name = self.name()
            self.expect("=")
            value = self.expr()
            self.expect("in")
            made: ir.Expr = ir.LetIn(name, value, self.expr(), type=UNIT, span=NOWHERE)
        elif self.peek().text in ("-", "~", "not") and self.peek().kind != "text":
            op = ir.UnaryOp(self.take().text)
            made = ir.Unary(op, self.expr(), type=UNIT, span=NOWHERE)
        else:
            made = self._infix(self.expr())
        self.expect(")")
        return made

    def _infix(self, left: ir.Expr) -> ir.Expr:
        word = self.take().text
        match word:
            case "if":
                cond = self.expr()
                self.expect("else")
                return ir.Choose(cond, left, self.expr(), type=UNIT, span=NOWHERE)
            case "and" | "or":
                return ir.Logic(word == "and", left, self.expr(), type=UNIT, span=NOWHERE)
            case "in":
                return ir.Contains(left, self.expr(), type=UNIT, span=NOWHERE)
            case _ if word in _COMPARE:
                return ir.Compare(ir.CompareOp(word), left, self.expr(), type=UNIT, span=NOWHERE)
            case _ if word in _BINARY:
                return ir.Binary(ir.BinaryOp(word), left, self.expr(), type=UNIT, span=NOWHERE)
            case _:
                raise self.error(f"{word!r} is no operator")

    # ---------------------------------------------------------------- what statements are made of

    def place(self) -> ir.Place:
        made: ir.Place
        if self.skip("("):
            base = self.expr()
            self.expect(")")
            self.expect("->")
            made = ir.ViewPlace(base, self.name(), UNIT, NOWHERE)
        elif self.skip("."):
            name = self.name()
            if self.skip("["):
                key = self.expr()
                self.expect("]")
                made = ir.EntryPlace(name, key, self._path(), UNIT, NOWHERE)
            else:
                made = ir.StatePlace(name, self._path(), UNIT, NOWHERE)
        else:
            made = ir.LocalPlace(self.name(), self._path(), UNIT, NOWHERE)
        span = self.span()
        t = self.type() if self.skip("::") else place_type(made, self.scope)
        if t is None:
            raise self.error("there is no such place; write `::` and the type")
        return replace(made, type=t, span=span)

    def _path(self) -> tuple[str, ...]:
        path = []
        while self.skip("!"):
            path.append(self.name())
        return tuple(path)

    def source(self) -> ir.Source:
        word = self.name()
        if word == "range":
            self.expect("(")
            start = self.expr()
            self.expect(",")
            stop = self.expr()
            self.expect(",")
            step = self.integer()
            self.expect(",")
            bound = self.integer()
            self.expect(")")
            return ir.OverRange(start, stop, step, bound, self.span())
        part = ir.Part(word)
        if self.skip("@"):
            self.expect(".")
            return ir.OverState(self.name(), part, self.span())
        self.expect("(")
        value = self.expr()
        self.expect(")")
        return ir.OverValue(value, part, self.span())

    def pattern(self) -> ir.Pattern:
        if self.skip("_"):
            return ir.MatchAny(None)
        if self.skip("="):
            value = self.expr()
            if not isinstance(value, ir.Const):
                raise self.error("a pattern compares with a constant")
            return ir.MatchConst(value)
        if self.skip("?"):
            return ir.MatchSome(self.pattern())
        if self.skip("["):
            return ir.MatchTuple(tuple(self.separated(self.pattern, "]")))
        if self.skip("("):
            options = []
            while not self.skip(")"):
                options.append(self.pattern())
                self.skip("|")
            return ir.MatchOr(tuple(options))
        if self.peek(1).text == "{":
            t = self.struct()
            self.expect("{")
            return ir.MatchStruct(t, tuple(self.separated(self._field_pattern, "}")))
        return ir.MatchAny(self.name())

    def _field_pattern(self) -> tuple[str, ir.Pattern]:
        name = self.name()
        self.expect(":")
        return name, self.pattern()


class _Statements(_Expressions):
    """Reads blocks."""

    def block(self, depth: int) -> ir.Block:
        found = []
        while self.depth() == depth:
            self.advance()
            found.append(self.statement(depth))
        return tuple(found)

    def statement(self, depth: int) -> ir.Stmt:
        word = self.take().text
        match word:
            case "let":
                name = self.name()
                self.expect("=")
                return ir.Let(name, self.expr(), self.finish())
            case "store":
                place = self.place()
                self.expect("=")
                return ir.Store(place, self.expr(), self.finish())
            case "update":
                place = self.place()
                op = ir.BinaryOp(self.take().text)
                return ir.Update(place, op, self.expr(), self.finish())
            case "remove":
                self.expect(".")
                field_name = self.name()
                self.expect("[")
                key = self.expr()
                self.expect("]")
                return ir.Remove(field_name, key, self.finish())
            case "do":
                return ir.Do(self.expr(), self.finish())
            case "return":
                value = None if self.peek() is END else self.expr()
                return ir.Return(value, self.finish())
            case "break":
                return ir.Break(self.finish())
            case "continue":
                return ir.Continue(self.finish())
            case "pass":
                return ir.Pass(self.finish())
            case _:
                return self._compound(word, depth)

    def finish(self, colon: str = "") -> Span:
        """The line ends; its last span is the statement's."""
        if colon:
            self.expect(colon)
        span = self.span()
        self.end()
        return span

    def _compound(self, word: str, depth: int) -> ir.Stmt:
        match word:
            case "if":
                cond = self.expr()
                span = self.finish(":")
                then = self.block(depth + 1)
                return ir.If(cond, then, self._orelse(depth), span)
            case "for":
                targets = self.targets()
                source = self.source()
                span = self.finish(":")
                return ir.For(targets, source, self.block(depth + 1), span)
            case "match":
                subject = self.expr()
                span = self.finish(":")
                cases = []
                while self.depth() == depth + 1:
                    self.advance()
                    cases.append(self._case(depth + 2))
                return ir.Switch(subject, tuple(cases), span)
            case _:
                raise self.error(f"{word!r} begins no statement")

    def _orelse(self, depth: int) -> ir.Block:
        if self.depth() != depth or self.upcoming() != "else:":
            return ()
        self.advance()
        self.expect("else")
        self.expect(":")
        self.end()
        return self.block(depth + 1)

    def _case(self, depth: int) -> ir.Case:
        self.expect("case")
        pattern = self.pattern()
        guard = self.expr() if self.skip("if") else None
        span = self.finish(":")
        return ir.Case(pattern, guard, self.block(depth), span)


@dataclass(slots=True)
class _Parts:
    """What has been read of the program's declarations."""

    structs: tuple[StructType, ...] = ()
    unions: tuple[UnionType, ...] = ()
    views: list[ir.View] = field(default_factory=list)
    intrinsics: list[ir.IntrinsicDecl] = field(default_factory=list)
    state: list[ir.StateField] = field(default_factory=list)
    old_state: list[ir.StateField] = field(default_factory=list)
    functions: list[ir.Function] = field(default_factory=list)
    handlers: list[ir.Function] = field(default_factory=list)


class _Program(_Statements):
    """Reads the whole text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.parts = _Parts()
        self.head: dict[str, Any] = {"doc": ""}

    def program(self) -> ir.Program:
        try:
            return self._program()
        except RecursionError:
            raise TextError("the program is nested too deeply") from None
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, TextError):
                raise
            raise self.error(str(error)) from error

    def _program(self) -> ir.Program:
        self.advance()
        for word in ("transect", "-", "ir"):
            self.expect(word)
        if self.integer() != 1:
            raise self.error("this version of the text form is not known")
        self.end()
        self._policy()
        while self.depth() == 0:
            self.advance()
            self._declaration(self.take().text)
        if self.depth() > 0:
            self.advance()
            raise self.error("this line is indented more than the one before")
        return self._built()

    def _policy(self) -> None:
        self.advance()
        self.expect("policy")
        self.head["name"] = self.name()
        for word in ("stratum", "base"):
            self.expect(word)
            self.head[word] = self.string()
        self.expect("stage")
        self.head["stage"] = ir.Stage[self.name()]
        self.end()
        self.advance()
        self.expect("path")
        self.head["path"] = self.string()
        self.expect("hash")
        self.head["source_hash"] = self.string()
        self.files.paths[0] = self.head["path"]
        self.end()
        self.scope = Scope(self._built())

    def _built(self) -> ir.Program:
        p = self.parts
        return ir.Program(
            **self.head,
            structs=p.structs,
            unions=p.unions,
            views=tuple(p.views),
            intrinsics=tuple(p.intrinsics),
            state=tuple(p.state),
            functions=tuple(p.functions),
            handlers=tuple(p.handlers),
            old_state=tuple(p.old_state),
        )

    def _declaration(self, word: str) -> None:
        p = self.parts
        match word:
            case "doc":
                self.head["doc"] = self.string()
            case "file":
                self.files.paths.append(self.string())
            case "enum" | "struct" | "union":
                self.declare(word)
            case "structs":
                self.expect("(")
                p.structs = tuple(self.separated(self.struct, ")"))
            case "unions":
                self.expect("(")
                p.unions = tuple(self.separated(self.union, ")"))
            case "view":
                p.views.append(self._view())
            case "intrinsic":
                p.intrinsics.append(self._intrinsic())
            case "old":
                p.old_state.append(self._state_field(self.take().text))
            case "state" | "param" | "local" | "given":
                p.state.append(self._state_field(word))
            case "helper":
                p.functions.append(self._function())
            case "handler":
                p.handlers.append(self._function())
            case _:
                raise self.error(f"{word!r} begins no declaration")
        if word not in ("view", "helper", "handler"):
            self.end()
        self.scope = Scope(self._built())

    def _doc(self) -> str:
        return self.string() if self.peek().kind == "text" else ""

    def _view(self) -> ir.View:
        name, base = self.name(), self.string()
        params = tuple(self.separated(self.name, "]")) if self.skip("[") else ()
        of = self.string() if self.skip("of") else ""
        span = self.finish()
        members = []
        while self.depth() == 1:
            self.advance()
            self.expect("member")
            member = self.name()
            self.expect(":")
            t = self.type()
            writable, secret = self.skip("writable"), self.skip("secret")
            layout = self.string() if self.skip("at") else ""
            members.append(
                ir.ViewMember(member, t, writable, secret, self._doc(), layout, span=self.finish())
            )
        return ir.View(name, base, params, tuple(members), of, span=span)

    def _param(self) -> ir.Param:
        name = self.name()
        self.expect(":")
        return ir.Param(name, self.type(), self.span())

    def _intrinsic(self) -> ir.IntrinsicDecl:
        self.expect("%")
        name = self.dotted()
        self.expect("(")
        params = tuple(self.separated(self._param, ")"))
        self.expect("->")
        returns, effect = self.type(), ir.Effect(self.string())
        return ir.IntrinsicDecl(name, params, returns, effect, self.skip("named"))

    def _state_field(self, kind: str) -> ir.StateField:
        name = self.name()
        self.expect(":")
        t = self.type()
        self.scope = Scope(replace(self._built(), state=(), functions=()))
        default = self.expr() if self.skip("=") else None
        options = self._options()
        doc = self._doc()
        return ir.StateField(name, t, ir.FieldKind(kind), default, options, doc, span=self.span())

    def _options(self) -> Options:
        given: dict[str, Any] = {}
        while self.peek().kind == "name":
            option = self.name()
            self.expect("=")
            value = self.literal()
            given[option] = Sync(value) if option == "sync" else value
        return replace(DEFAULT_OPTIONS, **given)

    def _function(self) -> ir.Function:
        name = self.name()
        self.expect("(")
        params = tuple(self.separated(self._param, ")"))
        self.expect("->")
        returns = self.type()
        default = self.skip("default")
        doc = self._doc()
        span = self.finish()
        function = ir.Function(name, params, returns, (), self._locals(), default, doc, span=span)
        self.scope = self.scope.within(function)
        return replace(function, body=self.block(1))

    def _locals(self) -> tuple[tuple[str, Type], ...]:
        if self.depth() != 1 or self.upcoming() != "locals":
            return ()
        self.advance()
        self.expect("locals")
        found = []
        while self.peek() is not END:
            name = self.name()
            self.expect(":")
            found.append((name, self.type()))
            self.skip(",")
        return tuple(found)
