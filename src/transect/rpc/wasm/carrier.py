# SPDX-License-Identifier: Apache-2.0
"""What a WASM plugin can do, and which state it may have: a host runs a machine for each of its workers, and each
machine has a state of its own."""

from __future__ import annotations

from collections.abc import Iterator

from transect.base.diagnostic import Diagnostics
from transect.core.effects import effects
from transect.core.ir import FieldKind, Program, StateField
from transect.core.types import CounterType, HistogramType
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.carrier import Can

WASM = Can("a WASM plugin", route=True, respond=False, by_worker=True)


def _changed(program: Program) -> Iterator[StateField]:
    """Fields which handlers change, but for sums that no handler reads: those add up over workers."""
    touched = [effects(program, handler) for handler in program.handlers if not handler.default]
    written = frozenset[str]().union(*(t.written_fields for t in touched))
    read = frozenset[str]().union(*(t.read_fields for t in touched))
    for field in program.state:
        if field.kind is not FieldKind.STATE or field.name not in written:
            continue
        sums = field.options.merge == "sum" or isinstance(field.type, CounterType | HistogramType)
        if not sums or field.name in read:
            yield field


def divided(program: Program) -> Iterator[StateField]:
    """Changed fields that would mean something else if each worker had its own."""
    return (field for field in _changed(program) if field.options.scope != "worker")


def each_its_own(program: Program) -> Iterator[StateField]:
    """Changed fields of which each worker is meant to have its own."""
    return (field for field in _changed(program) if field.options.scope == "worker")


def workers_for(binding: Binding, asked: int | None) -> int | None:
    """How many workers the host gets: one, when some state must not be divided and no number was asked for."""
    divides = any(True for element in binding.elements for _ in divided(element.program))
    return 1 if asked is None and divides else asked


def check_copies(binding: Binding, workers: int | None, diagnostics: Diagnostics) -> None:
    """Report state that more than one worker would divide.  `workers` None: as many as the machine has cores."""
    if workers == 1:
        return
    for element in binding.elements:
        for field in divided(element.program):
            diagnostics.error(
                "R023",
                f"each worker would have a `{field.name}` of its own",
                field.span,
                label="changed by handlers, and one for all",
                help='one worker (`--workers 1`), native code in Envoy, or `scope="worker"` if that is meant',
            )
