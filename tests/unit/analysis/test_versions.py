# SPDX-License-Identifier: Apache-2.0
"""Examples against versions of themselves with one thing changed: every question ends with an answer."""

from __future__ import annotations

import ast
import random

import pytest

from transect.analysis.diff import diff
from transect.base.shipped import paths
from transect.cli.worlds import world_of
from transect.core.frontend import compile_text
from transect.core.ir import Program

pytestmark = pytest.mark.needs("z3")

SEEDS = range(3)
LIMIT = 0.3  # seconds for a question: what is asked here is whether it ends, not how
OPERATORS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class Changed(ast.NodeTransformer):
    """Changes one number, comparison or condition, or takes one statement out."""

    def __init__(self, rng: random.Random, at: int) -> None:
        self.rng = rng
        self.left = at

    def here(self) -> bool:
        self.left -= 1
        return self.left == -1

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ops[0], OPERATORS) and self.here():
            node.ops[0] = self.rng.choice(OPERATORS)()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and self.here():
            return ast.Constant(node.value + self.rng.choice((1, -1, 7)))
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if self.here():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        return ast.Pass() if self.here() else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        return ast.Pass() if isinstance(node.value, ast.Call) and self.here() else node


def version(text: str, seed: int) -> Program | None:
    """A changed version; None where the change is none, or the language refuses it."""
    rng = random.Random(seed)
    changed = ast.unparse(ast.fix_missing_locations(Changed(rng, rng.randrange(30)).visit(ast.parse(text))))
    programs = compile_text(changed).programs
    return programs[0] if len(programs) == 1 and changed != ast.unparse(ast.parse(text)) else None


@pytest.mark.parametrize("stratum", ["cpu", "llm", "rpc"])
def test_every_question_about_a_changed_version_ends_with_an_answer(stratum: str) -> None:
    answers = 0
    for path in paths():
        if path.parent.name != stratum:
            continue
        text = path.read_text()
        old = compile_text(text).programs
        for seed in SEEDS:
            new = version(text, seed)
            if new is not None and len(old) == 1:
                found = diff(old[0], new, world_of(old[0], new), LIMIT)
                assert all(c.example.old != c.example.new for c in found.changes)
                answers += 1
    assert answers >= 3
