# SPDX-License-Identifier: Apache-2.0
"""How tenants do at a gateway or engine: what they were served, how long they waited, who was late."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from transect.control.answers import Share
from transect.llm.config import Config, Tenant
from transect.llm.gateway.dispatch import Dispatcher, TurnedAway
from transect.llm.gateway.settings import Limits
from transect.llm.host import LlmHost
from transect.llm.request import Held
from transect.llm.service import Service


@pytest.fixture
def service() -> Service:
    tenants = {"alice": Tenant(weight=400), "bob": Tenant()}
    return Service(Config(tenants=tenants), Path.cwd(), bound=1 << 60, running=tuple)


def shares(service: Service) -> dict[str, Share]:
    return {row["tenant"]: row for row in LlmHost(service, "gateway").told()["shares"]}


def asked(service: Service, tenant: str, prompt: int = 10) -> Held:
    request = Held(service.tenants.number_of(tenant), prompt)
    service.queues.add(request)
    return request


def test_who_waits_and_was_never_served_is_there_and_before_those_who_were_served(service: Service) -> None:
    asked(service, "alice")
    service.queues.finish(service.queues.pop())
    asked(service, "bob")
    assert list(shares(service)) == ["bob", "alice"]
    row = shares(service)["bob"]
    assert (row["waiting"], row["running"], row["served"], row["weight"]) == (1, 0, 0, 100)


def test_a_tenant_is_backlogged_while_something_of_it_waits(service: Service) -> None:
    first, second = asked(service, "bob"), asked(service, "bob")
    time.sleep(0.02)
    assert shares(service)["bob"]["backlogged"] >= 0.02, "it grows while it waits"
    service.queues.cancel(first)
    service.queues.cancel(second)
    waited = shares(service)["bob"]["backlogged"]
    time.sleep(0.02)
    assert shares(service)["bob"]["backlogged"] == waited


def test_what_was_served_never_goes_down_when_a_count_takes_some_back(service: Service) -> None:
    asked(service, "alice", 100)
    request = service.queues.pop()
    service.queues.produced(request, 5)
    assert (shares(service)["alice"]["served"], shares(service)["alice"]["unit"]) == (110, "tokens")
    service.queues.correct_prompt(request, 80)
    assert shares(service)["alice"]["served"] == 110
    service.queues.produced(request, 20)
    assert shares(service)["alice"]["served"] == 80 + 2 * 25


def test_a_request_whose_deadline_passes_is_late_whether_it_came_so_waited_or_ran(service: Service) -> None:
    bob, call = service.tenants.by_name("bob"), SimpleNamespace(prompt=2, limit=5)
    assert bob is not None
    entry: Any = Dispatcher(service, [], Limits())
    with pytest.raises(TurnedAway):
        entry.enter(bob, call, time.monotonic() - 1)
    waited = entry.enter(bob, call, time.monotonic() + 0.02)
    ran = entry.enter(bob, call, time.monotonic() + 0.02)
    in_time = entry.enter(bob, call, time.monotonic() + 60)
    assert service.queues.pop() is waited
    service.queues.undo(waited)
    time.sleep(0.03)
    entry.leave(waited)
    assert service.queues.pop() is ran
    entry.running[ran] = None
    for held in (ran, ran, in_time):
        entry.leave(held)  # a second time is no matter
    assert shares(service)["bob"]["late"] == 3
