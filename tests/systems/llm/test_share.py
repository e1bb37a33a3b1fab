# SPDX-License-Identifier: Apache-2.0
"""Gateways that share counters over a real Valkey, which is killed and restarted among other things."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.parts import need
from tests.systems.llm.running import Running, free_port, gateway, started
from tests.systems.llm.upstream import engine
from transect.llm import keys

pytestmark = pytest.mark.needs("valkey-server")


class Store:
    """A Valkey server of the test's own, that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"valkey://127.0.0.1:{self.port}"
        self._folder = folder
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(str(need("valkey-server")), "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            ],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    time.sleep(0.3)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def pair(
    tmp_path: Path, store: Store, *upstreams: str, policy: str = "vtc", tenants: str = ""
) -> Iterator[tuple[Running, Running]]:
    """Two gateways, each before its own upstream, which share."""
    with ExitStack() as stack:
        made: list[Running] = []
        for i, url in enumerate(upstreams):
            folder = tmp_path / f"g{i}"
            folder.mkdir()
            settings = f'policy = "{policy}"\n[share]\nurl = "{store.url}"\nname = "g{i}"\nevery_s = 0.05'
            made.append(stack.enter_context(gateway(folder, [url], settings=settings, tenants=tenants)))
        yield made[0], made[1]


def counters(running: Running) -> dict[str, float]:
    return {t["name"]: t["counter"] for t in httpx.get(f"{running.admin}/status").json()["tenants"]}


def test_what_one_charges_the_other_knows(tmp_path: Path, store: Store) -> None:
    with engine() as one, engine() as two, pair(tmp_path, store, one.url, two.url) as (a, b):
        assert a.ask("ann").status_code == 200
        time.sleep(0.3)
        assert b.ask("ann").status_code == 200
        assert a.settles(lambda: counters(a)["ann"] == counters(b)["ann"] == 2 * (4 + 16))


def test_a_killed_store_is_full_again_after_a_round(tmp_path: Path, store: Store) -> None:
    with engine() as one, engine() as two, pair(tmp_path, store, one.url, two.url) as (a, b):
        a.ask("ann")
        b.ask("ann")
        assert a.settles(lambda: counters(a)["ann"] == counters(b)["ann"] == 40)
        errors = tmp_path / "g0" / "errors"
        with redis.Redis(port=store.port) as other:  # who writes what is no number ends no rounds
            other.sadd("transect:llm:default:gateways", "odd")
            other.hset("transect:llm:default:charged:odd", "ann", "much")
            assert a.settles(lambda: "not shared at the moment" in errors.read_text())
            assert a.metrics()["transect_llm_counters_shared"] == 0
            ready = httpx.get(f"{a.admin}/readyz")
            assert (ready.status_code, ready.text) == (200, "ready; counters are not shared at the moment\n")
            other.srem("transect:llm:default:gateways", "odd")
            assert a.settles(lambda: "shared again" in errors.read_text())
            assert a.metrics()["transect_llm_counters_shared"] == 1
            other.hset("transect:llm:default:charged:odd", "ann", "9" * 40)
            other.sadd("transect:llm:default:gateways", "odd")
            assert a.settles(lambda: f"{'9' * 40} is no count of micro-tokens" in errors.read_text())
            other.srem("transect:llm:default:gateways", "odd")
            assert a.settles(lambda: errors.read_text().count("shared again") == 2)
            assert "Traceback" not in errors.read_text()
        store.kill()
        assert a.ask("ann").status_code == 200, "a lost store is no reason not to serve"
        assert b.ask("ann").status_code == 200
        store.start()
        assert a.settles(lambda: counters(a)["ann"] == counters(b)["ann"] == 80, 20)
        assert errors.read_text().count("not shared at the moment") == 3


def test_a_gateway_that_is_restarted_charges_nothing_twice(tmp_path: Path, store: Store) -> None:
    with engine() as one, engine() as two, pair(tmp_path, store, one.url, two.url) as (a, b):
        a.ask("ann")
        b.ask("ann")
        assert a.settles(lambda: counters(a)["ann"] == counters(b)["ann"] == 40)
        assert a.stop() == 0
        with started(tmp_path / "g0", a.keys) as again:
            assert again.ask("ann").status_code == 200
            assert again.settles(lambda: counters(again)["ann"] == counters(b)["ann"] == 60)


