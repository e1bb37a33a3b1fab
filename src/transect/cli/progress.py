# SPDX-License-Identifier: Apache-2.0
"""Says in a terminal that something takes a few seconds: on stderr, apart from the output."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def working(on: str) -> Iterator[Callable[[], None]]:
    """Show a spinner and what is being done, until the block ends or calls the function that it gets."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda: None
        return
    from rich.console import Console

    status = Console(stderr=True, highlight=False).status(f"{on} …")
    status.start()
    try:
        yield status.stop
    finally:
        status.stop()
