# SPDX-License-Identifier: Apache-2.0
"""What a probe defines and uses.  The compiler reads this file as text; type checkers and tests import it.

| hook   | runs                        | returns |
|--------|-----------------------------|---------|
| `scan` | once for each round         | nothing |

What `report` says is a finding when it is said again after the kernel has gone on; what `caught` says, when the next
round says it; what `show` says is information.
"""

from __future__ import annotations

from transect.lang import Policy, View, intrinsic, u64
from transect.memory.layout import (  # part of the interface
    array,
    at,
    chain,
    either,
    hashed,
    hlist,
    idr,
    latch,
    listed,
    maple,
    offsets,
    percpu,
    pointers,
    single,
    together,
    tree,
)

SCOPES = ("instance",)
LIBRARY = ("linux",)  # modules of views and functions besides this one


class Struct(View):
    """A structure of the kernel, through the fields that a probe reads.

    `class Cred(Struct, of="cred")` is a view of `struct cred`; without `of` a class is named like the structure.  A
    field is found by its name, or as `transect.memory.layout` says behind `=`.  Its layout comes from the BTF of the
    kernel that is read.
    """

    address: u64
    """Its virtual address."""

    def __init_subclass__(cls, *, of: str = "", writable: bool = False) -> None:
        super().__init_subclass__()


class Symbols(View):
    """Things of the kernel that have names of their own: each field says which, behind `=`.

    A probe has one as `kernel: MySymbols = given()`.
    """


class Probe(Policy):
    """Looks at another machine's kernel."""

    def scan(self) -> None:
        """Look once."""
        raise NotImplementedError

    @intrinsic(effect="report")
    def report(self, what: str, /, **evidence: object) -> None:
        """Something is not as it should be."""

    @intrinsic(effect="report")
    def caught(self, what: str, /, **evidence: object) -> None:
        """Something is as it never is, not even in the middle of a change: the next round confirms it."""

    @intrinsic(effect="report")
    def show(self, what: str, /, **values: object) -> None:
        """Something that is worth seeing."""


__all__ = [
    "Probe",
    "Struct",
    "Symbols",
    "array",
    "at",
    "chain",
    "either",
    "hashed",
    "hlist",
    "idr",
    "latch",
    "listed",
    "maple",
    "offsets",
    "percpu",
    "pointers",
    "single",
    "together",
    "tree",
]
