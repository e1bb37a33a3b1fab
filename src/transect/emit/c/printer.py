# SPDX-License-Identifier: Apache-2.0
"""C nodes to C text.  Parentheses come from precedence, and where compilers warn of a confusing mix without them.

The printer knows which line of which file the compiler takes each line for, so a `#line` is written only where it is
needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from transect.emit.c import tree as c

# Binding strength; a larger number binds tighter.  Binary operators have 12 and below.
_BINARY = {
    "||": 3,
    "&&": 4,
    "|": 5,
    "^": 6,
    "&": 7,
    "==": 8,
    "!=": 8,
    "<": 9,
    ">": 9,
    "<=": 9,
    ">=": 9,
    "<<": 10,
    ">>": 10,
    "+": 11,
    "-": 11,
    "*": 12,
    "/": 12,
    "%": 12,
}
_ASSIGN, _TERNARY, _CAST, _UNARY, _POSTFIX, _PRIMARY = 1, 2, 13, 14, 15, 16


def precedence(e: c.Expr) -> int:
    """How tightly the outermost operator binds."""
    match e:
        case c.Assign():
            return _ASSIGN
        case c.Ternary():
            return _TERNARY
        case c.Binary(op=op):
            return _BINARY[op]
        case c.Cast():
            return _CAST
        case c.Unary() | c.SizeOf() | c.SizeOfValue():
            return _UNARY
        case c.Postfix() | c.Call() | c.Member() | c.Index() | c.Compound():
            return _POSTFIX
        case c.Name() | c.Integer() | c.Real() | c.String():
            return _PRIMARY
        case _:
            assert_never(e)


def _confusing(parent: str, child: c.Expr) -> bool:
    """Whether compilers ask for parentheses that the grammar does not need."""
    if isinstance(child, c.Unary) and child.op == "!":
        return _BINARY[parent] not in (3, 4)
    if not isinstance(child, c.Binary):
        return False
    if parent == "||":
        return child.op == "&&"
    if parent in ("|", "^", "&"):
        return child.op != parent
    if parent in ("<<", ">>"):
        return True
    return _BINARY[parent] in (8, 9) and _BINARY[child.op] in (5, 6, 7, 8, 9)


# ---------------------------------------------------------------- expressions


def expression(e: c.Expr) -> str:
    """The expression's text."""
    match e:
        case c.Name(name=name):
            return name
        case c.Integer(value=value, suffix=suffix):
            return f"{value}{suffix}"
        case c.Real(value=value):
            return _real(value)
        case c.String(value=value):
            return _string(value)
        case c.Unary(op=op, operand=operand):
            inner = _at_least(operand, _UNARY if op in ("++", "--") else _CAST)
            return f"{op} {inner}" if inner[0] in "+-&" and inner[0] == op[0] else f"{op}{inner}"
        case c.Postfix(op=op, operand=operand):
            return f"{_at_least(operand, _POSTFIX)}{op}"
        case c.Binary(op=op, left=left, right=right):
            level = _BINARY[op]
            first = _wrapped(left) if _confusing(op, left) else _at_least(left, level)
            second = _wrapped(right) if _confusing(op, right) else _at_least(right, level + 1)
            return f"{first} {op} {second}"
        case c.Assign(op=op, target=target, value=value):
            return f"{_at_least(target, _UNARY)} {op} {_at_least(value, _ASSIGN)}"
        case c.Ternary(cond=cond, then=then, orelse=orelse):
            return f"{_at_least(cond, 3)} ? {_at_least(then, _TERNARY)} : {_at_least(orelse, _TERNARY)}"
        case c.Call(function=function, args=args):
            return f"{_at_least(function, _POSTFIX)}({', '.join(_at_least(a, _ASSIGN) for a in args)})"
        case c.Member(base=base, name=name, arrow=arrow):
            # `0.m` would be a number.
            first = _wrapped(base) if isinstance(base, c.Integer | c.Real) else _at_least(base, _POSTFIX)
            return f"{first}{'->' if arrow else '.'}{name}"
        case c.Index(base=base, index=index):
            return f"{_at_least(base, _POSTFIX)}[{expression(index)}]"
        case c.Cast(type=t, operand=operand):
            return f"({declaration(t, '')}){_at_least(operand, _CAST)}"
        case c.SizeOf(type=t):
            return f"sizeof({declaration(t, '')})"
        case c.SizeOfValue(operand=operand):
            # `sizeof (T)x` would be the size of the type.
            return (
                f"sizeof {_wrapped(operand) if isinstance(operand, c.Cast) else _at_least(operand, _UNARY)}"
            )
        case c.Compound(type=t, init=init):
            return f"({declaration(t, '')}){initialiser(init)}"
        case _:
            assert_never(e)


