# SPDX-License-Identifier: Apache-2.0
"""Two gateways, each before an engine of its own; weights 4 : 1, and both tenants always wait everywhere.

Three of four clients of `gold` come to one gateway, three of four of `tin` to the other.  `error`: how far the ratio of
their services is from 4, as a share of 4, over all windows; counters are shared over a real Valkey.  The control: the
same load for two gateways that share nothing and of which only one serves `tin`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import itertools

import httpx
from measuring import Control, Samples, begin, claim, report, result

from tests.parts import need
from tests.systems.llm.running import Running, gateway
from tests.systems.llm.test_share import Store
from tests.systems.llm.upstream import engine
from transect.llm import keys

WINDOWS, WINDOW_S, WARM_S = 5, 10.0, 3.0
WEIGHTS = {"gold": 400, "tin": 100}
ENGINE: dict[str, Any] = {"slots": 2, "token_s": 0.015, "capacity": 128}
SKEWED = ({"gold": 18, "tin": 6}, {"gold": 6, "tin": 18})  # clients at each gateway
APART = ({"gold": 18}, {"gold": 6, "tin": 18})


@contextmanager
def two(folder: Path, store: str | None) -> Iterator[tuple[Running, ...]]:
    made = {name: keys.new() for name in WEIGHTS}
    tenants = "".join(
        f'[tenants.{name}]\nweight = {WEIGHTS[name]}\nkeys = ["{hashed}"]\n'
        for name, (_, hashed) in made.items()
    )
    with ExitStack() as stack:
        found = []
        for i in range(2):
            (folder / f"g{i}").mkdir(parents=True)
            share = (
                f'[share]\nurl = "{store}"\ngroup = "{folder.name}"\nname = "g{i}"\nevery_s = 0.05'
                if store
                else ""
            )
            served = stack.enter_context(engine(**ENGINE))
            settings = f'policy = "vtc_weighted"\n{share}'
            running = stack.enter_context(
                gateway(folder / f"g{i}", [served.url], settings=settings, tenants=tenants)
            )
            running.keys.update({name: key for name, (key, _) in made.items()})
            found.append(running)
        yield tuple(found)


def service(gateways: tuple[Running, ...]) -> dict[str, int]:
    """Tokens so far, by tenant; output tokens count twice."""
    served = dict.fromkeys(WEIGHTS, 0)
    for running in gateways:
        for t in httpx.get(f"{running.admin}/status", timeout=10).json()["tenants"]:
            if t["name"] in served:
                served[t["name"]] += t["prompt"] + 2 * t["output"]
    return served


async def ratios(
    gateways: tuple[Running, ...], load: tuple[Mapping[str, int], ...], windows: int
) -> list[float]:
    """The ratio of gold's service to tin's in each window; the last one is over all windows."""
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as http:

        async def busy(running: Running, who: str) -> None:
            body = {"prompt": [1] * 16, "max_tokens": 16}
            while True:
                await http.post(f"{running.url}/v1/completions", json=body, headers=running.headers(who))

        work = [
            asyncio.ensure_future(busy(running, who))
            for running, clients in zip(gateways, load, strict=True)
            for who, count in clients.items()
            for _ in range(count)
        ]
        await asyncio.sleep(WARM_S)
        looks = [await asyncio.to_thread(service, gateways)]
        for _ in range(windows):
            await asyncio.sleep(WINDOW_S)
            looks.append(await asyncio.to_thread(service, gateways))
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    pairs = [*itertools.pairwise(looks), (looks[0], looks[-1])]
    return [(b["gold"] - a["gold"]) / (b["tin"] - a["tin"]) for a, b in pairs]


def error(ratio: float) -> float:
    return abs(ratio / 4 - 1)


def main() -> None:
    need("valkey-server")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        store = Store(folder)
        time.sleep(0.3)
        try:
            with two(folder / "shared", store.url) as gateways:
                *each, whole = asyncio.run(ratios(gateways, SKEWED, WINDOWS))
            with two(folder / "apart", store.url) as gateways:
                *_, shared_apart = asyncio.run(ratios(gateways, APART, 2))
        finally:
            store.kill()
        with two(folder / "alone", None) as gateways:
            *_, alone = asyncio.run(ratios(gateways, APART, 2))
    samples = Samples()
    samples.add("error", error(whole))
    of = claim(__file__)
    controls = [Control("gateways that share nothing", not of.targets["error"].met(error(alone)))]
    report(
        result(
            of,
            samples,
            controls,
            ratio=whole,
            ratio_in_windows_of_10_s=each,
            ratio_of_gateways_that_share_nothing=alone,
            ratio_where_tin_has_one_gateway_only=shared_apart,
            conditions="upstreams of 2 slots and 15 ms a token; counters exchanged every 0.05 s; shared machine",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
