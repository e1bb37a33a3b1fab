# SPDX-License-Identifier: Apache-2.0
"""The target `hints-py`: a Python module with which applications talk with a scheduler, and the fixed one behind it.

For a policy `Arachne` that takes `Cores(count, priority)` and tells `granted(core)`:

    from arachne_hints import Cores, Granted, attach

    scheduler = attach()
    scheduler.say(Cores(count=2, priority=1))
    for told in scheduler.hear(wait_s=1): …
"""

from __future__ import annotations

import ast
from importlib.resources import files

from transect.base.diagnostic import Diagnostic
from transect.core.ir import Program
from transect.cpu.hints.schema import Message, heard, silent, told
from transect.emit.artifact import Artifact
from transect.emit.c.names import snake

FIXED = "transect_hints.py"
OPENING = """
from dataclasses import dataclass
from typing import ClassVar
from transect_hints import Application
"""
ATTACH = """
def attach(path: str | None = None) -> Application:
    return Application(SAYS, HEARS, path)
"""


class HintsPython:
    """The Python side of applications."""

    passes = ()

    def refuses(self, program: Program) -> list[Diagnostic]:
        return silent(program)

    def emit(self, program: Program) -> Artifact:
        fixed = (files("transect.base") / "hints.py").read_bytes()
        text = ast.unparse(ast.fix_missing_locations(module(program)))
        return Artifact({f"{snake(program.name)}_hints.py": f"{text}\n".encode(), FIXED: fixed})


def module(program: Program) -> ast.Module:
    """The emitted module."""
    says, hears = heard(program), told(program)
    about = f"Hints of {program.name}, emitted by transect from {program.path}; source sha256 {program.source_hash}."
    classes = [_class(message) for message in (*([says] if says else []), *hears)]
    attach = ast.parse(ATTACH).body
    assert isinstance(attach[0], ast.FunctionDef)
    attach[0].body.insert(
        0, ast.Expr(ast.Constant(f"Attach this process to {program.name}, which is in force."))
    )
    return ast.Module(
        [
            ast.Expr(ast.Constant(about)),
            *ast.parse(OPENING).body,
            *classes,
            _table("SAYS", [(_name(m), ast.Constant(m.kind)) for m in ([says] if says else [])]),
            _table("HEARS", [(ast.Constant(m.kind), _name(m)) for m in hears]),
            *attach,
        ],
        [],
    )


def class_name(message: Message) -> str:
    """`give_back` as `GiveBack`."""
    return "".join(part[:1].upper() + part[1:] for part in message.name.split("_"))


def _name(message: Message) -> ast.expr:
    return ast.Name(class_name(message), ast.Load())


def _class(message: Message) -> ast.stmt:
    fields: list[ast.stmt] = [
        ast.AnnAssign(ast.Name(n, ast.Store()), ast.Name("int", ast.Load()), None, 1) for n in message.numbers
    ]
    form = ast.parse("FORM: ClassVar[str] = ''").body[0]
    assert isinstance(form, ast.AnnAssign)
    form.value = ast.Constant(message.name)
    frozen = ast.parse("dataclass(frozen=True)", mode="eval").body
    return ast.ClassDef(class_name(message), [], [], [*fields, form], [frozen])


def _table(name: str, entries: list[tuple[ast.expr, ast.expr]]) -> ast.stmt:
    keys: list[ast.expr | None] = [key for key, _ in entries]
    return ast.Assign([ast.Name(name, ast.Store())], ast.Dict(keys, [value for _, value in entries]))


emitter = HintsPython()
