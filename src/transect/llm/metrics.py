# SPDX-License-Identifier: Apache-2.0
"""A service's metrics for Prometheus (text format 0.0.4).  The number of labels is bounded: beyond the tenants served
most, all others share the label `(others)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from transect.control import readings
from transect.control.answers import OTHERS
from transect.control.prometheus import escaped
from transect.llm.accounts import Account
from transect.llm.adapter import MICRO
from transect.llm.native import image

if TYPE_CHECKING:
    from transect.llm.service import Service

LABELLED = 200  # tenants that have a label of their own


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: str  # counter, gauge
    help: str
    # (value of the label, value); an empty label is left out
    samples: tuple[tuple[str, float], ...]
    label: str = "tenant"

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for of, value in self.samples:
            label = f'{{{self.label}="{escaped(of)}"}}' if of else ""
            yield f"{self.name}{label} {value:g}" if value % 1 else f"{self.name}{label} {int(value)}"


def exposition(service: Service) -> str:
    """All of a service's metrics."""
    with service.lock:
        found = [*_tenants(service), *_bound(service)]
        program, state = service.program, image(service.policy)
    held = readings.readings([program], [state], service.tenants.name_of)
    rows = [(f'policy="{program.name}"', row) for row in held]
    return render(found) + "".join(line + "\n" for line in readings.exposition("transect_llm_policy", rows))


def render(metrics: Iterable[Metric]) -> str:
    return "".join(line + "\n" for metric in metrics for line in metric.lines())


_COUNTED = {
    "prompt": ("prompt_tokens", "Tokens of prompts charged to the tenant."),
    "output": ("output_tokens", "Tokens produced for the tenant."),
    "admitted": ("admitted_requests", "Requests that entered the running batch."),
    "finished": ("finished_requests", "Requests that ended after they were admitted."),
    "refused": ("refused_requests", "Requests that the policy turned away."),
    "cancelled": ("cancelled_requests", "Requests that ended while they waited."),
    "preempted": ("preemptions", "Admitted requests that were put back."),
    "late": ("late_requests", "Requests that had not ended when their deadline passed."),
}
assert set(_COUNTED) == {f.name for f in fields(Account)}, "every column of an account is a metric"


def _tenants(service: Service) -> Iterator[Metric]:
    queues = service.queues
    most = queues.most_served()
    named = {client: _name(service, client) for client in most[:LABELLED]}
    accounts: dict[str, list[int]] = {}
    waiting: dict[str, int] = {}
    running: dict[str, int] = {}
    for client in most:
        name = named.get(client, OTHERS)
        row = accounts.setdefault(name, [0] * len(_COUNTED))
        accounts[name] = [a + b for a, b in zip(row, astuple(queues.accounts[client]), strict=True)]
        waiting[name] = waiting.get(name, 0) + queues.waiting_of(client)
        running[name] = running.get(name, 0) + queues.running_of(client)
    for i, field in enumerate(fields(Account)):
        name, help = _COUNTED[field.name]
        yield Metric(
            f"transect_llm_{name}_total", "counter", help, tuple((n, row[i]) for n, row in accounts.items())
        )
    yield Metric("transect_llm_waiting_requests", "gauge", "Requests that wait.", tuple(waiting.items()))
    yield Metric("transect_llm_running_requests", "gauge", "Requests in the batch.", tuple(running.items()))


def _name(service: Service, client: object) -> str:
    assert isinstance(client, int), f"{client!r} is no tenant's number"
    return service.tenants.name_of(client)


def _bound(service: Service) -> Iterator[Metric]:
    if not service.bounded:
        return
    watcher = service.watcher
    gauges = {
        "gap_tokens": ("How far the counters of waiting tenants lie apart, in weighted tokens.", watcher.gap),
        "worst_gap_tokens": ("The largest gap since the start.", watcher.worst),
        "bound_tokens": ("The bound of the gap (U).", watcher.bound),
    }
    for name, (help, value) in gauges.items():
        yield Metric(f"transect_llm_{name}", "gauge", help, (("", value / MICRO),))
    help = "Looks that found a gap beyond the bound."
    yield Metric("transect_llm_beyond_bound_total", "counter", help, (("", watcher.beyond),))
