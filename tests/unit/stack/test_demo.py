# SPDX-License-Identifier: Apache-2.0
"""What `transect demo stack` says of what it saw; `tests/systems/stack/test_demo.py` runs it."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest

from transect.demos.stack import picture, table
from transect.demos.stack.cores import BY_TENANT, DEFAULT, Requests
from transect.demos.stack.engine import BATCH, Engine, Job
from transect.demos.stack.load import Came
from transect.demos.stack.seen import Seen, Window
from transect.stack.top import Absent, Layer, Standing, View


def layer(name: str, alice: float | None) -> Layer:
    """One with that share of alice's; None: it does not know whom it serves."""
    rows = {"": 1.0} if alice is None else {"alice": alice, "bob": 1 - alice}
    standings = [
        Standing(
            tenant=tenant, weight=100, served=got, total=got, got=got, due=got,
            waiting=0, running=0, late=0, held_up_by=None,
        )
        for tenant, got in rows.items()
    ]  # fmt: skip
    return Layer(name, "seconds", standings)


def window(
    sharing: str, calls_s: Sequence[float], bob: int = 0, shop: float | None = 0.5, gateway: float = 0.5
) -> Window:
    layers: list[Layer | Absent] = [
        layer("gateway", gateway),
        layer("shop", shop),
        Absent("front", "no queue"),
    ]
    came = {"alice": Came(list(calls_s)), "bob": Came(prompts=bob)}
    return Window(sharing, 2.0, came, View("demo", layers))


def seen(after_s: float = 0.1, shop: float | None = 0.8, gateway: float = 0.8) -> Seen:
    before, after = window("none", [1.0] * 50 + [2.0], 100), window("all", [after_s] * 50, 80)
    both = [window("none", [], shop=None), window("all", [], shop=shop, gateway=gateway)]
    return Seen(window("alone", [0.05] * 50), [before, after], both)


def test_the_table_has_alices_waits_bobs_answers_and_the_shares_of_each_layer() -> None:
    lines = [line.split() for line in table.lines(seen())]
    assert ["alice", "alone", "50", "ms", "50", "ms", "—"] in lines
    assert ["none", "1000", "ms", "2000", "ms", "50"] in lines
    assert ["all", "100", "ms", "100", "ms", "40"] in lines
    assert ["at", "the", "shop", "at", "the", "gateway"] in lines
    assert ["none", "all", "are", "one", "50", ":", "50"] in lines
    assert ["all", "80", ":", "20", "80", ":", "20"] in lines


def test_the_picture_says_the_same_and_is_dark_in_the_dark() -> None:
    text = picture.drawn(seen())
    root = ET.fromstring(text)
    said = ["".join(one.itertext()) for one in root.iter() if one.tag.endswith("text")]
    assert {"1000 to 2000 ms, bob 50/s", "50 to 50 ms", "80 : 20", "all are one"} <= set(said)
    assert "prefers-color-scheme: dark" in text
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for bar in (one for one in root.iter() if one.tag.endswith("rect")):
        x, y = float(bar.get("x", "0")), float(bar.get("y", "0"))
        assert x + float(bar.attrib["width"]) <= width and y + float(bar.attrib["height"]) <= height


@pytest.mark.parametrize(
    ("found", "right"),
    [
        (seen(), True),
        (seen(after_s=0.6), False),
        (seen(shop=0.5), False),
        (seen(shop=None), False),
        (seen(gateway=0.6), False),
    ],
)
def test_it_is_right_when_alice_waits_less_than_half_as_long_and_each_layer_shares(
    found: Seen, right: bool
) -> None:
    assert found.right is right


def test_a_request_that_failed_is_shown_and_makes_it_wrong() -> None:
    found = seen()
    found.flooded[0].came["bob"].failed.append("UNAVAILABLE: gone")
    assert not found.right
    assert "  FAILED: bob: UNAVAILABLE: gone" in table.lines(found)


def test_the_cpus_part_is_right_when_the_scheduler_that_knows_tenants_is_much_sooner_done() -> None:
    found = Requests("7.3", False, {DEFAULT: 0.06, BY_TENANT: 0.015})
    assert [line.split()[-2:] for line in table.cores(found)][1:] == [["60", "ms"], ["15", "ms"]]
    assert found.right
    assert not Requests("7.3", False, {DEFAULT: 0.06, BY_TENANT: 0.05}).right


def test_who_was_never_answered_waits_for_ever() -> None:
    assert window("none", []).alice.p99_s == float("inf")


def test_the_engine_serves_a_batch_at_once_and_who_comes_later_waits() -> None:
    async def order() -> list[int]:
        engine, ended = Engine(rounds=1), list[int]()

        async def one(number: int, tokens: int) -> None:
            await engine._served(Job(tokens))
            ended.append(number)

        await asyncio.gather(*(one(number, 3 if number == 0 else 2) for number in range(BATCH + 1)))
        return ended

    ended = asyncio.run(order())
    assert set(ended[: BATCH - 1]) == set(range(1, BATCH))
    assert ended[BATCH - 1 :] == [0, BATCH]
