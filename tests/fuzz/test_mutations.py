# SPDX-License-Identifier: Apache-2.0
"""Broken on purpose: each of these faults in an emitter, a pass or the runtime is noticed by the programs of
`make test` (`tests/fuzz/chosen.py`).  One that is not: raise `TIMES` there, and choose anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.fuzz import compare, native, sharing
from tests.fuzz.chosen import chosen
from tests.fuzz.compare import Machine
from transect.core.ir import CompareOp
from transect.core.passes import flatten
from transect.emit.c import layout, printer
from transect.emit.c.emitter import runtime
from transect.emit.py import arithmetic
from transect.emit.py import expressions as py_expressions

Patch = pytest.MonkeyPatch
PLAIN = ("-std=c11", "-O0", "-w", "-ffp-contract=off")  # for faults which need no sanitizer


def _everywhere(patch: Patch, rule: Callable[..., Any], other: Callable[..., Any]) -> None:
    """Another function in the place of a rule of lowering, wherever it was imported."""
    for name, module in list(sys.modules.items()):
        if name.startswith("transect.emit.c.") and getattr(module, rule.__name__, None) is rule:
            patch.setattr(module, rule.__name__, other)


def _wraps_nothing(patch: Patch) -> None:
    patch.setattr(arithmetic, "wrapped", lambda t, value: value)


def _shares_structs(patch: Patch) -> None:
    patch.setattr(py_expressions, "fresh", lambda e: True)


def _forgets_nan(patch: Patch) -> None:
    patch.setattr(arithmetic, "has_float", lambda t: False)


def _cuts_nothing_in_python(patch: Patch) -> None:
    patch.setattr(arithmetic, "narrowed", lambda x, t, e: x.plain(e))


def _compares_wrongly(patch: Patch) -> None:
    patch.setitem(arithmetic.COMPARISONS, CompareOp.LE, arithmetic.COMPARISONS[CompareOp.LT])


def _binds_or_too_tightly(patch: Patch) -> None:
    patch.setitem(printer._BINARY, "||", printer._BINARY["&&"])


def _cuts_nothing_in_c(patch: Patch) -> None:
    _everywhere(patch, layout.narrowed, lambda unit, t, value: value)


def _checks_no_bound(patch: Patch) -> None:
    _everywhere(patch, layout.fits, lambda unit, t, value: None)


def _keeps_no_text(patch: Patch) -> None:
    _everywhere(patch, layout.keep, lambda unit, t, value: value)


def _adds_as_c_does(patch: Patch) -> None:
    safe = b"{ return (int64_t)((uint64_t)a + (uint64_t)b); }"
    whole = runtime
    header = whole("transect.h")["transect.h"]
    assert header.count(safe) == 1
    broken = {"transect.h": header.replace(safe, b"{ return a + b; }")}
    patch.setattr(sharing, "runtime", lambda *names: {**whole(*names), **broken})


def _evaluates_operands_late(patch: Patch) -> None:
    patch.setattr(flatten._Flattener, "may_change", lambda self, value, later: False)


MUTATIONS: Mapping[str, tuple[Machine, Callable[[Patch], None], int]] = {
    "python: integers do not wrap": (compare.PYTHON, _wraps_nothing, 5),
    "python: structs are shared": (compare.PYTHON, _shares_structs, 116),
    "python: `not a < b` is `a >= b` with NaN, too": (compare.PYTHON, _forgets_nan, 646),
    "python: narrow integers are not cut": (compare.PYTHON, _cuts_nothing_in_python, 144),
    "python: `<=` is `<`": (compare.PYTHON, _compares_wrongly, 192),
    "c: the printer takes `||` to bind like `&&`": (compare.C, _binds_or_too_tightly, 4487),
    "c: narrow integers are not cut": (compare.C, _cuts_nothing_in_c, 238),
    "c: texts are stored beyond their bound": (compare.C, _checks_no_bound, 159),
    "c: texts stay slices of state that is written": (compare.C, _keeps_no_text, 158),
    "c: `int` overflows": (compare.C, _adds_as_c_does, 5),
    "flat: operands are evaluated after what changes them": (compare.FLAT, _evaluates_operands_late, 470),
}
"""Who shows the fault, what makes it, and which of those programs showed it last time: it is tried first."""
NEEDS_SANITIZERS = ("c: texts are stored beyond their bound", "c: `int` overflows")


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_emitter_is_noticed(name: str, monkeypatch: Patch) -> None:
    machine, break_, known = MUTATIONS[name]
    if machine is compare.C and name not in NEEDS_SANITIZERS:
        monkeypatch.setattr(native, "FLAGS", PLAIN)
        monkeypatch.setattr(native, "QUICK", ())
    break_(monkeypatch)
    assert _noticed(machine, known) is not None


def _noticed(machine: Machine, known: int) -> int | None:
    """The seed of the first program that shows something else than the definition."""
    for seeds in _batches(machine, known):
        cases = [compare.case(seed) for seed in seeds]
        for one, seen in zip(cases, machine(cases), strict=True):
            if seen != one.expected:
                return one.seed
    return None


def _batches(machine: Machine, known: int) -> Iterator[Sequence[int]]:
    seeds = chosen()
    if known in seeds:
        yield [known]
    size = 60 if machine is compare.C else 10  # programs at once
    for at in range(0, len(seeds), size):
        yield seeds[at : at + size]
