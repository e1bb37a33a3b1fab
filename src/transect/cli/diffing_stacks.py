# SPDX-License-Identifier: Apache-2.0
"""`transect diff` of two stack files: what becomes of each part, and how the policies of changed parts differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from transect.base.render import render_text
from transect.cli.compiling import Refused
from transect.cli.exits import Exit
from transect.stack.changes import Change, What, changes
from transect.stack.file import read_stack
from transect.stack.model import StackFile

Diff = Callable[[Path, Path], int]
"""Prints how two policies or chains differ; the exit code."""


def diff_stacks(old: Path, new: Path, as_json: bool, diff: Diff) -> int:
    """Raises `Refused` for a file with mistakes."""
    before = _stack(old)
    after = _stack(new, before.name)
    found = changes(before, after)
    other = weights(before, after)
    if as_json:
        print(json.dumps({"parts": {change.name: change.what.value for change in found}, "weights": other}))
        return Exit.NO if other or any(change.what is not What.SAME for change in found) else Exit.DONE
    codes = [_part(change, diff) for change in found]
    for name, (was, now) in other.items():
        print(f"tenant {name}: weight {was or 'none'} → {now or 'none'}")
    return _worst([*codes, Exit.NO] if other else codes)


def weights(before: StackFile, after: StackFile) -> dict[str, tuple[int | None, int | None]]:
    """Old and new weight of each tenant whose weight changes; None if the version does not name the tenant."""
    names = dict.fromkeys([*before.weights, *after.weights])
    pairs = {name: (before.weights.get(name), after.weights.get(name)) for name in names}
    return {name: (was, now) for name, (was, now) in pairs.items() if was != now}


def _part(change: Change, diff: Diff) -> int:
    print(f"{change.name}: {change.what.value}")
    if change.what is not What.UPGRADED:
        return Exit.DONE if change.what is What.SAME else Exit.NO
    assert change.old is not None and change.new is not None, "a part of both versions"
    if change.old.policy is None or change.new.policy is None:
        return Exit.NO
    return diff(change.old.policy, change.new.policy)


def _worst(codes: Sequence[int]) -> int:
    for code in (Exit.NO, Exit.UNKNOWN):
        if code in codes:
            return code
    return Exit.DONE


def _stack(path: Path, name: str | None = None) -> StackFile:
    read = read_stack(path, name)
    if read.stack is None:
        raise Refused(render_text(read.diagnostics, read.sources))
    return read.stack
