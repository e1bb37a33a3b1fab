# SPDX-License-Identifier: Apache-2.0
"""Layouts from the text that a program keeps of them: what a class says behind `=`."""

from __future__ import annotations

import ast

from transect.memory.layout import KINDS, Layout


def read(text: str) -> Layout | None:
    """The layout that a class says behind `=`, from its text; None if the text is no layout."""
    try:
        return _read(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return None


def _read(node: ast.expr) -> Layout:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords) if (
            name in KINDS
        ):
            positional = [_read(a) if isinstance(a, ast.Call) else ast.literal_eval(a) for a in args]
            named = {k.arg: ast.literal_eval(k.value) for k in keywords if k.arg}
            made = KINDS[name](*positional, **named)
            assert isinstance(made, Layout)
            return made
        case _:
            raise ValueError("no layout")
