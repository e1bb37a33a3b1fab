# SPDX-License-Identifier: Apache-2.0
"""What stands around the gateway in its benchmark, each a process of its own: `peers.py ROLE PORT [UPSTREAM]`.

upstream   answers at once; streams eight tokens, the first at once, the others a millisecond apart
bare       a reverse proxy on the gateway's libraries (uvicorn, aiohttp), that knows nothing of tenants and tokens
toy        such a proxy that waits for the whole answer, on a connection of its own: it must fall short
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TOKENS, PAUSE_S = 8, 0.001
JSON = [(b"content-type", b"application/json")]
STREAM = [(b"content-type", b"text/event-stream")]


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def usage(produced: int) -> dict[str, int]:
    return {"prompt_tokens": 4, "completion_tokens": produced}


WHOLE = json.dumps({"choices": [{"index": 0, "text": "x" * TOKENS}], "usage": usage(TOKENS)}).encode()
EVENTS = [
    b"data: " + json.dumps({"choices": [{"index": 0, "text": "x"}], "usage": usage(i + 1)}).encode() + b"\n\n"
    for i in range(TOKENS)
]


async def upstream(scope: Message, receive: Receive, send: Send) -> None:
    if scope["path"] != "/v1/completions":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    body = await body_of(receive)
    if b'"stream"' not in body:
        headers = [*JSON, (b"content-length", str(len(WHOLE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": WHOLE})
        return
    await send({"type": "http.response.start", "status": 200, "headers": STREAM})
    for event in EVENTS:
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(PAUSE_S)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def bare(to: str) -> Any:
    made: list[aiohttp.ClientSession] = []  # within the loop

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if not made:
            made.append(aiohttp.ClientSession(to, connector=aiohttp.TCPConnector(limit=0)))
        body = await body_of(receive)
        headers = {"content-type": "application/json"}
        async with made[0].post(scope["path"], data=body, headers=headers) as answer:
            passed = [(b"content-type", answer.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": answer.status, "headers": passed})
            async for data in answer.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


def toy(to: str) -> Any:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        async with aiohttp.ClientSession(to) as http, http.post(scope["path"], data=body) as answer:
            whole = await answer.read()
        passed = [(b"content-type", answer.headers["content-type"].encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": passed})
        await send({"type": "http.response.body", "body": whole})

    return app


def main() -> None:
    role, port, *to = sys.argv[1:]
    app = upstream if role == "upstream" else {"bare": bare, "toy": toy}[role](to[0])
    uvicorn.run(app, port=int(port), log_config=None, access_log=False, lifespan="off", ws="none")


if __name__ == "__main__":
    main()
