# SPDX-License-Identifier: Apache-2.0
"""What `transect replay` does.  Nothing that a log says reaches the terminal as a control character."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from transect.base.counted import counted
from transect.base.formats import plain
from transect.base.render import render_text
from transect.base.snippet import visible
from transect.cli.checking import in_color
from transect.cli.compiling import File, Refused, read
from transect.cli.decoders import decoder
from transect.cli.exits import Exit
from transect.cli.failure import tell
from transect.core.ir import Program
from transect.replay import Comparison, Log, LogError, compare
from transect.replay import read as read_log


def replay(path: Path, policy: Path | None, as_json: bool) -> int:
    """Compare, and print the result."""
    try:
        log = read_log(path)
        other = None if policy is None else read(policy)
        known = decoder(log)
        stands = None if other is None else _standing_for(log, other)
        if log.header.stratum == "cpu" and stands is not None:
            return _simulated(log, stands, as_json)
        found = compare(log, known, program=stands, runner=getattr(known, "runner", None))
    except LogError as wrong:
        tell(f"{path}: {wrong}")
        return Exit.USAGE
    except Refused as refused:
        print(refused)
        return Exit.NO
    if as_json:
        print(json.dumps(_plain(log, found), indent=2))
    else:
        _print(log, found, other)
    if found.divergence is not None:
        return Exit.NO
    return Exit.DONE if found.same else Exit.UNKNOWN


def _simulated(log: Log, other: Program, as_json: bool) -> int:
    """Another scheduler gets the same arrivals, not the same calls: a scheduler decides itself what happens next."""
    from transect.cpu.check import check
    from transect.cpu.pace import Standstill
    from transect.cpu.replay_other import against, table
    from transect.cpu.simulator import CustodyError

    wrong = check(other)
    if wrong:
        print(render_text(wrong, {}, color=in_color()))
        return Exit.NO
    try:
        outcomes = against(log, other)
    except Standstill as still:
        print(render_text(still.diagnostics, {}, color=in_color()), file=sys.stderr)
        return Exit.NO
    except CustodyError as lost:
        tell(lost)
        return Exit.NO
    if as_json:
        print(json.dumps({"complete": log.complete, "outcomes": [asdict(o) for o in outcomes]}, indent=2))
    else:
        print("SIMULATED: the recorded arrivals, in the second and third column")
        print("\n".join(table(outcomes)))
        if not log.complete:
            print(f"the log is not complete: {visible(log.shortcomings)}")
    return Exit.DONE if log.complete else Exit.UNKNOWN


def _standing_for(log: Log, file: File) -> Program:
    """The policy of the file that takes the place of a recorded one: the one with the same name, else the only one."""
    recorded = _names(log)
    same = [program for program in file.programs if program.name in recorded] or list(file.programs)
    if len(same) == 1:
        return same[0]
    names = ", ".join(program.name for program in same)
    raise Refused(
        f"transect: which policy of the file is meant? It has {names}; the log has {', '.join(recorded) or 'none'}"
    )


def _names(log: Log) -> list[str]:
    """The names of the recorded policies, each once, safe to print in a terminal."""
    return list(dict.fromkeys(visible(policy.name) for policy in log.policies))


def _print(log: Log, found: Comparison, other: File | None) -> None:
    if found.divergence is not None:
        sources = {path: text for policy in log.policies for path, text in policy.sources.items()}
        sources |= other.sources if other else {}
        print(render_text([found.divergence], sources, color=in_color()))
        print(f"\n{_calls(found)} before it came out as recorded")
        return
    if log.policies:
        print(f"{_calls(found)} of {', '.join(_names(log))} came out as recorded")
    else:
        print("the log holds no policy, so no call was compared")
    for why in found.open:
        print(f"not compared: {visible(why)}")


def _plain(log: Log, found: Comparison) -> dict[str, object]:
    return {
        "stratum": log.header.stratum,
        "name": log.header.name,
        "real": log.header.real,
        "calls": found.calls,
        "same": found.same,
        "complete": not found.open,
        "open": list(found.open),
        "divergence": None if found.divergence is None else plain(found.divergence),
    }


def _calls(found: Comparison) -> str:
    return counted(found.calls, "call")
