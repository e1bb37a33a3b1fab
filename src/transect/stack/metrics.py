# SPDX-License-Identifier: Apache-2.0
"""The service of tenants at all layers of a stack, for Prometheus, with the same metrics and labels for every layer.
Counters of a layer restart with its part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transect.control.answers import Share, Told
from transect.control.prometheus import labels, metric
from transect.stack.host import PartRow


def exposition(stack: str, told: Told) -> str:
    """The metrics of what the stack of that name says in `status`, in Prometheus' text format."""
    return "".join(
        line + "\n" for line in (*_tenants(stack, told["shares"]), *_parts(stack, told["details"]["parts"]))
    )


def _tenants(stack: str, rows: Sequence[Share]) -> Iterator[str]:
    def of(row: Share, **more: str) -> str:
        return labels(stack=stack, layer=row["layer"], tenant=row["tenant"], **more)

    prefix = "transect_tenant"
    served = [(of(row, unit=row["unit"]), row["served"]) for row in rows]
    yield from metric(
        f"{prefix}_served_total", "counter", "What the tenant was served, in the layer's unit.", served
    )
    waited = [(of(row), row["backlogged"]) for row in rows]
    help = "Seconds in which at least one request of the tenant waited."
    yield from metric(f"{prefix}_backlogged_seconds_total", "counter", help, waited)
    late = [(of(row), row["late"]) for row in rows]
    help = "Requests that had not ended when their deadline passed."
    yield from metric(f"{prefix}_late_requests_total", "counter", help, late)
    waiting = [(of(row), row["waiting"]) for row in rows]
    yield from metric(f"{prefix}_waiting_requests", "gauge", "Requests that wait.", waiting)
    running = [(of(row), row["running"]) for row in rows]
    yield from metric(f"{prefix}_running_requests", "gauge", "Requests in service.", running)
    weights = [(of(row), row["weight"]) for row in rows]
    yield from metric(f"{prefix}_weight_percent", "gauge", "In percent of an ordinary share.", weights)


def _parts(stack: str, rows: Sequence[PartRow]) -> Iterator[str]:
    ready = [(labels(stack=stack, part=row["part"]), int(row["state"] == "ready")) for row in rows]
    yield from metric("transect_part_ready", "gauge", "1 while the part runs and is ready.", ready)
    again = [(labels(stack=stack, part=row["part"]), row["restarts"]) for row in rows]
    yield from metric("transect_part_restarts_total", "counter", "How often the part has begun again.", again)
