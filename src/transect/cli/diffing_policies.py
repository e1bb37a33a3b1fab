# SPDX-License-Identifier: Apache-2.0
"""What `transect diff` does with two versions of a file of policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from transect.analysis.diff import Change, Difference
from transect.analysis.diff import diff as differences
from transect.analysis.shown import content
from transect.base.counted import counted
from transect.cli.compiling import read
from transect.cli.exits import Exit
from transect.cli.worlds import world_of
from transect.core.ir import Program


def diff_policies(old: Path, new: Path, limit: float, as_json: bool) -> int:
    """Raises Refused."""
    found, alone = different(read(old).programs, read(new).programs, limit)
    if as_json:
        print(json.dumps(plain(found, alone), indent=2))
    else:
        print("\n".join(text(found, alone)))
    if alone or any(d.changes for _, _, d in found):
        return Exit.NO
    return Exit.UNKNOWN if any(d.open for _, _, d in found) else Exit.DONE


Found = list[tuple[Program, Program, Difference]]


def different(old: tuple[Program, ...], new: tuple[Program, ...], limit: float) -> tuple[Found, list[str]]:
    """How the policies of two versions differ, and which policies only one version has."""
    pairs, alone = _pairs(old, new)
    return [(a, b, differences(a, b, world_of(a, b), limit)) for a, b in pairs], alone


def _pairs(
    old: tuple[Program, ...], new: tuple[Program, ...]
) -> tuple[list[tuple[Program, Program]], list[str]]:
    """The two versions of each policy, paired by name (or as the only policies of their files), and what became of the
    policies that only one file has."""
    if len(old) == len(new) == 1:
        return [(old[0], new[0])], []
    there = {p.name: p for p in new}
    pairs = [(p, there[p.name]) for p in old if p.name in there]
    both = {p.name for p, _ in pairs}
    gone = [f"{p.name} is gone" for p in old if p.name not in both]
    return pairs, [*gone, *(f"{p.name} is new" for p in new if p.name not in both)]


def text(found: Found, alone: list[str]) -> Iterator[str]:
    yield from alone
    for old, _, difference in found:
        for change in difference.changes:
            yield from _change(old.name, change)
            yield ""
        yield from (f"not decided: {old.name}, {why}" for why in difference.open)
        if difference.same:
            yield f"{old.name}: no input gives another result (proved)"
        elif difference.changes:
            kinds = len(difference.changes)
            yield f"{old.name}: {counted(kinds, 'kind')} of difference"


def _change(name: str, change: Change) -> Iterator[str]:
    example = change.example
    yield f"{name}.{change.hook}: {change.kind}"
    yield f"  {change.old.span.path}:{change.old.span.line} and {change.new.span.path}:{change.new.span.line}"
    for field, value in example.state.items():
        yield f"  self.{field} = {content(value)}"
    for parameter, shown in example.args.items():
        yield f"  {parameter} = {shown}"
    if example.facts:
        yield f"  {example.facts}"
    yield f"  old: {example.old}"
    yield f"  new: {example.new}"


def plain(found: Found, alone: list[str]) -> dict[str, object]:
    return {
        "complete": not any(d.open for _, _, d in found),
        "alone": alone,
        "policies": [
            {
                "policy": old.name,
                "same": d.same,
                "open": d.open,
                "changes": [
                    {
                        "hook": c.hook,
                        "kind": c.kind,
                        "state": {k: content(v) for k, v in c.example.state.items()},
                        "arguments": c.example.args,
                        "facts": c.example.facts,
                        "old": c.example.old,
                        "new": c.example.new,
                    }
                    for c in d.changes
                ],
            }
            for old, _, d in found
        ],
    }
