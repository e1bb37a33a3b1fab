# SPDX-License-Identifier: Apache-2.0
"""What a stratum adds to the language in BPF: its views, and what its functions are in C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from transect.core import ir
from transect.core.types import Type
from transect.emit.c import tree as c


class Platform(Protocol):
    """A place in the kernel where handlers run."""

    def view_type(self, t: Type) -> c.CType:
        """What a view, or a key, of that type is in C."""
        ...

    def view_field(self, view: str, name: str, base: c.Expr) -> c.Expr:
        """A field of a view."""
        ...

    def intrinsic(self, e: ir.Intrinsic, args: Sequence[c.Expr]) -> c.Expr:
        """A call of one of the stratum's functions; `args` are its arguments, but for texts."""
        ...

    def given(self, field: ir.StateField) -> c.Expr:
        """A field that the adapter keeps."""
        ...

    def now(self) -> c.Expr:
        """The time of this call."""
        ...
