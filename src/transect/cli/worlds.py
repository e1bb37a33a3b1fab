# SPDX-License-Identifier: Apache-2.0
"""What proofs about policies of each stratum assume about data from outside."""

from __future__ import annotations

from transect.analysis.prove import WorldOf
from transect.analysis.world import World
from transect.core.ir import Program


def world_of(*programs: Program) -> WorldOf:
    """A world for each hook of a policy, or of two versions of one."""
    if all(p.base == "rpc.Element" for p in programs):
        from transect.rpc.equivalence.any_service import AnyService

        return lambda hook: AnyService(hook, programs)
    if all(p.base == "cpu.Scheduler" for p in programs):
        from transect.cpu.outside import Kernel

        return Kernel
    if all(p.base in ("llm.Admission", "Arbiter") for p in programs):
        from transect.llm.outside import Engine

        return Engine
    return World
