# SPDX-License-Identifier: Apache-2.0
"""The gateway as a process, for tests."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from transect.llm import keys

TENANTS = ("ann", "ben", "cleo")


@dataclass
class Running:
    """A gateway under test."""

    process: subprocess.Popen[str]
    url: str
    admin: str
    keys: dict[str, str]
    folder: Path
    said: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # of tenants, where a test calls them otherwise

    def headers(self, who: str | None) -> dict[str, str]:
        return {} if who is None else {"authorization": f"Bearer {self.keys[who]}"}

    def ask(
        self,
        who: str | None = "ann",
        *,
        headers: dict[str, str] | None = None,
        path: str = "/v1/completions",
        **asked: Any,
    ) -> httpx.Response:
        body = {"max_tokens": 8, **({} if "messages" in asked else {"prompt": [1, 2, 3, 4]}), **asked}
        return httpx.post(
            self.url + path, json=body, headers={**self.headers(who), **(headers or {})}, timeout=30
        )

    def metrics(self) -> dict[str, float]:
        """By name and label: `transect_llm_waiting_requests{ann}`."""
        text = httpx.get(f"{self.admin}/metrics", timeout=10).text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {re.sub(r'\{\w+="(.*)"\}', r"{\1}", name): float(value) for name, _, value in lines}

    def metric(self, name: str, tenant: str) -> float:
        return self.metrics().get(f"transect_llm_{name}{{{self.names.get(tenant, tenant)}}}", 0.0)

    def total(self, name: str) -> float:
        return sum(v for k, v in self.metrics().items() if k.startswith(f"transect_llm_{name}{{"))

    def settles(self, condition: Any, limit_s: float = 10.0) -> bool:
        until = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def idle(self) -> bool:
        return self.total("running_requests") == self.total("waiting_requests") == 0

    def configure(self, before: str, after: str) -> None:
        """Change the configuration, and have it read anew."""
        path, errors = self.folder / "gateway.toml", self.folder / "errors"
        text, read = path.read_text(), errors.read_text().count("read anew")
        assert before in text
        path.write_text(text.replace(before, after, 1))
        self.process.send_signal(signal.SIGHUP)
        assert self.settles(lambda: errors.read_text().count("read anew") > read), errors.read_text()

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(
    made: dict[str, str], upstreams: list[str], settings: str = "", limits: str = "", tenants: str = ""
) -> str:
    rows = "".join(f'[tenants.{name}]\nkeys = ["{hashed}"]\n' for name, hashed in made.items())
    ups = "".join(f'[[upstreams]]\nurl = "{url}"\n' for url in upstreams)
    return f"{settings}\n{ups}\n[limits]\n{limits}\n{rows}\n{tenants}\n"


def configured(
    folder: Path, upstreams: list[str], names: Sequence[str] = TENANTS, **how: str
) -> dict[str, str]:
    """Write the configuration of a gateway; the tenants' keys."""
    made = {name: keys.new() for name in names}
    listen = free_port()
    # As root all instances of a machine are in one folder: the port makes the name the test's own.
    settings = f'listen = "127.0.0.1:{listen}"\nadmin = "127.0.0.1:{free_port()}"\nname = "test-{listen}"\n'
    settings += how.pop("settings", 'policy = "vtc"')
    text = configuration({n: h for n, (_, h) in made.items()}, upstreams, settings, **how)
    (folder / "gateway.toml").write_text(text)
    return {name: key for name, (key, _) in made.items()}


@contextmanager
def gateway(
    folder: Path,
    upstreams: list[str],
    names: Sequence[str] = TENANTS,
    *,
    descriptors: int | None = None,
    **how: str,
) -> Iterator[Running]:
    with started(folder, configured(folder, upstreams, names, **how), descriptors) as running:
        yield running


@contextmanager
def starting(folder: Path, descriptors: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """The gateway of the folder's configuration, from its first moment.  `descriptors`: that it may have."""
    limited = [] if descriptors is None else ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh"]
    with (folder / "errors").open("a") as errors:
        process = subprocess.Popen(
            [*limited, sys.executable, "-m", "transect.cli", "llm", "run", "--config", "gateway.toml"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def started(folder: Path, known: dict[str, str], descriptors: int | None = None) -> Iterator[Running]:
    """The gateway of the folder's configuration, once it serves."""
    text = (folder / "gateway.toml").read_text()
    listen, admin = re.findall(r'^(?:listen|admin) = "(.*)"$', text, re.M)
    with starting(folder, descriptors) as process:
        assert process.stdout is not None
        running = Running(process, f"http://{listen}", f"http://{admin}", known, folder)
        for line in process.stdout:
            running.said.append(line.rstrip())
            if line.startswith("transect llm status"):
                break
        assert process.poll() is None, (running.said, (folder / "errors").read_text())
        yield running


async def flood(running: Running, plan: list[tuple[str, int]], **asked: Any) -> list[str]:
    """So many requests of each tenant at once, in this order; the tenants as their answers came."""
    ended: list[str] = []
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as http:

        async def once(who: str) -> None:
            body = {"prompt": [1] * 16, "max_tokens": 16, "user": who, **asked}
            answer = await http.post(f"{running.url}/v1/completions", json=body, headers=running.headers(who))
            assert answer.status_code == 200, answer.text
            ended.append(who)

        work = []
        for who, count in plan:
            work += [asyncio.ensure_future(once(who)) for _ in range(count)]
            await asyncio.sleep(0.3)
        await asyncio.gather(*work)
    return ended
