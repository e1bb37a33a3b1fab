# SPDX-License-Identifier: Apache-2.0
"""What a plugin has written into Envoy's log, as a log of `transect.replay`.

A plugin records from its start or not at all, so such a log has no RPCs under way at its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from transect.core.schema import schema
from transect.replay.log import Header, Policy, Trailer
from transect.replay.log import Record as Logged
from transect.replay.writer import Writer
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.replay import about
from transect.rpc.envoy.recording import hook_numbers
from transect.rpc.wasm.metrics import Told


def write_log(
    path: Path, name: str, binding: Binding, starts: Sequence[bytes], told: Told, sources: Mapping[str, str]
) -> Trailer:
    """Write all that was recorded so far.  Raises Silent, FileExistsError, OSError."""
    told.wait()
    programs = [element.program for element in binding.elements]
    hooks = hook_numbers(programs)
    header = Header("rpc", name, True, about(binding) | {"carrier": "WASM in Envoy", "under_way": 0})
    with Writer(path, header, buffer=1 << 40) as writer:
        for program, start in zip(programs, starts, strict=True):
            writer.policy(Policy.of(program, schema(program), start, sources=sources))
        for r in told.records():
            hook = hooks[r.element][r.hook]
            writer.add(Logged(r.sequence, r.element, hook, r.rpc, r.arguments, r.tape, r.result))
        return writer.close(dict(enumerate(starts)) | told.states())
