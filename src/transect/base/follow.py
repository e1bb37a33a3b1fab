# SPDX-License-Identifier: Apache-2.0
"""Become a command that the kernel kills when its parent ends: `follow.py PARENT TELL COMMAND…` (see `children`)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, tell: int, command: list[str]) -> None:
    if tell >= 0:
        os.set_inheritable(tell, False)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if parent and os.getppid() != parent:
        sys.exit(1)  # it has ended already
    try:
        os.execvp(command[0], command)
    except OSError as error:
        if tell >= 0:
            os.write(tell, (error.errno or 0).to_bytes(4, "little"))
        sys.exit(f"{command[0]} does not start: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