def test_a_name_belongs_to_one(tmp_path: Path, store: Store) -> None:
    with engine() as one, engine() as two, pair(tmp_path, store, one.url, two.url) as (a, _):
        text = (tmp_path / "g0" / "gateway.toml").read_text()
        other = tmp_path / "other"
        other.mkdir()
        listen = a.url.removeprefix("http://")
        admin = a.admin.removeprefix("http://")
        text = text.replace(listen, f"127.0.0.1:{free_port()}").replace(admin, f"127.0.0.1:{free_port()}")
        (other / "gateway.toml").write_text(text)
        tried = subprocess.run(
            [sys.executable, "-m", "transect.cli", "llm", "run", "--config", "gateway.toml"],
            cwd=other,
            capture_output=True,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(other)},
            timeout=30,
        )
        assert tried.returncode == 3
        assert "another gateway has it" in tried.stderr


def test_a_policy_without_counters_has_nothing_to_share(tmp_path: Path, store: Store) -> None:
    (tmp_path / "gateway.toml").write_text(
        f'policy = "fcfs"\nlisten = "127.0.0.1:{free_port()}"\nadmin = "127.0.0.1:{free_port()}"\n'
        f'[share]\nurl = "{store.url}"\nname = "x"\n[[upstreams]]\nurl = "http://127.0.0.1:1"\n'
    )
    tried = subprocess.run(
        [sys.executable, "-m", "transect.cli", "llm", "run", "--config", "gateway.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        timeout=30,
    )
    assert tried.returncode == 3
    assert "no counter of service" in tried.stderr


def test_shares_hold_across_gateways_though_clients_are_skewed(tmp_path: Path, store: Store) -> None:
    """ann has four times the weight of ben; nine of ten of her requests come to one gateway, and of his to the other.

    Gateways that each kept their own counters would give both what they ask for where they are nearly alone.
    """
    made = {"gold": (keys.new(), 400), "tin": (keys.new(), 100)}
    tenants = "".join(
        f'[tenants.{name}]\nweight = {weight}\nkeys = ["{hashed}"]\n'
        for name, ((_, hashed), weight) in made.items()
    )
    how: dict[str, Any] = {"slots": 2, "token_s": 0.015, "capacity": 128}
    with (
        engine(**how) as one,
        engine(**how) as two,
        pair(tmp_path, store, one.url, two.url, policy="vtc_weighted", tenants=tenants) as (a, b),
    ):
        for running in (a, b):
            running.keys.update({name: key for name, ((key, _), _) in made.items()})
        time.sleep(1.2)
        served = asyncio.run(_skewed((a, b), seconds=10.0))
        assert served["gold"] / served["tin"] == pytest.approx(4, rel=0.15), served


async def _skewed(gateways: tuple[Running, Running], seconds: float) -> dict[str, float]:
    """Both tenants always have requests waiting everywhere; tokens served in the time."""
    ended = False
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as http:

        async def busy(running: Running, who: str) -> None:
            body = {"prompt": [1] * 16, "max_tokens": 16}
            while not ended:
                await http.post(f"{running.url}/v1/completions", json=body, headers=running.headers(who))

        work = []
        for running, gold, tin in ((gateways[0], 18, 6), (gateways[1], 6, 18)):
            work += [asyncio.ensure_future(busy(running, "gold")) for _ in range(gold)]
            work += [asyncio.ensure_future(busy(running, "tin")) for _ in range(tin)]
        await asyncio.sleep(1.0)
        before = _service(gateways)
        await asyncio.sleep(seconds)
        after = _service(gateways)
        ended = True
        await asyncio.gather(*work, return_exceptions=True)
    return {who: after[who] - before[who] for who in after}


def _service(gateways: tuple[Running, Running]) -> dict[str, float]:
    served = {"gold": 0.0, "tin": 0.0}
    for running in gateways:
        for t in httpx.get(f"{running.admin}/status").json()["tenants"]:
            if t["name"] in served:
                served[t["name"]] += t["prompt"] + 2 * t["output"]
    return served
