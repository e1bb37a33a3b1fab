# SPDX-License-Identifier: Apache-2.0
"""Runs in the machine: loads objects, calls their handler with the given arguments, and prints the words of the state.

calls.py REQUESTS        JSON lines: {"object": path, "start": [words], "batches": [[args], …]}

With `tape` (words of an event) and `raw` (a path), the object records, and its events go into that file.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

from transect.cpu.ring import MAP, Drain, RawFile, Rings, possible
from transect.linux.libbpf import BpfError, Object


def recording(policy: Object, request: Any) -> Drain:
    rings = Rings(policy.map(MAP).fd, possible("cpu"), request["tape"])
    return Drain(rings, RawFile(request["raw"]).write)


def main() -> None:
    for line in Path(sys.argv[1]).read_text().splitlines():
        request = json.loads(line)
        policy = Object(Path(request["object"]))
        if "tape" in request:
            policy.resize(MAP, possible("cpu"))
        try:
            policy.load()
        except BpfError as refused:
            print(json.dumps({"error": refused.log[-3000:]}), flush=True)
            continue
        states = policy.map(".data.policy")
        words = b"".join(struct.pack("=Q", word) for word in request["start"])
        states.write(bytes(4), words.ljust(states.value_size, b"\0"))
        program = dict(policy.programs())["ts_calls"]
        drain = recording(policy, request) if "tape" in request else None
        for args in request["batches"]:
            context = struct.pack("=q64q", len(args), *args, *[0] * (64 - len(args)))
            policy.run(program, context)
        if drain:
            drain.end()
            assert drain.failure is None and drain.lost == 0, f"{drain.lost} calls lost: {drain.failure}"
        after = states.read(bytes(4))
        assert after is not None
        print(json.dumps({"words": [word for (word,) in struct.iter_unpack("=q", after)]}), flush=True)
        policy.close()


if __name__ == "__main__":
    main()