def _at_least(e: c.Expr, level: int) -> str:
    return expression(e) if precedence(e) >= level else _wrapped(e)


def _wrapped(e: c.Expr) -> str:
    return f"({expression(e)})"


def _real(value: float) -> str:
    text = repr(value)
    return text if any(mark in text for mark in ".en") else f"{text}.0"


_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x09: "\\t"}


def _string(value: bytes) -> str:
    # Three octal digits cannot swallow what follows; `?` is escaped because of trigraphs.
    plain = (chr(b) if 32 <= b < 127 and b != 0x3F else f"\\{b:03o}" for b in value)
    return '"' + "".join(_ESCAPES.get(b, text) for b, text in zip(value, plain, strict=True)) + '"'


def initialiser(init: c.Init) -> str:
    if not isinstance(init, c.Braces):
        return _at_least(init, _ASSIGN)
    items = (f".{name} = {initialiser(i)}" if name else initialiser(i) for name, i in init.items)
    return "{" + ", ".join(items) + "}"


# ---------------------------------------------------------------- types


def declaration(t: c.CType, declarator: str) -> str:
    """`t declarator`, inside out as C wants it; without a declarator, the name of the type."""
    match t:
        case c.Named(name=name, const=const):
            return _spaced(f"{'const ' if const else ''}{name}", declarator)
        case c.StructType(tag=tag, const=const, union=union):
            return _spaced(f"{'const ' if const else ''}{'union' if union else 'struct'} {tag}", declarator)
        case c.Pointer(to=to, const=const):
            inner = f"*{_spaced('const', declarator) if const else declarator}"
            return declaration(to, f"({inner})" if isinstance(to, c.ArrayOf | c.FunctionType) else inner)
        case c.ArrayOf(item=item, length=length):
            return declaration(item, f"{declarator}[{'' if length is None else expression(length)}]")
        case c.FunctionType(returns=returns, params=params):
            listed = ", ".join(declaration(p, "") for p in params) or "void"
            return declaration(returns, f"{declarator}({listed})")
        case _:
            assert_never(t)


def _spaced(base: str, declarator: str) -> str:
    return f"{base} {declarator}" if declarator else base


# ---------------------------------------------------------------- statements and declarations


