# SPDX-License-Identifier: Apache-2.0
"""Of containers that move from one kernel to another, the one whose names a kernel has is walked."""

from __future__ import annotations

from typing import cast

from tests.unit.linux.types import Writer
from transect.linux.btf import Btf
from transect.linux.kallsyms import Symbols
from transect.memory.fitting import fitting
from transect.memory.layout import Layout, either, listed, together

OWN = cast(Layout, listed("all", by="list"))
OF_NET = cast(Layout, listed(listed("nets", by="list", of="net"), "all", by="list"))
MOVED = cast(Layout, either(OWN, OF_NET))


def a_kernel(*, of_net: bool) -> tuple[Btf, Symbols]:
    """One that keeps the list at a symbol, or in each network namespace."""
    w = Writer()
    head = w.struct("list_head", 16, [])
    w.struct("net", 64, [("list", head, 0), *([("all", head, 16)] if of_net else [])])
    names = (b"Dnets",) if of_net else (b"Dnets", b"Dall")
    return Btf(w.data()), Symbols(names, tuple(range(1, 1 + len(names))))


def test_the_first_that_the_kernel_has_is_taken() -> None:
    assert fitting(MOVED, *a_kernel(of_net=False)) == OWN
    assert fitting(MOVED, *a_kernel(of_net=True)) == OF_NET


def test_within_others_too() -> None:
    joined = cast(Layout, together(OWN, MOVED, either(together(OF_NET, OF_NET), OWN)))
    assert fitting(joined, *a_kernel(of_net=False)).parts == (OWN, OWN, OWN)
    assert fitting(joined, *a_kernel(of_net=True)).parts == (OWN, OF_NET, OF_NET, OF_NET)


def test_where_none_fits_it_is_the_last() -> None:
    btf, _ = a_kernel(of_net=False)
    assert fitting(MOVED, btf, Symbols((), ())) == OF_NET
