# SPDX-License-Identifier: Apache-2.0
"""An upstream for tests: OpenAI's API with as many slots as it is given, each token after a pause, and ways to fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Engine:
    """Serves first come first served, as engines do."""

    def __init__(
        self,
        slots: int = 4,
        token_s: float = 0.001,
        capacity: int = 4096,
        continuous: bool = True,
        knows: tuple[str, ...] | None = None,
    ) -> None:
        """`knows`: the options of streams that it does not refuse, None: all of them; without any, not the table."""
        self.knows = knows
        self.slots = slots
        self.token_s = token_s
        self.capacity = capacity
        self.continuous = continuous  # usage in every event, as vLLM can
        self.order: list[str] = []  # markers of requests, as they began to run
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.running = 0
        self.cancelled = 0
        self.faults: deque[str] = deque()  # what goes wrong with the next requests
        self._free = asyncio.Semaphore(slots)
        self._waiting = 0

    def forget(self) -> None:
        """What it has seen, and what was to go wrong."""
        for seen in (self.order, self.headers, self.bodies, self.faults):
            seen.clear()
        self.cancelled = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/metrics":
            await self._plain(send, 200, self._metrics(), b"text/plain")
        elif scope["path"] == "/v1/models":
            await self._plain(send, 200, json.dumps({"object": "list", "data": [{"id": "tiny"}]}).encode())
        else:
            await self._completion(scope, receive, send)

    def _metrics(self) -> bytes:
        return (
            f'vllm:num_requests_waiting{{engine="0"}} {float(self._waiting)}\n'
            f'vllm:kv_cache_usage_perc{{engine="0"}} {self.running / self.slots}\n'
            f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="{self.capacity // 16}"}} 1.0\n'
        ).encode()

    async def _completion(self, scope: Message, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = json.loads(body)
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        self.bodies.append(asked)
        options = asked.get("stream_options")
        if self.knows is not None and options is not None and not set(options) <= set(self.knows or "x"):
            await self._plain(send, 400, b'{"error": {"message": "extra inputs are not permitted"}}')
            return
        fault = self.faults.popleft() if self.faults else ""
        if asked.get("user") == "breaks":
            fault = str(asked["prompt"])
        if fault.isdigit():
            await self._plain(send, int(fault), b'{"error": {"message": "as told"}}')
            return
        if fault == "cut":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            raise _Died
        if fault == "mislabelled":
            await self._plain(send, 200, b"{}", b"application/json", (b"content-encoding", b"gzip"))
            return
        if fault == "huge head":
            await self._plain(send, 200, b"{}", b"application/json", (b"x", b"y" * 100_000))
            return
        if fault == "garbage":
            await self._plain(send, 200, b"<html>")
            return
        self._waiting += 1
        async with self._free:
            self._waiting -= 1
            self.running += 1
            self.order.append(str(asked.get("user", "")))
            gone = asyncio.ensure_future(_until_gone(receive))
            work = asyncio.ensure_future(self._answer(asked, send, fault))
            try:
                await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    self.cancelled += 1
            finally:
                work.cancel()
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError, _Died):
                    await work
                self.running -= 1

    async def _answer(self, asked: dict[str, Any], send: Send, fault: str) -> None:
        prompt = asked["prompt"] if "prompt" in asked else asked["messages"]
        size = len(prompt) if isinstance(prompt, list) and prompt and isinstance(prompt[0], int) else 7
        count = min(asked.get("max_tokens", 16), asked.get("really", 1 << 30))
        usage = {"prompt_tokens": size, "completion_tokens": {"odd": -5, "more": count + 1}.get(fault, count)}
        chat = "messages" in asked
        if not asked.get("stream"):
            await asyncio.sleep(self.token_s * count)
            choice = {"message": {"content": "x" * count}} if chat else {"text": "x" * count}
            said = {"choices": [choice], "usage": usage}
            await self._plain(send, 200, json.dumps(said).encode())
            return
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        options = asked.get("stream_options") or {}
        for i in range(1 << 30 if fault == "endless" else count):
            await asyncio.sleep(self.token_s)
            if fault == "die" and i == 3:
                raise _Died
            choice = {"index": 0, "delta": {"content": "x"}} if chat else {"index": 0, "text": "x"}
            event: dict[str, Any] = {"choices": [choice]}
            if self.continuous and options.get("continuous_usage_stats"):
                event["usage"] = {"prompt_tokens": size, "completion_tokens": i + 1}
            await self._event(send, event)
        if options.get("include_usage"):
            await self._event(send, {"choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _event(self, send: Send, event: dict[str, Any]) -> None:
        data = b"data: " + json.dumps(event).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": data, "more_body": True})

    async def _plain(
        self,
        send: Send,
        status: int,
        body: bytes,
        kind: bytes = b"application/json",
        *more: tuple[bytes, bytes],
    ) -> None:
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Died(Exception):
    """The engine breaks off."""


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Served:
    """An ASGI application on a port of its own, in a thread of its own."""

    def __init__(self, make: Callable[[], Any], port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.app: Any = None
        started = threading.Event()

        async def main() -> None:
            self.app = make()
            config = uvicorn.Config(
                self.app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
            self._server = uvicorn.Server(config)
            self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
            started.set()
            await self._server.serve([self._socket])

        self._thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        self._thread.start()
        started.wait(10)

    def close(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()


@contextlib.contextmanager
def engine(port: int = 0, **how: Any) -> Iterator[Served]:
    """An upstream; `.app` is its `Engine`."""
    served = Served(lambda: Engine(**how), port)
    try:
        yield served
    finally:
        served.close()
