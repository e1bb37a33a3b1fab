# SPDX-License-Identifier: Apache-2.0
"""What a gateway does beside serving: again and again, until it is told to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

logger = logging.getLogger("transect.gateway")

CANCEL_S = 0.5  # between two cancellations of a task that goes on


async def regularly(what: str, do: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Do it, after a pause each time.  A mistake in it ends nothing, and is logged at once: nothing waits for this
    task, so its failure would go unnoticed.  A mistake that repeats is logged once.
    """
    last = ""
    while True:
        await asyncio.sleep(every_s)
        try:
            await do()
        except Exception as wrong:
            if repr(wrong) != last:
                logger.exception("%s: a mistake of the gateway; it tries again every %g s", what, every_s)
            last = repr(wrong)
        else:
            last = ""


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, repeatedly if need be.  Before Python 3.12 `asyncio.wait_for`, which redis uses, loses a
    cancellation if the awaited task ends at the same moment.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_S)
