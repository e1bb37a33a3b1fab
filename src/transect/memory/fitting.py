# SPDX-License-Identifier: Apache-2.0
"""Which of several layouts a kernel has: structures move from one version of Linux to another."""

from __future__ import annotations

from dataclasses import replace

from transect.linux.btf import Btf
from transect.linux.btf import Type as KernelType
from transect.linux.errors import KernelDataError
from transect.linux.kallsyms import Symbols
from transect.memory.layout import Layout
from transect.memory.paths import resolve, root


def fitting(found: Layout, btf: Btf, symbols: Symbols, struct: KernelType | None = None) -> Layout:
    """The layout with the first of each `either` whose names this kernel has, else the last: whoever binds that one to
    the kernel says what is lacking.  `struct`: what its paths begin in.
    """
    if found.kind == "together":
        parts = [fitting(part, btf, symbols, struct) for part in found.parts]
        return replace(found, parts=tuple(p for part in parts for p in (part.parts or (part,))))
    if found.kind != "either":
        return found
    *others, last = found.parts
    for part in others:
        try:
            return _whole(fitting(part, btf, symbols, struct), btf, symbols, struct)
        except KernelDataError:
            continue
    return fitting(last, btf, symbols, struct)


def _whole(found: Layout, btf: Btf, symbols: Symbols, struct: KernelType | None) -> Layout:
    """The layout itself.  Raises `KernelDataError` when the kernel has not all that its paths name."""
    for part in found.parts:
        _whole(part, btf, symbols, struct)
    if found.parts:
        return found
    if found.inner is not None:
        _whole(found.inner, btf, symbols, struct)
        resolve(btf, btf.struct(found.inner.of), found.path)
    elif struct is not None:
        resolve(btf, struct, found.path)
    else:
        symbols.address(root(btf, found.path).symbol)
    return found
