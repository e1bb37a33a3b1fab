# SPDX-License-Identifier: Apache-2.0
"""Where each part of a probe runs, and what it costs there: for `transect memory plan`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from transect.base.counted import counted
from transect.core.ir import Program
from transect.memory.chaser import tables
from transect.memory.chaser.lower import XDP, Kept, Lowered, lower
from transect.memory.chaser.walk_sites import sites
from transect.memory.machine import Machine
from transect.memory.p4 import entries
from transect.memory.p4.budget import Budget
from transect.memory.p4.compiled import DoesNotFit, commands, fit, text
from transect.memory.views import Views


@dataclass(frozen=True)
class Placed:
    """A probe's walks, in XDP and in a switch."""

    xdp: tuple[Lowered | Kept, ...]
    switch: tuple[Lowered | Kept, ...]
    others: tuple[
        str, ...
    ]  # calls that are made any number of times, or never; these are left to the observer
    budget: Budget
    levels: int

    @staticmethod
    def of(program: Program, machine: Machine, budget: Budget) -> Placed:
        """Raises `KernelDataError`."""
        views = Views(program, machine)
        walked = {site.name for site in sites(program)}
        silent = ("memory.Probe.report", "memory.Probe.caught", "memory.Probe.show")
        names = [d.name for d in program.intrinsics if d.name not in walked and d.name not in silent]
        others = tuple(f"{name.rpartition('.')[2]}()" for name in names)
        on_switch = lower(program, views, entries.P4)
        return Placed(lower(program, views, XDP), on_switch, others, budget, machine.where.levels)

    @property
    def problem(self) -> str:
        """Why a switch cannot do the probe's walks; empty if it can."""
        try:
            fit(self.switch, self.budget)
        except DoesNotFit as wrong:
            return str(wrong)
        return ""

    def files(self) -> dict[str, str]:
        """The program and the entries for a switch.  Raises `DoesNotFit`."""
        _, needed = fit(self.switch, self.budget)
        return {"chaser.p4": text(needed, ", ".join(needed)), "entries.txt": commands(self.switch)}

    def lines(self) -> Iterator[str]:
        """For people."""
        yield from self._walks("XDP", self.xdp)
        steps = sum(len(w.chain.steps) for w in self.xdp if isinstance(w, Lowered))
        if steps:
            yield f"    {steps} of {tables.STEPS} steps; 2 packets of user space a walk"
        yield from self._walks(f"switch `{self.budget.name}`", self.switch)
        yield from (f"    {line}" for line in self._switch())
        if self.others:
            yield f"  by the observer: {', '.join(self.others)}"

    def _walks(self, where: str, walks: tuple[Lowered | Kept, ...]) -> Iterator[str]:
        yield f"  in the network, {where}:"
        for one in walks:
            if isinstance(one, Kept):
                yield f"    {one.site.text}: by the observer, since {one.why}"
                continue
            loop = [s for s in one.chain.steps if s.keeps]
            yield (
                f"    {one.site.text}: {counted(len(loop), 'hop')} an element; {self.levels} more for each read"
                " of a page that is found through page tables"
            )
            for step in loop:
                extra = ", tested" if step.tests else ""
                extra += ", into a set" if step.inserts is not None else ""
                extra += ", unless in a set" if step.outside is not None else ""
                yield f"      READ of {counted(step.length, 'byte')}: {step.why}{extra}"
            if one.tested or one.left:
                yield f"      conditions: {one.tested} on the way, {one.left} by the observer"

    def _switch(self) -> Iterator[str]:
        budget = self.budget
        try:
            taken, needed = fit(self.switch, budget)
        except DoesNotFit as wrong:
            yield f"does not fit: {wrong}"
            return
        steps = sum(len(w.chain.steps) for w in self.switch if isinstance(w, Lowered))
        bits = sum(taken.registers.values())
        yield (
            f"{taken.ingress_stages} of {budget.ingress_stages} stages in the ingress, {taken.egress_stages} of"
            f" {budget.egress_stages} in the egress (longest chain of operations); {', '.join(needed).lower()}"
        )
        yield (
            f"{len(taken.tables)} tables, {steps} of {taken.tables['arrivals']} steps; {len(taken.registers)}"
            f" registers of {bits // 8:,} bytes, {max(taken.accesses.values())} access to each by a packet"
        )
        yield f"{taken.header_bits} bits of headers, {taken.metadata_bits} of metadata, of {budget.header_bits}"
