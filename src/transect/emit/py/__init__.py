# SPDX-License-Identifier: Apache-2.0
"""Emitted Python: the class of a policy that is built under CPython, and the same as text, to be read or shipped."""

from __future__ import annotations

from transect import __version__
from transect.base.diagnostic import Diagnostic
from transect.core.ir import Program
from transect.emit.artifact import Artifact


class PythonEmitter:
    """The target `py`."""

    passes = ()  # Python has an expression or statement for every node

    def refuses(self, program: Program) -> list[Diagnostic]:
        """Nothing: Python can mean whatever the interpreter does."""
        return []

    def emit(self, program: Program) -> Artifact:
        """One file, `<name>.py`, which needs transect and nothing else."""
        from transect.emit.py.text import text_of

        return Artifact({f"{program.name.lower()}.py": text_of(program, __version__).encode()})


emitter = PythonEmitter()
