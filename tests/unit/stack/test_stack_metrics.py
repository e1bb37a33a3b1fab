# SPDX-License-Identifier: Apache-2.0
"""What a stack says to Prometheus, and the dashboard that asks for it."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from inline_snapshot import snapshot

from tests.parts import ROOT
from tests.unit.stack.test_top import part, share
from transect.control.answers import Told
from transect.stack.metrics import exposition

TOLD = cast(
    Told,
    {
        "shares": [
            share("shop", "alice", 400, 2.5, 2.0, waiting=3, running=1),
            share("gateway", 'a"b', 100, 120, 0.5, unit="tokens", late=2),
        ],
        "details": {"parts": [{**part("shop", "Program", "shop"), "restarts": 1}]},
    },
)


def lines() -> list[str]:
    return [line for line in exposition("stack", TOLD).splitlines() if not line.startswith("#")]


def test_all_layers_have_the_same_metrics_and_labels() -> None:
    assert lines() == snapshot(
        [
            'transect_tenant_served_total{stack="stack",layer="shop",tenant="alice",unit="seconds"} 2.5',
            'transect_tenant_served_total{stack="stack",layer="gateway",tenant="a\\"b",unit="tokens"} 120',
            'transect_tenant_backlogged_seconds_total{stack="stack",layer="shop",tenant="alice"} 2.0',
            'transect_tenant_backlogged_seconds_total{stack="stack",layer="gateway",tenant="a\\"b"} 0.5',
            'transect_tenant_late_requests_total{stack="stack",layer="shop",tenant="alice"} 0',
            'transect_tenant_late_requests_total{stack="stack",layer="gateway",tenant="a\\"b"} 2',
            'transect_tenant_waiting_requests{stack="stack",layer="shop",tenant="alice"} 3',
            'transect_tenant_waiting_requests{stack="stack",layer="gateway",tenant="a\\"b"} 0',
            'transect_tenant_running_requests{stack="stack",layer="shop",tenant="alice"} 1',
            'transect_tenant_running_requests{stack="stack",layer="gateway",tenant="a\\"b"} 0',
            'transect_tenant_weight_percent{stack="stack",layer="shop",tenant="alice"} 400',
            'transect_tenant_weight_percent{stack="stack",layer="gateway",tenant="a\\"b"} 100',
            'transect_part_ready{stack="stack",part="shop"} 1',
            'transect_part_restarts_total{stack="stack",part="shop"} 1',
        ]
    )


def test_the_dashboard_asks_for_metrics_and_labels_that_are_there() -> None:
    labels: dict[str, set[str]] = {}
    for name, inside in re.findall(r"^(transect_\w+)\{(.*)\}", "\n".join(lines()), re.MULTILINE):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inside))
    board: Any = json.loads((ROOT / "deploy/stack-dashboard.json").read_text())
    asked: set[str] = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            names = re.findall(r"transect_\w+", target["expr"])
            asked.update(names)
            for by in re.findall(r"by \(([\w, ]+)\)", target["expr"]):
                assert all(set(by.split(", ")) <= labels[name] for name in names), target["expr"]
    assert asked == labels.keys()
