# SPDX-License-Identifier: Apache-2.0
"""What a probe will read, before it reads anything: for each container, how many reads an element takes, and how many
of them must wait for another (*hops*).

Fields of a structure that stand close together come by one read, together with the link of the container where that is
near, too.  Without this plan each field, and each link, would be a read of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from transect.base.counted import counted
from transect.core import ir
from transect.core.types import SeqType, Type, ViewType
from transect.memory.fitting import fitting
from transect.memory.layout import Layout
from transect.memory.machine import Machine
from transect.memory.roots import layouts_of_roots
from transect.memory.views import Views

WALKED = {
    "listed": "list",
    "hlist": "hlist",
    "chain": "chain",
    "tree": "red-black tree",
    "latch": "latched tree",
    "idr": "IDR",
    "maple": "maple tree",
    "hashed": "hash table",
    "array": "array",
    "pointers": "array of pointers",
    "offsets": "array of distances",
    "percpu": "one a processor",
    "single": "one structure",
}
DEPENDENT = frozenset({"listed", "hlist", "chain"})  # each element leads to the next


@dataclass(frozen=True)
class Walk:
    """A container that a probe walks."""

    name: str
    container: str
    view: str
    together: int  # bytes that one read of an element fetches; 0 if nothing of the element is read
    fields: tuple[str, ...]  # that come by this read
    # Fields behind the same pointers, and their further reads
    behind: tuple[tuple[tuple[str, ...], int], ...]
    linked: bool  # whether the link comes by the same read
    dependent: bool  # whether an element is known only after the one before it has been read

    @property
    def reads(self) -> int:
        """Reads for each element."""
        own = 1 if self.together or self.linked else 0
        return own + sum(n for _, n in self.behind)

    @property
    def unplanned(self) -> int:
        """Reads for each element if each field and each link had a read of its own."""
        links = 1 if self.dependent else 0
        return links + len(self.fields) + sum(len(names) * (n + 1) for names, n in self.behind)

    @property
    def hops(self) -> int:
        """Reads of an element that wait for one another."""
        return (1 if self.together or self.linked else 0) + max((n for _, n in self.behind), default=0)


@dataclass(frozen=True)
class Plan:
    """A probe's reads."""

    probe: str
    release: str
    walks: tuple[Walk, ...]
    questions: tuple[str, ...]  # functions that are answered from symbols, code and tables


def plan(program: ir.Program, machine: Machine) -> Plan:
    """Raises `KernelDataError` which names what this kernel does not have."""
    views = Views(program, machine)
    roots = layouts_of_roots()
    walks: list[Walk] = []
    questions: list[str] = []
    for declared in program.intrinsics:
        name = declared.name.removeprefix("memory.")
        if declared.name in roots:
            walks += _walks(f"{name}()", roots[declared.name], declared.returns, views)
        elif not name.startswith("Probe."):
            questions.append(name)
    for view, bounds in views.bounds.items():
        for bound in bounds:
            if bound.layout is not None:
                walks += _walks(f"{view}.{bound.name}", bound.layout, bound.type, views)
    return Plan(program.name, machine.known.release, tuple(walks), tuple(questions))


def _walks(name: str, found: Layout, t: Type, views: Views) -> Iterator[Walk]:
    chosen = fitting(found, views.btf, views.machine.known.symbols)
    parts = chosen.parts or (chosen,)
    for part in parts:
        kind = WALKED.get(part.kind, part.kind)
        if part.inner is not None:
            kind += f" in each element of {WALKED.get(part.inner.kind, part.inner.kind)}"
        item = t.item if isinstance(t, SeqType) else t
        view = item.name if isinstance(item, ViewType) else ""
        together = views.together(view) if view else 0
        bounds = [b for b in views.bounds.get(view, ()) if b.path is not None]
        near = tuple(b.name for b in bounds if b.path is not None and len(b.path.offsets) == 1)
        behind: dict[tuple[int, ...], tuple[str, ...]] = {}
        for b in bounds:
            if b.path is not None and len(b.path.offsets) > 1:
                pointers = b.path.offsets[:-1]
                behind[pointers] = (*behind.get(pointers, ()), b.name)
        linked = part.kind in DEPENDENT
        further = tuple((names, len(pointers)) for pointers, names in behind.items())
        yield Walk(name, kind, view, together, near, further, linked, linked)


def text(made: Plan) -> str:
    """For people."""
    return "\n".join(_lines(made))


def _lines(made: Plan) -> Iterator[str]:
    yield f"{made.probe} on Linux {made.release}"
    for walk in made.walks:
        yield (
            f"  {walk.name}: {walk.container} of {walk.view or 'values'}; an element takes"
            f" {counted(walk.reads, 'read')} in {counted(walk.hops, 'hop')} (unplanned: {walk.unplanned})"
        )
        if walk.fields or walk.together:
            yield f"    one read of {walk.together} bytes: {', '.join(walk.fields) or 'the link'}"
        for names, count in walk.behind:
            yield f"    behind pointers, {count} more: {', '.join(names)}"
        if walk.dependent:
            yield "    each element is known when the one before it has been read"
    if made.questions:
        yield f"  asks: {', '.join(made.questions)}"
