# SPDX-License-Identifier: Apache-2.0
"""Schedulers put in force where this runs, by one request a line: what `run` does in a machine of its own.

    python -m transect.cpu.guest SHIM        requests on stdin, answers on stdout, one JSON text a line
    python -m transect.cpu.guest --direct BUILT     one policy without the shim, until stdin ends: for comparison

`{"do": "load", "built": "fifo.json"}`, `upgrade` (with `watch_s`), `status`, `longest`, `stop`.  An answer has `kind`:
`done`, `refused` (why, hint), `broken` (why, log), `missing`
(function, line), `ended` (the kernel has taken it out; reason, message, dump).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transect.cpu.built import Built
from transect.cpu.force import WATCH_S, Direct, Ended, Force, Kept, Missing, events, state
from transect.cpu.ring import RawFile, first_of_all, possible_cpus
from transect.linux.libbpf import BpfError

Answer = dict[str, Any]


def main() -> None:
    first_of_all()
    if sys.argv[1] == "--direct":
        direct(Path(sys.argv[2]))
        return
    force = None
    try:
        force = Force(Path(sys.argv[1]))
        say({"kind": "done", "value": {"state": state()}})
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "stop":
                break
            say(answered(force, request))
    except BpfError as error:
        say({"kind": "broken", "why": str(error), "log": error.log})
    finally:
        if force is not None:
            force.close()
    say({"kind": "done", "value": {"state": state()}})


def direct(built: Path) -> None:
    """Attach a policy by itself: no shim, no upgrade."""
    policy = Direct(Built.read(built))
    try:
        say({"kind": "done", "value": {"state": state(), "instructions": policy.instructions()}})
        sys.stdin.read()
    finally:
        policy.close()
    say({"kind": "done", "value": {"state": state()}})


def say(answer: Answer) -> None:
    print(json.dumps(answer), flush=True)


def answered(force: Force, request: Mapping[str, Any]) -> Answer:
    try:
        force.check()
        return {"kind": "done", "value": done(force, request)}
    except Kept as no:
        return {"kind": "refused", "why": no.why, "hint": no.hint}
    except Ended as end:
        return {"kind": "ended", "reason": end.reason, "message": end.message, "dump": end.dump}
    except Missing as lacking:
        return {"kind": "missing", "function": lacking.function, "line": lacking.line}
    except BpfError as error:
        return {"kind": "broken", "why": str(error), "log": error.log}


def done(force: Force, request: Mapping[str, Any]) -> Any:
    match request["do"]:
        case "load":
            force.activate(force.load(Built.read(Path(request["built"]))))
            return {}
        case "upgrade":
            watch_s = request.get("watch_s", WATCH_S)
            return {"fields": force.upgrade(Built.read(Path(request["built"])), watch_s=watch_s)}
        case "check":
            return {}  # `answered` has looked
        case "set":
            return force.set(request["field"], request["value"])
        case "record":
            file = RawFile(request["raw"])
            force.record(Built.read(Path(request["built"])), file.write, file.close)
            return {"cpus": possible_cpus(), "fields": fields(force)}
        case "end-record":
            drain = force.end_record()
            failure = drain.failure.strerror if drain.failure else ""
            return {"bytes": drain.bytes, "lost": drain.lost, "failure": failure}
        case "status":
            return status(force)
        case other:
            raise AssertionError(f"no request {other}")


def fields(force: Force) -> dict[str, list[int]]:
    """The words of the state of what is in force, by field."""
    version = force.current
    assert version is not None, "the state of nothing"
    words = version.words()
    return {p.field: words[p.word : p.word + p.words] for p in version.built.places if p.words}


def status(force: Force) -> dict[str, Any]:
    """What is in force, its state by field, and the kernel's counters."""
    version = force.current
    if version is None:
        return {"policy": None, "events": events()}
    return {
        "policy": version.built.name,
        "schema": version.built.layout,
        "fields": fields(force),
        "instructions": {
            op: version.object.instructions(version.programs[f"ts_op_{op}"]) for op in version.built.ops
        },
        "longest_wait_s": force.longest_wait(),
        "applications": [] if force.broker is None else force.broker.status(),
        "events": events(),
    }


if __name__ == "__main__":
    main()
