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
    """Do it, after a pause each time.  A mistake in it ends nothing, and is logged at once: nobody waits for this task,
    and what it should have done would be missed unseen.  One that comes again and again is logged once."""
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
    """End them: one whose library lost the first cancellation is cancelled again.

    `asyncio.wait_for`, which redis uses, loses it before Python 3.12 where what it waits for is done by then.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_S)
