# SPDX-License-Identifier: Apache-2.0
"""Tasks that opt in: a partial scheduler has those of the class SCHED_EXT, and the tasks that they start.  Opting in
takes no privilege.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SCHED_EXT = 7  # of <linux/sched.h>; Python's `os` has no name for it
OPT_IN = f"""
import os, sys
os.sched_setscheduler(0, {SCHED_EXT}, os.sched_param(0))
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(f"{{sys.argv[1]}}: {{error.strerror}}", file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""


def opted_in(python: Path, words: Sequence[str]) -> list[str]:
    """The command, as a task of that class from its start."""
    return [str(python), "-E", "-s", "-S", "-c", OPT_IN, *words]
