# SPDX-License-Identifier: Apache-2.0
"""`python -m transect.demos.stack.engine PORT ROUNDS`: a stand-in for an LLM engine, with the part of its API we use.

It computes in steps, as engines with continuous batching do: a step works for all requests at once, and gives each one
token.  A request that comes while `BATCH` others run waits, first come, first served.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

BATCH = 12  # requests that run at the same time
ROUNDS = 6000  # of a hash, for a step: some milliseconds of a processor

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def compute(rounds: int) -> None:
    """Work for a processor, during which other threads of this process run."""
    hashlib.pbkdf2_hmac("sha256", b"a step", b"of an engine", rounds)


@dataclass(slots=True)
class Job:
    """A request, until it has all its tokens."""

    left: int  # tokens
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Engine:
    """An ASGI application."""

    def __init__(self, rounds: int = ROUNDS) -> None:
        """`rounds`: how many rounds of a hash a step computes."""
        self._rounds = rounds
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._steps: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/models":
            await answered(send, {"object": "list", "data": [{"id": "stand-in"}]})
            return
        asked = json.loads(await body_of(receive))
        prompt, tokens = len(asked["prompt"]), int(asked["max_tokens"])
        await self._served(Job(tokens))
        usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
        await answered(send, {"choices": [{"text": "x" * tokens}], "usage": usage})

    async def _served(self, job: Job) -> None:
        self._waiting.append(job)
        if self._steps is None:
            self._steps = asyncio.create_task(self._step_by_step())
        await job.done.wait()

    async def _step_by_step(self) -> None:
        """Run steps while there is something to do."""
        while self._waiting or self._running:
            while self._waiting and len(self._running) < BATCH:
                self._running.append(self._waiting.popleft())
            await asyncio.to_thread(compute, self._rounds)
            for job in self._running:
                job.left -= 1
                if job.left <= 0:
                    job.done.set()
            self._running = [job for job in self._running if job.left > 0]
        self._steps = None


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def answered(send: Send, answer: object) -> None:
    data = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def main(port: str, rounds: str) -> None:
    import uvicorn

    uvicorn.run(Engine(int(rounds)), port=int(port), log_level="warning", lifespan="off", ws="none")


if __name__ == "__main__":
    main(*sys.argv[1:])
