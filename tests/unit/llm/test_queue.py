# SPDX-License-Identifier: Apache-2.0
"""Queues of clients, driven as an engine drives them."""

from __future__ import annotations

import pytest

from transect.examples.fair_share import FairShare
from transect.llm.adapter import MICRO, chooser_of
from transect.llm.policies import load
from transect.llm.queue import TenantQueues
from transect.llm.request import Held
from transect.llm.watch import BoundBroken, Mode, Watcher


def queues(policy: str = "vtc") -> TenantQueues:
    loaded = load(policy)
    return TenantQueues(chooser_of(loaded.make(), loaded.program))


def counters(q: TenantQueues, *clients: str) -> list[float]:
    return [q.chooser.counter(c) / MICRO for c in clients]


def test_a_prompt_is_charged_when_it_is_admitted_and_output_when_it_is_produced() -> None:
    q = queues()
    q.add(Held("a", input=100))
    assert counters(q, "a") == [0]
    request = q.pop()
    assert counters(q, "a") == [100]
    q.produced(request, 3)
    assert counters(q, "a") == [106]
    q.finish(request)
    assert counters(q, "a") == [106]


def test_the_client_with_the_least_counter_is_next_and_peek_is_stable() -> None:
    q = queues()
    for client, tokens in (("a", 100), ("b", 10), ("a", 5), ("b", 5)):
        q.add(Held(client, input=tokens))
    order = []
    while (request := q.peek()) is not None:
        assert q.peek() is request
        q.pop()
        order.append((request.client, request.input))
    assert order == [("a", 100), ("b", 10), ("b", 5), ("a", 5)]


def test_a_newcomer_is_lifted_to_the_least_of_those_who_wait() -> None:
    q = queues()
    q.add(Held("a", input=100))
    q.add(Held("a", input=100))
    q.pop()
    q.add(Held("b", input=1))
    assert counters(q, "a", "b") == [100, 100]


def test_a_newcomer_to_an_empty_queue_is_lifted_to_whoever_left_it_last() -> None:
    q = queues()
    q.add(Held("a", input=100))
    q.add(Held("b", input=40))
    a = q.pop()
    q.pop()
    q.produced(a, 200)
    assert counters(q, "a", "b") == [500, 40]
    q.add(Held("c", input=1))  # b left last
    assert counters(q, "c") == [40]


def test_an_admission_that_was_none_leaves_no_trace() -> None:
    q = queues()
    q.add(Held("a", input=100))
    request = q.pop()
    q.undo(request)
    assert counters(q, "a") == [0] and q.peek() is request and q.running_of("a") == 0
    q.pop()
    assert counters(q, "a") == [100]


def test_a_preempted_request_heads_its_queue_and_is_not_charged_for_its_prompt_again() -> None:
    q = queues()
    q.add(Held("a", input=100))
    q.add(Held("a", input=7))
    request = q.pop()
    q.produced(request, 1)
    q.put_back(request)
    assert q.peek() is request
    q.pop()
    assert counters(q, "a") == [102] and q.running_of("a") == 1


def test_what_ends_while_preempted_is_gone() -> None:
    q = queues()
    q.add(Held("a", input=100))
    request = q.pop()
    q.put_back(request)
    q.finish(request)
    assert len(q) == 0 and q.idle("a") and list(q.clients()) == []


def test_a_cancelled_request_costs_nothing() -> None:
    q = queues()
    first, second = Held("a", input=100), Held("a", input=7)
    q.add(first)
    q.add(second)
    q.cancel(first)
    assert q.peek() is second and counters(q, "a") == [0]


def test_a_cached_prefix_is_refunded() -> None:
    q = queues()
    q.add(Held("a", input=100))
    q.refund(q.pop(), 64)
    assert counters(q, "a") == [36]


def test_an_arbiter_of_all_strata_runs_here_and_its_clients_have_weights() -> None:
    q = TenantQueues(chooser_of(FairShare()))
    q.add(Held("a", input=90, weight=300))
    q.add(Held("b", input=90))
    a, b = q.pop(), q.pop()
    for _ in range(10):
        q.produced(a, 1)
        q.produced(b, 1)
    assert counters(q, "a", "b") == pytest.approx([110 / 3, 110])


def test_charges_of_a_weighted_client_add_up_exactly_however_they_are_cut() -> None:
    sums = []
    for cut in ([10], [1] * 10, [20, -10]):
        q = TenantQueues(chooser_of(FairShare()))
        q.add(Held("a", input=5, weight=7))
        request = q.pop()
        for tokens in cut:
            q.produced(request, tokens)
        sums.append(q.chooser.counter("a"))
    assert len(set(sums)) == 1


def test_idle_clients_are_forgotten_only_when_they_gain_nothing() -> None:
    q = queues()
    for client, tokens in (("low", 5), ("high", 500), ("mid", 50)):
        q.add(Held(client, input=tokens))
    for request in [q.pop(), q.pop(), q.pop()]:
        q.finish(request)
    q.add(Held("last", input=1))
    q.finish(q.pop())
    q.add(Held("now", input=100))
    q.add(Held("now", input=100))
    q.pop()
    assert q.forget_idle(["low", "high", "mid", "now", "last"]) == ["low", "mid"]
    assert counters(q, "low", "high") == [0, 500]


def test_the_watcher_sees_the_gap_of_those_who_wait_and_enforces_the_bound() -> None:
    q = queues()
    watch = Watcher(bound=60 * MICRO, mode=Mode.ENFORCE)
    for client in ("a", "b"):
        for _ in range(3):
            q.add(Held(client, input=30))
    assert watch.look(q) == 0
    first = q.pop()
    assert watch.look(q) == 30 * MICRO
    q.produced(first, 20)
    with pytest.raises(BoundBroken, match="70 weighted tokens apart; the bound is 60"):
        watch.look(q)
    assert (watch.looks, watch.beyond, watch.worst) == (3, 1, 70 * MICRO)
