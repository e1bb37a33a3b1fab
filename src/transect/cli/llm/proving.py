# SPDX-License-Identifier: Apache-2.0
"""What `transect prove` says of a policy which chooses whose request an LLM engine runs next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from transect.core.ir import Program
from transect.llm.lemma.claims import Claim, Part, Verdict, claims
from transect.llm.lemma.traces import Tight, tightness, with_traces
from transect.llm.policies import load, runs_here

__all__ = ["Steps", "Verdict", "plain", "shown", "steps"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of docs/fairness.md for one policy."""

    policy: str
    claims: list[Claim]
    tight: Tight | None

    @property
    def fair(self) -> bool:
        """Whether it promises fairness at all: `pick` orders clients by a counter of service."""
        return any(c.part is Part.FAIRNESS for c in self.claims)

    @property
    def broken(self) -> bool:
        return any(c.verdict is Verdict.BROKEN for c in self.claims)

    @property
    def decided(self) -> bool:
        """Whether nothing is left open.  A proof that the second one did not confirm leaves its claim open."""
        return not any(c.verdict is Verdict.UNKNOWN or c.rechecked is False for c in self.claims)


def steps(path: Path, program: Program, limit: float, recheck: bool) -> Steps | None:
    """None for a policy that this stratum cannot run."""
    if not runs_here(program):
        return None
    policy = load(f"{path}:{program.name}")
    found = with_traces(policy, claims(policy.program, limit, recheck=recheck))
    proved = all(c.verdict is Verdict.PROVED and c.rechecked is not False for c in found)
    fair = any(c.part is Part.FAIRNESS for c in found)
    return Steps(program.name, found, tightness(policy) if proved and fair else None)


def shown(found: Steps) -> Iterator[str]:
    """For people, line by line."""
    yield f"{found.policy} in an LLM engine (docs/fairness.md)"
    for claim in found.claims:
        why = ": asked in another way, the solver did not confirm it" if claim.rechecked is False else ""
        yield f"  {claim.verdict:8} {claim.part:17} {claim.hook:8} {claim.says}{why}"
        more = [claim.why] if claim.verdict is Verdict.UNKNOWN else claim.trace.splitlines()
        yield from (f"           {line}" for line in more)
    again = [claim.rechecked for claim in found.claims if claim.rechecked is not None]
    if again:
        yield f"  {sum(again)} of {len(again)} proofs confirmed by a second one"
    if not found.fair:
        yield "  no fairness is promised: `pick` orders clients by no counter of service"
    if found.tight is not None:
        yield f"  {found.tight}"


def plain(found: Steps) -> dict[str, object]:
    """For programs."""
    return {
        "policy": found.policy,
        "steps": [asdict(claim) for claim in found.claims],
        "tight": None if found.tight is None else asdict(found.tight),
    }
