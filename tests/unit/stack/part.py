# SPDX-License-Identifier: Apache-2.0
"""`part.py SOCKET NAME` listens a moment after it begins, and notes in `order` when it is told to end."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType


def end(_number: int, _frame: FrameType | None) -> None:
    with Path("order").open("a") as order:
        order.write(f"{sys.argv[2]}\n")
    sys.exit()


def main(at: str) -> None:
    signal.signal(signal.SIGTERM, end)
    time.sleep(0.2)
    if os.path.exists(at):
        os.unlink(at)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(at)
        listener.listen()
        time.sleep(60)


main(sys.argv[1])
