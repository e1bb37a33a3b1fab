# SPDX-License-Identifier: Apache-2.0
"""Programs with their contracts: `contract_syntax.py` has made helpers of them, which are kept here."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path

from transect.core import ir
from transect.core.frontend import Compiled, compile_file
from transect.core.frontend.contract_syntax import PREFIX
from transect.core.frontend.policies import PolicyClass
from transect.core.ir import Program


@dataclass(frozen=True)
class Contract:
    kind: str  # requires, ensures, invariant
    hook: str  # "" of an invariant
    function: ir.Function


@dataclass(frozen=True)
class Contracted:
    """A program with its contracts as helpers."""

    program: Program
    contracts: tuple[Contract, ...]

    def of(self, kind: str, hook: str = "") -> tuple[Contract, ...]:
        return tuple(c for c in self.contracts if c.kind == kind and c.hook == hook)


class ContractClass(PolicyClass):
    """A policy class whose contracts are kept."""

    def _check_unused(self) -> None:
        for cls in self.lineage:
            for node in cls.node.body if not cls.module.library else ():
                if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIX):
                    self.helper_method(node.name, cls.module.source.header(node))
        super()._check_unused()


def compile_contracts(path: Path | str) -> Compiled:
    """The policies of a file, with contracts among their helpers."""
    return compile_file(path, policy=ContractClass)


def contracted(program: Program) -> Contracted:
    """The contracts among a program's helpers."""
    found = []
    for f in program.functions:
        if f.name.startswith(PREFIX):
            kind, _, rest = f.name.removeprefix(PREFIX).partition("_")
            hook = rest.partition("_")[2]
            found.append(Contract(kind, hook, f))
    return Contracted(program, tuple(found))


def bare(program: Program) -> Program:
    """The program without its contracts, as every target has it."""
    return replace(program, functions=tuple(f for f in program.functions if not f.name.startswith(PREFIX)))