class Printer:
    """Writes the lines of one file."""

    def __init__(self, file: str, marks: bool = True) -> None:
        self.file = file
        self.lines: list[str] = []
        self._marks = marks
        self._path, self._line = file, 1  # what the compiler takes the next line for
        self._wanted: tuple[str, int] | None = None  # what it should take it for; None: just that
        self._depth = 0

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    def write(self, line: str) -> None:
        assert "\n" not in line, f"one line at a time: {line!r}"
        if line:
            self._settle()
        self.lines.append(f"{'    ' * self._depth}{line}" if line else "")
        self._line += 1

    def blank(self) -> None:
        if self.lines and self.lines[-1]:
            self.write("")

    def mark(self, path: str, line: int) -> None:
        """The next line comes from that line of that file; those after it follow."""
        self._wanted = (path, line)

    def here(self) -> None:
        """The next line is the emitted file's own."""
        self._wanted = (self.file, 0)

    def _settle(self) -> None:
        """Make the compiler take the next line for what was asked."""
        if self._wanted is None or not self._marks:
            return
        path, line = self._wanted
        self._wanted = None
        if path == self.file:
            if self._path == self.file:
                return
            line = len(self.lines) + 2  # after the mark
        if (path, line) != (self._path, self._line):
            self.lines.append(f"#line {line} {_string(path.encode())}")
            self._path, self._line = path, line

    # --- statements

    def block(self, head: str, block: c.Block, tail: str = "") -> None:
        self.write(f"{head} {{" if head else "{")
        self._inside(block.body)
        self.write(f"}}{tail}")

    def _inside(self, body: Iterable[c.Stmt]) -> None:
        self._depth += 1
        for s in body:
            self.statement(s)
        self._depth -= 1

    def statement(self, s: c.Stmt) -> None:
        match s:
            case c.Do(expr=expr):
                self.write(f"{expression(expr)};")
            case c.Var():
                self.write(f"{variable(s)};")
            case c.Block():
                self.block("", s)
            case c.If():
                self._if(s)
            case c.For(init=init, cond=cond, step=step, body=body):
                start = variable(init) if isinstance(init, c.Var) else expression(init) if init else ""
                test, after = (f" {expression(e)}" if e else "" for e in (cond, step))
                self.block(f"for ({start};{test};{after})", body)
            case c.Each(macro=macro, args=args, body=body):
                self.block(expression(c.call(macro, *args)), body)
            case c.While(cond=cond, body=body):
                self.block(f"while ({expression(cond)})", body)
            case c.Switch(subject=subject, arms=arms):
                self.write(f"switch ({expression(subject)}) {{")
                for arm in arms:
                    self.write("default:" if arm.value is None else f"case {_at_least(arm.value, _TERNARY)}:")
                    self._inside(arm.body)
                self.write("}")
            case c.Return(value=value):
                self.write("return;" if value is None else f"return {expression(value)};")
            case c.Break():
                self.write("break;")
            case c.Continue():
                self.write("continue;")
            case c.At(path=path, line=line):
                self.mark(path, line)
            case c.Here():
                self.here()
            case c.Comment(text=text):
                self.comment(text)
            case _:
                assert_never(s)

    def _if(self, s: c.If, before: str = "") -> None:
        head = f"{before}if ({expression(s.cond)})"
        match s.orelse:
            case None:
                self.block(head, s.then)
            case c.If() as more:
                self.write(f"{head} {{")
                self._inside(s.then.body)
                self._if(more, "} else ")
            case c.Block() as last:
                self.write(f"{head} {{")
                self._inside(s.then.body)
                self.block("} else", last)

    def comment(self, text: str) -> None:
        safe = text.replace("*/", "* /").replace("\\\n", "\n").splitlines() or [""]
        for index, line in enumerate(safe):
            end = " */" if index == len(safe) - 1 else ""
            self.write(f"{'/*' if index == 0 else ' *'} {line.rstrip()}".rstrip() + end)

    # --- declarations

    def declare(self, d: c.Decl) -> None:
        match d:
            case c.Include(path=path, system=system):
                self.write(f"#include <{path}>" if system else f'#include "{path}"')
            case c.Ignore(warning=warning):
                self.write(f'#pragma GCC diagnostic ignored "-W{warning}"')
            case c.Struct(tag=tag, members=members, union=union):
                self._struct(f"{'union' if union else 'struct'} {tag}", members)
            case c.Function():
                self._function(d)
            case c.Var():
                self.write(f"{variable(d)};")
            case c.Macro(name=name, args=args):
                self.write(f"{name}({', '.join(_argument(a) for a in args)})")
            case c.Guard(name=name, body=body):
                self.write(f"#ifndef {name}")
                self.write(f"#define {name}")
                self.blank()
                self.all(body)
                self.blank()
                self.write("#endif")
            case c.Comment(text=text):
                self.comment(text)
            case c.At(path=path, line=line):
                self.mark(path, line)
            case c.Here():
                self.here()
            case _:
                assert_never(d)

    def all(self, declarations: Iterable[c.Decl]) -> None:
        """Declarations, with a blank line around each that has a body."""
        for d in declarations:
            large = isinstance(d, c.Struct | c.Guard) or (isinstance(d, c.Function) and d.body is not None)
            if large and not (self.lines and self.lines[-1].startswith(("#line", "/*", " */", " *"))):
                self.blank()
            self.declare(d)
            if large:
                self.blank()

    def _struct(self, head: str, members: Iterable[c.Var | c.Comment]) -> None:
        self.write(f"{head} {{")
        self._depth += 1
        for member in members:
            if isinstance(member, c.Comment):
                self.comment(member.text)
            else:
                self.write(f"{variable(member)};")
        self._depth -= 1
        self.write("};")

    def _function(self, d: c.Function) -> None:
        params = ", ".join(variable(p) for p in d.params) or "void"
        head = declaration(d.returns, f"{d.name}({params})")
        head = f"{d.prefix} {head}" if d.prefix else head
        if d.body is None:
            self.write(f"{head};")
        else:
            self.block(head, d.body)


def _argument(a: c.CType | c.Expr) -> str:
    if isinstance(a, c.Named | c.StructType | c.Pointer | c.ArrayOf | c.FunctionType):
        return declaration(a, "")
    return expression(a)


def variable(v: c.Var) -> str:
    """A declaration without its semicolon."""
    text = f"{'static ' if v.static else ''}{declaration(v.type, v.name)}"
    return text if v.init is None else f"{text} = {initialiser(v.init)}"


def render(file: str, declarations: Iterable[c.Decl], marks: bool = True) -> str:
    """A file's text; `file` is its name as `#line` gives it."""
    printer = Printer(file, marks)
    printer.all(declarations)
    return printer.text
