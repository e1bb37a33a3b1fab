# SPDX-License-Identifier: Apache-2.0
"""The gateway before a trivial upstream, beside a bare reverse proxy on the same libraries (uvicorn, aiohttp).

`rate`: requests per second of the process's own processor time, ours / bare: what one saturated process serves, however
busy the machine is.  The rate by the clock stands beside it.  `ttft_s`: seconds to the first token of a stream through
the gateway, beyond those of the upstream itself.  Sides take turns within a round; the bare proxy runs twice.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
import uvicorn
from measuring import Control, Samples, begin, claim, report, result

from transect.llm import keys

HERE = Path(__file__).parent
ROUNDS, REQUESTS, AT_ONCE, STREAMS = 15, 192, 16, 25
BODY = b'{"model": "m", "prompt": [1, 2, 3, 4], "max_tokens": 8}'
STREAMED = b'{"model": "m", "prompt": [1, 2, 3, 4], "max_tokens": 8, "stream": true}'


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int
    key: str = ""

    def request(self, body: bytes) -> bytes:
        key = f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{key}Content-Type: application/json\r\n"
        return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def processor(self) -> float:
        """Seconds of processor time of the process so far."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(*command: str, port: int, key: str = "", folder: str | None = None) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "XDG_RUNTIME_DIR": folder or ""},
    )
    try:
        until = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None and time.monotonic() < until, f"{command} does not start"
            time.sleep(0.05)
        yield Server(process, port, key)
    finally:
        process.kill()
        process.wait()


def peer(stack: ExitStack, role: str, *to: str) -> Server:
    port = free_port()
    return stack.enter_context(serving(str(HERE / "peers.py"), role, str(port), *to, port=port))


def gateway(stack: ExitStack, to: str) -> Server:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    key, hashed = keys.new()
    port, admin = free_port(), free_port()
    (Path(folder) / "g.toml").write_text(
        f'policy = "vtc"\nname = "bench-{port}"\nlisten = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{admin}"\n'
        f'[[upstreams]]\nurl = "{to}"\n[tenants.ann]\nkeys = ["{hashed}"]\n'
    )
    command = ("-m", "transect.cli", "llm", "run", "-c", "g.toml")
    return stack.enter_context(serving(*command, port=port, key=key, folder=folder))


# ---------------------------------------------------------------- load


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One whole answer, by its length or in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    if b"content-length:" in head:
        return await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def many(server: Server) -> None:
    """Send `REQUESTS` requests, over `AT_ONCE` connections at once."""

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(REQUESTS // AT_ONCE):
            writer.write(server.request(BODY))
            assert b"xxxxxxxx" in await answer(reader)
        writer.close()

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def first_token(server: Server) -> float:
    """Seconds to the first token of a stream, the median of `STREAMS` one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    took = []
    for _ in range(STREAMS):
        began = time.perf_counter()
        writer.write(server.request(STREAMED))
        await reader.readuntil(b'"text"')
        took.append(time.perf_counter() - began)
        await reader.readuntil(b"[DONE]\n\n")
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    return statistics.median(took)


def rate(server: Server) -> tuple[float, float]:
    """Requests per second, of the server's processor time and by the clock."""
    used, began = server.processor(), time.perf_counter()
    asyncio.run(many(server))
    return REQUESTS / (server.processor() - used), REQUESTS / (time.perf_counter() - began)


def main() -> None:
    with ExitStack() as stack:
        upstream = peer(stack, "upstream")
        to = f"http://127.0.0.1:{upstream.port}"
        sides = {
            "ours": gateway(stack, to),
            "first": peer(stack, "bare", to),
            "second": peer(stack, "bare", to),
        }
        toy = peer(stack, "toy", to)
        for server in (*sides.values(), toy):
            rate(server), asyncio.run(first_token(server))
        samples = Samples()
        clock, added_by_bare = [], []
        for number in range(ROUNDS):
            order = list(sides)[number % 3 :] + list(sides)[: number % 3]
            got = {name: rate(sides[name]) for name in order}
            base = (got["first"][0] + got["second"][0]) / 2
            samples.add("rate", got["ours"][0] / base, got["first"][0] / got["second"][0])
            clock.append(2 * got["ours"][1] / (got["first"][1] + got["second"][1]))
            direct, ours, other = (
                asyncio.run(first_token(s)) for s in (upstream, sides["ours"], sides["first"])
            )
            samples.add("ttft_s", ours - direct)
            added_by_bare.append(other - direct)
        of = claim(__file__)
        slow = rate(toy)[0] / base
        late = asyncio.run(first_token(toy)) - direct
        controls = [
            Control("a connection for each request (rate)", not of.targets["rate"].met(slow)),
            Control("the whole answer is waited for (ttft_s)", not of.targets["ttft_s"].met(late)),
        ]
    report(
        result(
            of,
            samples,
            controls,
            rate_by_the_clock=statistics.median(clock),
            ttft_s_of_the_bare_proxy=statistics.median(added_by_bare),
            requests_in_a_second_of_processor={name: round(value[0]) for name, value in got.items()},
            conditions=f"{AT_ONCE} connections, answers of 8 tokens, loopback; shared machine",
            uvicorn=uvicorn.__version__,
            aiohttp=aiohttp.__version__,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
