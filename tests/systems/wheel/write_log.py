# SPDX-License-Identifier: Apache-2.0
"""Run by the test: calls of the echo service through the example `acl`, written to the log that argv names."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_file
from transect.core.interp import Instance
from transect.core.schema import schema
from transect.lang.tape import GivenTape
from transect.replay import Policy, Record, Writer
from transect.replay.log import Header
from transect.rpc import echo
from transect.rpc.chain import record as rpc_record
from transect.rpc.chain.binding import bind
from transect.rpc.chain.file import first_state
from transect.rpc.chain.needs import HOOKS
from transect.rpc.chain.python import Interpreted, PythonChain
from transect.rpc.chain.replay import about
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.grpcio.attach import service_of


def main(path: Path) -> None:
    compiled = compile_file(str(files("transect") / "examples" / "rpc" / "acl.py"))
    (program,) = compiled.programs
    binding = bind([program], service_of(echo.DESCRIPTOR), Diagnostics())
    assert binding is not None
    start = first_state(program, {"allowed": {"alice": True}})
    seen: list[rpc_record.Record] = []
    instance = Instance(program)
    chain = PythonChain(binding, [Interpreted(instance)], recording=seen.append)
    chain.load(0, start)
    for user in ("alice", "mallory", "alice"):
        rpc = chain.rpc("/echo.Echo/Say", "test", PlainHeaders(), GivenTape())
        rpc.request(echo.Ask(user=user).SerializeToString())
        rpc.finish(0, 0, 0)
    hooks = [handler.name for handler in program.handlers]
    with Writer(path, Header("rpc", "acl", True, about(binding))) as writer:
        writer.policy(Policy.of(program, schema(program), start, sources=compiled.sources))
        for r in seen:
            hook = hooks.index(HOOKS[r.hook])
            assert writer.add(Record(r.sequence, 0, hook, r.rpc, r.arguments, r.tape, r.result))
        writer.close({0: instance.image()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
