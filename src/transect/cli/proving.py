# SPDX-License-Identifier: Apache-2.0
"""What `transect prove` does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.analysis.prove import Example, Finding, Prover, Verdict
from transect.analysis.shown import content
from transect.analysis.solve import Answer, solver
from transect.base.counted import counted
from transect.base.diagnostic import Diagnostic, Label, Severity
from transect.base.formats import plain
from transect.base.render import render_text
from transect.cli.checking import in_color
from transect.cli.exits import Exit
from transect.cli.llm import proving as serving
from transect.cli.worlds import world_of
from transect.core.frontend.contracts import compile_contracts, contracted
from transect.core.ir import Program

CODES = {"ensures": "V001", "invariant": "V002"}
UNKNOWN = "V003"


@dataclass(frozen=True)
class Proof:
    """One promise of one policy, and what came of it."""

    program: Program
    finding: Finding
    rechecked: bool | None = None  # None: not asked again


def prove(path: Path, limit: float, recheck: bool, as_json: bool) -> int:
    solver()  # or say at once that it is missing
    compiled = compile_contracts(path)
    if compiled.diagnostics.failed:
        print(render_text(compiled.diagnostics, compiled.sources, color=in_color()))
        return Exit.NO
    proofs = [proof for program in compiled.programs for proof in _proofs(program, limit, recheck)]
    diagnostics = [d for proof in proofs if (d := diagnostic(proof)) is not None]
    served = [s for p in compiled.programs if (s := serving.steps(path, p, limit, recheck)) is not None]
    if as_json:
        found = _plain(proofs, diagnostics) | {"llm": [serving.plain(s) for s in served]}
        found["complete"] = found["complete"] and all(s.decided for s in served)
        print(json.dumps(found, indent=2))
    else:
        if diagnostics:
            print(render_text(diagnostics, compiled.sources, color=in_color()), end="\n\n")
        if proofs or not served:
            print(_summary(proofs, path))
        for policy in served:
            print("\n".join(serving.shown(policy)))
    return _exit(proofs, served)


def _proofs(program: Program, limit: float, recheck: bool) -> Iterator[Proof]:
    prover = Prover(contracted(program), world_of(program), limit)
    for finding in prover.run():
        proved = finding.verdict is Verdict.PROVED and finding.hook
        again = prover.recheck(finding) is Answer.NEVER if proved and recheck else None
        yield Proof(program, finding, again)


def _exit(proofs: list[Proof], served: Sequence[serving.Steps]) -> int:
    if any(p.finding.verdict is Verdict.BROKEN for p in proofs) or any(s.broken for s in served):
        return Exit.NO
    if not all(s.decided for s in served):
        return Exit.UNKNOWN
    if any(p.finding.verdict is Verdict.UNKNOWN or p.rechecked is False for p in proofs):
        return Exit.UNKNOWN
    return Exit.DONE


def diagnostic(proof: Proof) -> Diagnostic | None:
    """The diagnostic of a promise that is not proved."""
    found = proof.finding
    handler = proof.program.handler(found.hook)
    others = () if handler is None else (Label(handler.span, "by this handler"),)
    where = f"`{found.hook}`" if found.hook else "the state as declared"
    if found.verdict is Verdict.BROKEN:
        word = "what `ensures` says" if found.kind == "ensures" else "the invariant"
        note = "" if found.example is None else "\n".join(lines(found.example))
        message = f"{where} breaks {word}"
        return Diagnostic(
            Severity.ERROR, CODES[found.kind], message, found.span, "can be false", others, note=note
        )
    if found.verdict is Verdict.UNKNOWN or proof.rechecked is False:
        why = found.why or "asked in another way, the solver did not confirm it"
        message = f"neither proved nor broken at {where}: {why}"
        unfollowed = tuple(Label(span, _unfollowed(words)) for span, words in found.unfollowed.items())
        others = (*others, *unfollowed)
        return Diagnostic(
            Severity.WARNING, UNKNOWN, message, found.span, "not decided", others, help=_help(found)
        )
    return None


def _unfollowed(words: str) -> str:
    return words if words == "not followed" else f"{words}: any value is taken for it"


def _help(found: Finding) -> str:
    """What the user can do to get an answer; "" if nothing is known."""
    if found.late:
        return "give the solver more time: `--limit 60`"
    if any("entries of" in words for words in found.unfollowed.values()):
        return (
            "promise it of the entry that the call changes (`self.calls.get(user, 0) <= 10`), or keep the sum, the "
            "count or the largest in a field of its own, and promise it of that"
        )
    return ""


def lines(example: Example) -> Iterator[str]:
    """An example for people, a line for each thing."""
    for name, value in example.state.items():
        yield f"self.{name} = {content(value)}"
    for name, shown in example.args.items():
        yield f"{name} = {shown}"
    if example.facts:
        yield example.facts
    if example.result != "None":
        yield f"it returns {example.result}"
    for name, shown in example.after.items():
        yield f"and leaves self.{name} = {shown}"


def _summary(proofs: list[Proof], path: Path) -> str:
    if not proofs:
        return f"nothing to prove: {path} has no `requires`, `ensures` or `invariant`"
    counts = {v: sum(p.finding.verdict is v for p in proofs) for v in Verdict}
    parts = [f"{n} {v.value}" for v, n in counts.items() if n]
    again = [p.rechecked for p in proofs if p.rechecked is not None]
    begins = any(p.finding.verdict is Verdict.PROVED and not p.finding.hook for p in proofs)
    confirmed = f"; a second proof confirms {sum(again)} of {len(again)}" if again else ""
    if confirmed and begins:
        confirmed += ", and that it holds at the beginning was tested"
    promises = {(p.finding.span, p.program.name) for p in proofs}
    asked = counted(len(proofs), "time")
    return f"{counted(len(promises), 'promise')}, asked {asked}: {', '.join(parts)}{confirmed}"


def _plain(proofs: list[Proof], diagnostics: list[Diagnostic]) -> dict[str, object]:
    return {
        "complete": not any(p.finding.verdict is Verdict.UNKNOWN or p.rechecked is False for p in proofs),
        "proofs": [
            {
                "policy": p.program.name,
                "kind": p.finding.kind,
                "hook": p.finding.hook,
                "line": p.finding.span.line,
                "verdict": p.finding.verdict.value,
                "why": p.finding.why,
                "rechecked": p.rechecked,
                "example": None if p.finding.example is None else list(lines(p.finding.example)),
            }
            for p in proofs
        ],
        "diagnostics": [plain(d) for d in diagnostics],
    }
