# SPDX-License-Identifier: Apache-2.0
"""Standard input that never ends."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = 1 << 30  # bytes of memory; Python with all that it imports here takes a fifth of them


def _held() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))


@pytest.mark.parametrize("source", ["zero", "urandom"])
def test_no_more_of_standard_input_is_read_than_a_policy_may_have(source: str) -> None:
    with Path("/dev", source).open("rb") as endless:
        done = subprocess.run(
            [sys.executable, "-m", "transect.cli", "check", "-"],
            stdin=endless,
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=_held,
        )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("error[P003]: the file is too large\n --> <stdin>")
