# SPDX-License-Identifier: Apache-2.0
"""The files of a probe for a switch: the program with the blocks that the probe needs, and, where the kernel is known,
the entries of its tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from transect.core.ir import Program
from transect.emit.artifact import Artifact
from transect.emit.c.names import snake
from transect.memory.chaser.lower import KINDS, Kept, Lowered
from transect.memory.chaser.steps import Step
from transect.memory.chaser.walk_sites import Site, sites
from transect.memory.p4 import entries
from transect.memory.p4.budget import Budget, Usage, usage
from transect.memory.p4.syntax import parse, resolve


class DoesNotFit(Exception):
    """A switch cannot walk for this probe; the text names the read that does not fit, and why."""


def walked(program: Program) -> tuple[Site, ...]:
    """The walks of a probe that a switch can do.  Raises `DoesNotFit`."""
    found = sites(program)
    good = tuple(s for s in found if s.layout.kind in KINDS and s.layout.inner is None)
    if not good:
        there = ", ".join(f"{s.text} ({s.layout.kind}, line {s.line})" for s in found)
        raise DoesNotFit(
            f"{program.name} walks no list that a switch can walk: {there or 'it walks nothing'}"
        )
    return good


def blocks(of: Sequence[Site]) -> tuple[str, ...]:
    """The blocks of the program that they need.  Any address may turn out to be behind page tables."""
    named = {s.fills[0] for s in of if s.fills is not None}
    asks = any(s.filter.unlisted is not None and s.filter.unlisted[1] in named for s in of)
    tests = any(s.filter.compared for s in of)
    return ("PAGES", *(("SETS",) if asks else ()), *(("TESTS",) if tests else ()))


def text(needed: Collection[str], about: str) -> str:
    """The program with these blocks."""
    head, _, rest = resolve(entries.SOURCE.read_text(), needed).partition("\n")
    return f"{head}\n/* {about} */\n{rest}"


def artifact(program: Program) -> Artifact:
    """The files for a probe whose kernel is not known yet.  Raises `DoesNotFit`."""
    found = walked(program)
    needed = blocks(found)
    check(usage(parse(text(needed, "")), Budget.of().alu_bits), Budget.of(), found[0].text)
    about = f"{program.name} of {program.path.rpartition('/')[2]}, {program.source_hash[:16]}: {', '.join(needed)}"
    return Artifact({f"{snake(program.name)}.p4": text(needed, about).encode()})


def check(taken: Usage, budget: Budget, read: str) -> None:
    """Raises `DoesNotFit`."""
    for problem in taken.exceeds(budget):
        raise DoesNotFit(f"{read} does not fit into the switch `{budget.name}`: {problem}")


def fit(walks: Sequence[Lowered | Kept], budget: Budget) -> tuple[Usage, tuple[str, ...]]:
    """What the chains of a probe take of the switch, and the blocks that they need.  Raises `DoesNotFit`, naming the
    read.
    """
    chains = [w.chain for w in walks if isinstance(w, Lowered)]
    if not chains:
        reasons = "; ".join(f"{w.site.text}: {w.why}" for w in walks if isinstance(w, Kept))
        raise DoesNotFit(reasons or "nothing is walked")
    steps = [(c.name, s) for c in chains for s in c.steps]
    have: list[str] = []
    taken = usage(parse(text(have, "")), budget.alu_bits)
    check(taken, budget, _named(*steps[0]))
    for block, first in _firsts(steps):
        have.append(block)
        taken = usage(parse(text(have, "")), budget.alu_bits)
        check(taken, budget, f"{_named(*first)} ({block.lower()})")
    room = taken.tables["arrivals"]
    if len(steps) > room:
        raise DoesNotFit(f"{_named(*steps[room])} does not fit: the table of steps has {room} entries")
    return taken, tuple(have)


def _firsts(steps: Sequence[tuple[str, Step]]) -> list[tuple[str, tuple[str, Step]]]:
    """Blocks, each with the first read that needs it."""
    sets = [n for n in steps if n[1].inserts is not None or n[1].outside is not None]
    tests = [n for n in steps if n[1].tests]
    by_block = (("PAGES", steps), ("SETS", sets), ("TESTS", tests))
    return [(block, named[0]) for block, named in by_block if named]


def _named(walk: str, step: Step) -> str:
    return f"the read of `{step.why}` in {walk}"


def commands(walks: Sequence[Lowered | Kept]) -> str:
    """The entries of a probe's chains, for the reference switch's command line."""
    rows, _ = entries.of_chains([w.chain for w in walks if isinstance(w, Lowered)])
    return "".join(row.command + "\n" for row in rows)
