# SPDX-License-Identifier: Apache-2.0
"""What every command imports, and what says why one failed, is there on a machine that is no Linux.

`tests/systems/wheel/test_portable.py` runs whole verbs so, from a built wheel.
"""

from __future__ import annotations

import subprocess
import sys

from tests.systems.wheel import elsewhere


def test_the_code_of_a_diagnostic_is_explained() -> None:
    run = subprocess.run(
        [sys.executable, "-I", elsewhere.__file__, "explain", "P006"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, "transect.cli.failure" in run.stderr.split()) == (0, True), run.stderr
    assert "P006" in run.stdout
