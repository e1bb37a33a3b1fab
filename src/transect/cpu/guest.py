# SPDX-License-Identifier: Apache-2.0
"""Schedulers put in force where this runs, by one request a line: what `run` does in a machine of its own.

    python -m transect.cpu.guest        requests on stdin, answers on stdout, one JSON text a line

`{"do": "load", "built": "fifo.json", "shim": "shim.o"}`, `direct` (without the shim, for comparison), `upgrade` (with
`watch_s`), `status`, `leave` (the default scheduler is back; others may follow).  An answer has `kind`: `done`,
`refused` (why, hint), `broken` (why, log), `missing` (function, line), `ended` (the kernel has taken it out; reason,
message, dump).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transect.cpu.built import Built
from transect.cpu.kernel import Direct, Ended, Force, Missing, events, partial, state
from transect.cpu.ring import RawFile, first_of_all, possible
from transect.cpu.version import Kept
from transect.linux.libbpf import BpfError

Answer = dict[str, Any]


def main() -> None:
    first_of_all()
    loader = Loader()
    try:
        for line in sys.stdin:
            say(loader.answered(json.loads(line)))
    finally:
        loader.leave()


class Loader:
    """What we have put in force: the shim with a policy behind it, one policy alone, or nothing."""

    def __init__(self) -> None:
        self.force: Force | None = None
        self.direct: Direct | None = None

    def leave(self) -> None:
        """Back to the default scheduler."""
        for held in (self.force, self.direct):
            if held is not None:
                held.close()
        self.force = self.direct = None

    def answered(self, request: Mapping[str, Any]) -> Answer:
        try:
            return {"kind": "done", "value": self.done(request)}
        except Kept as no:
            return {"kind": "refused", "why": no.why, "hint": no.hint}
        except Ended as end:
            return {"kind": "ended", "reason": end.reason, "message": end.message, "dump": end.dump}
        except Missing as lacking:
            return {"kind": "missing", "function": lacking.function, "line": lacking.line}
        except BpfError as error:
            return {"kind": "broken", "why": str(error), "log": error.log}

    def done(self, request: Mapping[str, Any]) -> Any:
        match request["do"]:
            case "leave":
                self.leave()
                return {"state": state()}
            case "direct":
                self.direct = Direct(Built.read(Path(request["built"])))
                return {"instructions": self.direct.instructions()}
            case "load" if self.force is None:
                self.force = Force(Path(request["shim"]))
        assert self.force is not None, f"{request['do']} of nothing"
        self.force.check()
        return done(self.force, request)


def say(answer: Answer) -> None:
    print(json.dumps(answer), flush=True)


def done(force: Force, request: Mapping[str, Any]) -> Any:
    match request["do"]:
        case "load":
            force.activate(force.load(Built.read(Path(request["built"]))))
            return {}
        case "upgrade":
            built = Built.read(Path(request["built"]))
            watching = Built.read(Path(request["watching"])) if request["watching"] else None
            return {"fields": force.upgrade(built, watch_s=request["watch_s"], watching=watching)}
        case "check":
            return {}  # `answered` has looked
        case "set":
            return force.set(request["field"], request["words"])
        case "record":
            file = RawFile(request["raw"])
            force.record(Built.read(Path(request["built"])), file.write, file.close)
            return {"cpus": possible("cpu"), "nodes": possible("node"), "fields": fields(force)}
        case "end-record":
            drain = force.end_record()
            failure = drain.failure.strerror if drain.failure else ""
            return {"bytes": drain.bytes, "lost": drain.lost, "failure": failure}
        case "status":
            return status(force)
        case other:
            raise AssertionError(f"no request {other}")


def fields(force: Force) -> dict[str, list[int]]:
    """The words of the state of the policy in force, by field."""
    version = force.current
    assert version is not None, "the state of nothing"
    return version.fields()


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
        "partial": partial(),
        "counts": version.counts(),
        "longest_wait_s": force.longest_wait(),
        "applications": [] if force.broker is None else force.broker.status(),
        "events": events(),
    }


if __name__ == "__main__":
    main()
