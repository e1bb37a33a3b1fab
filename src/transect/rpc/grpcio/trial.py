# SPDX-License-Identifier: Apache-2.0
"""A trial of compiled code before it is put in force: in a process of its own, which may crash.

python -m transect.rpc.grpcio.trial EXTENSION     with the trial on standard input, as JSON
"""

from __future__ import annotations

import base64
import importlib.machinery
import importlib.util
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transect.base import cache
from transect.base.programs import Endless, ran
from transect.control.protocol import Refused

PATIENCE_S = 20.0
GOES_ON = "the old version goes on"
MESSAGES = (b"", b"\x0a\x00", b"\xff\xff")  # empty, with one field, and no message at all


def tried(library: Path, methods: Sequence[str], images: Sequence[bytes]) -> None:
    """Run some RPCs through the new code on copies of the states.  Raises Unavailable, and Refused with what failed."""
    trial = {"methods": methods, "images": [base64.b64encode(image).decode() for image in images]}
    given = json.dumps(trial).encode()
    try:
        with cache.loadable(library) as file:
            command = [sys.executable, "-m", "transect.rpc.grpcio.trial", file.name]
            done = ran(command, patience_s=PATIENCE_S, given=given, pass_fds=[file.descriptor])
    except Endless as endless:
        raise Refused(f"a trial of the new version: {endless}", GOES_ON) from None
    if done.status < 0:
        name = signal.Signals(-done.status).name
        raise Refused(f"a trial of the new version crashed ({name})", GOES_ON)
    if done.status:
        said = done.complaint.strip().splitlines() or [f"status {done.status}"]
        raise Refused(f"a trial of the new version failed: {said[-1]}", GOES_ON)


def run(library: Path, trial: dict[str, Any]) -> None:
    """One RPC of each method with each message, on the given states."""
    name = library.name.partition(".")[0]
    loader = importlib.machinery.ExtensionFileLoader(name, str(library))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None, f"no spec for {library}"
    module: Any = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    chain = module.Chain()
    for index, image in enumerate(trial["images"]):
        assert chain.load(index, base64.b64decode(image)), f"state {index} does not fit"
    for method in trial["methods"]:
        for message in MESSAGES:
            rpc = chain.begin(method, "trial", ())
            rpc.request(message)
            rpc.response(message)
            rpc.finish(0, 0)


if __name__ == "__main__":
    run(Path(sys.argv[1]), json.load(sys.stdin))
