# SPDX-License-Identifier: Apache-2.0
"""How tenants do between two looks at a stack, and the table of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from typing import Any, cast

import pytest
from inline_snapshot import snapshot
from rich.console import Console

from transect.cli.top import drawn, plain
from transect.control.answers import Share, Status
from transect.stack.top import Absent, Change, Layer, due, view


def share(layer: str, tenant: str, weight: int, served: float, backlogged: float, **more: Any) -> Share:
    row = {"waiting": 0, "running": 0, "late": 0, "unit": "seconds", **more}
    return cast(
        Share,
        {
            "layer": layer,
            "tenant": tenant,
            "weight": weight,
            "served": served,
            "backlogged": backlogged,
            **row,
        },
    )


def part(name: str, kind: str, *layers: str, state: str = "ready") -> dict[str, object]:
    return {"part": name, "kind": kind, "state": state, "layers": list(layers)}


def status(parts: Sequence[dict[str, object]], *shares: Share) -> Status:
    return cast(Status, {"name": "shop", "shares": list(shares), "details": {"parts": parts}})


def test_who_does_not_wait_wants_what_he_got_and_the_rest_goes_by_weight() -> None:
    changes = {
        "alice": Change(400, 2.0, wants=False),
        "bob": Change(100, 1.0, wants=True),
        "carol": Change(100, 7.0, wants=True),
    }
    assert due(changes) == {"alice": 2.0, "bob": 4.0, "carol": 4.0}


def test_who_got_more_than_his_part_while_others_wait_owes_it_though_he_does_not_wait() -> None:
    changes = {"alice": Change(400, 1.0, wants=True), "bob": Change(100, 9.0, wants=False)}
    assert due(changes) == {"alice": 8.0, "bob": 2.0}


def test_where_nobody_waits_everybody_has_his_due() -> None:
    changes = {"alice": Change(400, 0.0, wants=False), "bob": Change(100, 9.0, wants=False)}
    assert due(changes) == {"alice": 0.0, "bob": 9.0}


def test_a_layer_that_serves_nobody_owes_nothing() -> None:
    assert due({"alice": Change(400, 0.0, wants=True)}) == {"alice": 0.0}
    assert due({}) == {}


PARTS = [part("front", "Front"), part("shop", "Program", "shop"), part("gateway", "Gateway", "gateway")]


def test_who_waits_and_lacks_a_part_of_his_due_is_held_up_by_who_got_most_beyond_it() -> None:
    before = status(PARTS, share("shop", "alice", 400, 1.0, 0.0), share("shop", "bob", 100, 1.0, 0.0))
    after = status(PARTS, share("shop", "alice", 400, 2.0, 2.0), share("shop", "bob", 100, 2.0, 2.0))
    _, shop, _ = view(before, after, 2.0).layers
    assert isinstance(shop, Layer)
    alice, bob = shop.tenants
    assert (alice.tenant, alice.got, alice.due, alice.held_up_by) == ("alice", 0.5, 0.8, "bob")
    assert (bob.got, bob.held_up_by) == (0.5, None)
    assert bob.due == pytest.approx(0.2)
    assert (alice.served, alice.total) == (0.5, 2.0), "a second, and since the layer began"


def test_a_layer_that_has_begun_again_counts_from_nothing() -> None:
    before = status(PARTS, share("shop", "alice", 400, 100.0, 50.0))
    after = status(PARTS, share("shop", "alice", 400, 1.0, 0.5))
    _, shop, _ = view(before, after, 2.0).layers
    assert isinstance(shop, Layer)
    assert (shop.tenants[0].served, shop.tenants[0].got) == (0.0, 0.0)


def test_a_part_that_says_nothing_of_tenants_is_absent_and_says_why() -> None:
    parts = [
        part("front", "Front"),
        part("cores", "Cores"),
        part("watch", "Watch"),
        part("engine", "Program"),
        part("gateway", "Gateway", state="gone"),
    ]
    layers = view(status(parts), status(parts), 1.0).layers
    assert all(isinstance(layer, Absent) for layer in layers)
    assert [(layer.name, layer.why, layer.down) for layer in layers if isinstance(layer, Absent)] == snapshot(
        [
            ("front", "a chain has no queue: nobody waits here for another", False),
            ("cores", "a scheduler does not say what each tenant got", False),
            ("watch", "each target has the same share, and nothing is read for a tenant", False),
            ("engine", 'no queue of it is named: take_turns(…, name=os.environ["TRANSECT_NAME"])', False),
            ("gateway", "it is not ready: gone", True),
        ]
    )


def test_the_table() -> None:
    before = status(PARTS)
    after = status(
        PARTS,
        share("shop", "bob", 100, 1.6, 2.0, waiting=40, running=1, late=3),
        share("shop", "[bold]alice", 400, 0.4, 2.0, waiting=2),
    )
    console = Console(width=80, markup=False, record=True, file=StringIO())
    console.print(drawn(view(before, after, 2.0)))
    shown = "\n".join(line.rstrip() for line in console.export_text().splitlines())
    assert shown == snapshot("""\
LAYER   TENANT      WEIGHT   SERVED GOT DUE GAP WAITING RUNNING LATE HELD UP BY
shop    [bold]alice    400 0.20 s/s 20% 80% -60       2       0    0 bob
        bob            100 0.80 s/s 80% 20% +60      40       1    3
gateway nobody yet
front: a chain has no queue: nobody waits here for another\
""")


def test_programs_get_the_same_as_json() -> None:
    rows = share("shop", "alice", 400, 2.0, 2.0)
    told = json.loads(json.dumps(plain(view(status(PARTS), status(PARTS, rows), 2.0))))
    assert [layer["name"] for layer in told["layers"]] == ["front", "shop", "gateway"]
    assert told["layers"][1]["tenants"][0]["got"] == 1.0
