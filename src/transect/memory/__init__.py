# SPDX-License-Identifier: Apache-2.0
"""Introspection of another machine's kernel memory: probes, views of kernel structures, targets."""

from transect.memory.hooks import (
    Probe,
    Struct,
    Symbols,
    array,
    at,
    chain,
    hashed,
    hlist,
    idr,
    latch,
    listed,
    maple,
    percpu,
    pointers,
    tree,
)

__all__ = [
    "Probe",
    "Struct",
    "Symbols",
    "array",
    "at",
    "chain",
    "hashed",
    "hlist",
    "idr",
    "latch",
    "listed",
    "maple",
    "percpu",
    "pointers",
    "tree",
]
