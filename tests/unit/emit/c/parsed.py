# SPDX-License-Identifier: Apache-2.0
"""C text back to the emitter's nodes, by pycparser: what another reader of C takes a printed tree for."""

from __future__ import annotations

import re
from typing import Any

from pycparser import c_ast, c_parser

from transect.emit.c import tree as c

TYPES = ("int64_t", "uint64_t", "uint32_t", "uint8_t", "size_t", "bool", "ts_slice")
PRELUDE = "".join(f"typedef int {name};" for name in TYPES)


def parse(text: str) -> tuple[c.Decl, ...]:
    """The declarations of a file."""
    found = c_parser.CParser().parse(PRELUDE + "\n" + text)
    return tuple(declaration(d) for d in found.ext[len(TYPES) :])


# ---------------------------------------------------------------- types


def ctype(t: Any) -> c.CType:
    match t:
        case c_ast.Typename():
            return ctype(t.type)
        case c_ast.TypeDecl(type=c_ast.IdentifierType() as inner):
            return c.Named(" ".join(inner.names), const="const" in t.quals)
        case c_ast.TypeDecl(type=c_ast.Struct() as inner):
            return c.StructType(inner.name, const="const" in t.quals)
        case c_ast.TypeDecl(type=c_ast.Union() as inner):
            return c.StructType(inner.name, const="const" in t.quals, union=True)
        case c_ast.PtrDecl():
            return c.Pointer(ctype(t.type), const="const" in t.quals)
        case c_ast.ArrayDecl():
            return c.ArrayOf(ctype(t.type), expr(t.dim) if t.dim else None)
        case c_ast.FuncDecl():
            return c.FunctionType(ctype(t.type), tuple(ctype(p.type) for p in params(t)))
        case _:
            raise AssertionError(f"no type: {t}")


def params(t: Any) -> list[Any]:
    listed = t.args.params if t.args else []
    return [] if len(listed) == 1 and void(listed[0]) else listed


def void(p: Any) -> bool:
    return isinstance(p, c_ast.Typename) and ctype(p.type) == c.VOID


# ---------------------------------------------------------------- expressions


def expr(e: Any) -> c.Expr:
    match e:
        case c_ast.ID():
            return c.Name(e.name)
        case c_ast.Constant(type="string"):
            return c.String(unescaped(e.value))
        case c_ast.Constant(type="double"):
            return c.Real(float(e.value))
        case c_ast.Constant():
            digits, suffix = re.fullmatch(r"(\d+)(\w*)", e.value).groups()  # type: ignore[union-attr]
            return c.Integer(int(digits), suffix)
        case c_ast.UnaryOp(op="sizeof", expr=c_ast.Typename() as t):
            return c.SizeOf(ctype(t))
        case c_ast.UnaryOp(op="sizeof"):
            return c.SizeOfValue(expr(e.expr))
        case c_ast.UnaryOp(op="p++" | "p--"):
            return c.Postfix(e.op[1:], expr(e.expr))
        case c_ast.UnaryOp():
            return c.Unary(e.op, expr(e.expr))
        case c_ast.BinaryOp():
            return c.Binary(e.op, expr(e.left), expr(e.right))
        case c_ast.Assignment():
            return c.Assign(e.op, expr(e.lvalue), expr(e.rvalue))
        case c_ast.TernaryOp():
            return c.Ternary(expr(e.cond), expr(e.iftrue), expr(e.iffalse))
        case c_ast.FuncCall():
            return c.Call(expr(e.name), tuple(map(expr, e.args.exprs if e.args else ())))
        case c_ast.StructRef():
            return c.Member(expr(e.name), e.field.name, arrow=e.type == "->")
        case c_ast.ArrayRef():
            return c.Index(expr(e.name), expr(e.subscript))
        case c_ast.Cast():
            return c.Cast(ctype(e.to_type), expr(e.expr))
        case c_ast.CompoundLiteral():
            inside = init(e.init)
            assert isinstance(inside, c.Braces)
            return c.Compound(ctype(e.type), inside)
        case _:
            raise AssertionError(f"no expression: {e}")


def unescaped(text: str) -> bytes:
    """The bytes of a string literal."""
    escapes = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}

    def one(m: re.Match[str]) -> str:
        return chr(int(m[1], 8)) if m[1][0].isdigit() else escapes[m[1]]

    return re.sub(r"\\([0-7]{1,3}|.)", one, text[1:-1], flags=re.DOTALL).encode("latin-1")


def init(i: Any) -> c.Init:
    if not isinstance(i, c_ast.InitList):
        return expr(i)
    items: list[tuple[str | None, c.Init]] = []
    for item in i.exprs:
        if isinstance(item, c_ast.NamedInitializer):
            items.append((item.name[0].name, init(item.expr)))
        else:
            items.append((None, init(item)))
    return c.Braces(tuple(items))


# ---------------------------------------------------------------- statements


def block(b: Any) -> c.Block:
    return c.Block(tuple(statement(s) for s in b.block_items or ()))


def statement(s: Any) -> c.Stmt:
    match s:
        case c_ast.Decl():
            return variable(s)
        case c_ast.Compound():
            return block(s)
        case c_ast.If():
            orelse: c.Block | c.If | None = None
            if s.iffalse is not None:
                other = statement(s.iffalse)
                assert isinstance(other, c.Block | c.If)
                orelse = other
            return c.If(expr(s.cond), block(s.iftrue), orelse)
        case c_ast.For():
            start: c.Var | c.Expr | None = None
            if isinstance(s.init, c_ast.DeclList):
                start = variable(s.init.decls[0])
            elif s.init is not None:
                start = expr(s.init)
            cond, step = (expr(e) if e else None for e in (s.cond, s.next))
            return c.For(start, cond, step, block(s.stmt))
        case c_ast.While():
            return c.While(expr(s.cond), block(s.stmt))
        case c_ast.Switch():
            return c.Switch(expr(s.cond), tuple(arm(a) for a in s.stmt.block_items or ()))
        case c_ast.Return():
            return c.Return(expr(s.expr) if s.expr else None)
        case c_ast.Break():
            return c.Break()
        case c_ast.Continue():
            return c.Continue()
        case _:
            return c.Do(expr(s))


def arm(a: Any) -> c.Arm:
    value = None if isinstance(a, c_ast.Default) else expr(a.expr)
    return c.Arm(value, tuple(statement(s) for s in a.stmts or ()))


# ---------------------------------------------------------------- declarations


def variable(d: Any) -> c.Var:
    return c.Var(d.name, ctype(d.type), init(d.init) if d.init else None, static="static" in d.storage)


def declaration(d: Any) -> c.Decl:
    match d:
        case c_ast.FuncDef():
            head = function(d.decl)
            return c.Function(head.name, head.returns, head.params, block(d.body), head.prefix)
        case c_ast.Decl(type=c_ast.FuncDecl()):
            return function(d)
        case c_ast.Decl(type=c_ast.Struct() | c_ast.Union() as t) if t.decls is not None:
            return c.Struct(t.name, tuple(map(variable, t.decls)), union=isinstance(t, c_ast.Union))
        case c_ast.Decl():
            return variable(d)
        case _:
            raise AssertionError(f"no declaration: {d}")


def function(d: Any) -> c.Function:
    return c.Function(
        d.name,
        ctype(d.type.type),
        tuple(variable(p) for p in params(d.type)),
        None,
        " ".join((*d.storage, *d.funcspec)),
    )
