# SPDX-License-Identifier: Apache-2.0
"""A scan as a table, as JSON, as SARIF.  Each says what was not checked, and whether the kernel's package was there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from transect.base.counted import counted
from transect.memory.findings import Result, Said, Scan, Verdict, printable, shown

UNANCHORED = "unanchored: symbols and types are the target's own word; give its kernel's image by --kernel"
OLDEST = 6, 1  # the oldest Linux that the probes which come with transect are tested on
OLDER = (
    "older than Linux 6.1, the oldest that transect's own probes know: they may report what is usual there"
)
SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def table(scan: Scan, values: bool = False) -> str:
    """For people.  `values`: also what probes show."""
    return "\n".join(_lines(scan, values))


def _lines(scan: Scan, values: bool) -> Iterator[str]:
    yield f"{scan.target}: Linux {scan.release}{'' if scan.anchored else ' (unanchored)'}"
    width = max((len(r.probe) for r in scan.results), default=5)
    for r in scan.results:
        cost = f"{counted(r.rounds, 'round')}, {counted(r.reads, 'read')}, {r.seconds * 1e3:.1f} ms"
        yield f"  {r.probe:{width}}  {r.verdict:9}  {cost}"
        for said in r.findings:
            yield f"  {'':{width}}  ! {_said(said)}"
        for said in r.unstable:
            yield f"  {'':{width}}  ? {_said(said)} (not confirmed)"
        if r.problem:
            yield f"  {'':{width}}  not checked: {r.problem}"
        for said in r.shown if values else ():
            yield f"  {'':{width}}  {_said(said)}"
    yield summary(scan)
    if not scan.anchored:
        yield UNANCHORED
    if older(scan.release):
        yield OLDER


def older(release: str) -> bool:
    """Whether a kernel is older than those that the probes know: `5.10.0-32-amd64`."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST


def summary(scan: Scan) -> str:
    """One line."""
    found = len(scan.findings)
    clean = sum(r.verdict is Verdict.CLEAN for r in scan.results)
    parts = [counted(found, "finding"), f"{clean} of {len(scan.results)} probes clean"]
    if scan.unchecked:
        parts.append(f"not checked: {', '.join(r.probe for r in scan.unchecked)}")
    return "; ".join(parts)


def _said(said: Said) -> str:
    evidence = "  ".join(f"{name}={shown(name, value)}" for name, value in said.evidence)
    return f"{said.what}  {evidence}".rstrip()


def to_json(scan: Scan) -> str:
    """For programs."""
    return json.dumps(plain(scan), indent=2, ensure_ascii=False)


def plain(scan: Scan) -> dict[str, Any]:
    """The scan in types that JSON has."""
    return {
        "target": scan.target,
        "kernel": scan.release,
        "anchored": scan.anchored,
        "probes": [_result(r) for r in scan.results],
    }


def _result(r: Result) -> dict[str, Any]:
    return {
        "probe": r.probe,
        "verdict": str(r.verdict),
        "findings": [_plain(s) for s in r.findings],
        "unstable": [_plain(s) for s in r.unstable],
        "shown": [_plain(s) for s in r.shown],
        "problem": r.problem,
        "rounds": r.rounds,
        "reads": r.reads,
        "seconds": round(r.seconds, 6),
    }


def _plain(said: Said) -> dict[str, Any]:
    return {"what": said.what, "evidence": {name: printable(value) for name, value in said.evidence}}


def to_sarif(scan: Scan) -> str:
    """For viewers of findings: one rule for each probe; a probe that could not check is a result of its own."""
    rules = [{"id": r.probe, "shortDescription": {"text": r.probe}} for r in scan.results]
    results = [_sarif(r, s, "error", f"{_said(s)}") for r in scan.results for s in r.findings]
    results += [_sarif(r, None, "warning", f"not checked: {r.problem}") for r in scan.unchecked]
    run = {
        "tool": {"driver": {"name": "transect", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "properties": {"target": scan.target, "kernel": scan.release, "anchored": scan.anchored},
        "results": results,
    }
    return json.dumps({"$schema": SARIF, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2)


def _sarif(r: Result, said: Said | None, level: str, text: str) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": r.path}}
    if r.line:
        location["region"] = {"startLine": r.line}
    return {
        "ruleId": r.probe,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
        "properties": {"evidence": {n: printable(v) for n, v in said.evidence} if said else {}},
    }
