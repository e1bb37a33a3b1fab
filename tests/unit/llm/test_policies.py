# SPDX-License-Identifier: Apache-2.0
"""The example policies: each is small, and does what it is for."""

from __future__ import annotations

import ast
import random
from typing import Any

import pytest

from transect.base.shipped import path_of
from transect.base.unavailable import Unavailable
from transect.llm.adapter import MICRO, chooser_of
from transect.llm.interpreted import interpreted
from transect.llm.native import native
from transect.llm.policies import examples, load
from transect.llm.queue import TenantQueues
from transect.llm.request import Held

OURS = [name for name in examples() if name != "fair_share"]


def queues(policy: str, **params: object) -> TenantQueues:
    loaded = load(policy, **params)
    return TenantQueues(chooser_of(loaded.make(), loaded.program))


def order(q: TenantQueues, output: int = 0) -> list[str]:
    """Serve all, each producing so much at once; whose turn it was."""
    served = []
    while q.peek() is not None:
        request = q.pop()
        served.append(str(request.client))
        if output:
            q.produced(request, output)
        q.finish(request)
    return served


@pytest.mark.parametrize("name", OURS)
def test_a_policy_has_at_most_30_lines_of_code(name: str) -> None:
    tree = ast.parse(path_of(name).read_text())
    lines: set[int] = set()
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        docs = {cls.body[0].lineno} if isinstance(cls.body[0], ast.Expr) else set()
        for node in ast.walk(cls):
            if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and node.lineno in docs):
                lines.add(node.lineno)
    assert len(lines) <= 30


@pytest.mark.parametrize("name", OURS)
def test_emitted_python_decides_what_the_interpreter_decides(name: str) -> None:
    loaded = load(name)
    reference = TenantQueues(chooser_of(interpreted(loaded).make(), loaded.program))
    assert agree(TenantQueues(chooser_of(loaded.make(), loaded.program)), reference, random.Random(name)) > 20


@pytest.mark.needs("gcc")
@pytest.mark.parametrize(
    "name", ["vtc", "vtc_weighted", "fcfs", "lcf", "fair_share", "lanes", "hierarchical", "foresight"]
)
def test_machine_code_decides_what_emitted_python_decides(name: str) -> None:
    loaded = load(name)
    python = TenantQueues(chooser_of(loaded.make(), loaded.program))
    machine = TenantQueues(native(loaded.program))
    assert agree(machine, python, random.Random(name)) > 20
    if python.chooser.counter_field:
        for client in (f"c{i}" for i in range(6)):
            assert machine.chooser.counter(client) == python.chooser.counter(client)
        assert machine.chooser.gap(machine.clients()) == python.chooser.gap(python.clients())


@pytest.mark.needs("gcc")
@pytest.mark.parametrize(
    ("name", "why"), [("rpm", "it turns requests away"), ("vtc_hint", "it keeps values with each request")]
)
def test_what_machine_code_cannot_run_is_said(name: str, why: str) -> None:
    with pytest.raises(Unavailable) as refused:
        native(load(name).program)
    assert refused.value.why == why


def agree(one: TenantQueues, two: TenantQueues, draw: random.Random) -> int:
    """Random arrivals, admissions, tokens, preemptions and ends, into both; how many were admitted."""
    admitted = 0
    running: list[tuple[Held, Held]] = []
    for number in range(300):
        match draw.randrange(6):
            case 0 | 1:
                given: dict[str, Any] = {
                    "client": f"c{draw.randrange(6)}",
                    "group": f"g{draw.randrange(2)}",
                    "input": draw.randrange(1, 50),
                    "hint": draw.randrange(50),
                    "reserved": 60,
                    "weight": draw.choice([50, 100, 300]),
                    "lane": draw.randrange(2),
                    "cached": draw.randrange(20),
                    "number": number,
                }
                assert (one.add(Held(**given)) is None) == (two.add(Held(**given)) is None)
            case 2 if len(one):
                first, second = one.pop(), two.pop()
                assert (first.client, first.number) == (second.client, second.number)
                running.append((first, second))
                admitted += 1
            case 3 if running:
                pair, tokens = draw.choice(running), draw.randrange(1, 20)
                one.produced(pair[0], tokens)
                two.produced(pair[1], tokens)
            case 4 if running:
                pair = running.pop(draw.randrange(len(running)))
                back = draw.random() < 0.3
                for queue, request in zip((one, two), pair, strict=True):
                    (queue.put_back if back else queue.finish)(request)
            case 5 if running:
                step = [(pair, draw.randrange(1, 4)) for pair in running]
                one.produced_in_step([(pair[0], tokens) for pair, tokens in step])
                two.produced_in_step([(pair[1], tokens) for pair, tokens in step])
                assert [a.produced for a, _ in running] == [b.produced for _, b in running]
            case _:
                pass
    return admitted


def test_first_come_first_served_looks_at_requests_not_clients() -> None:
    q = queues("fcfs")
    for number, client in enumerate("aabab"):
        q.add(Held(client, input=1, number=number))
    assert order(q) == list("aabab")


def test_a_heavier_client_is_served_more() -> None:
    q = queues("vtc_weighted")
    for _ in range(60):
        q.add(Held("light", input=10))
        q.add(Held("heavy", input=10, weight=300))
    assert order(q)[:40].count("heavy") == 30


def test_without_the_lift_an_idle_client_has_the_engine_to_itself() -> None:
    for policy, alone in (("lcf", 50), ("vtc", 26)):
        q = queues(policy)
        for _ in range(200):
            q.add(Held("busy", input=10))
        for _ in range(100):
            q.finish(q.pop())
        for _ in range(50):
            q.add(Held("idle", input=10))
        assert order(q)[:50].count("idle") == pytest.approx(alone, abs=1)


def test_many_accounts_of_one_organisation_share_its_part() -> None:
    q = queues("hierarchical")
    for _ in range(30):
        for user in range(5):
            q.add(Held(f"many{user}", input=10, group="many"))
        q.add(Held("one", input=10, group="one"))
    first = order(q)[:40]
    assert first.count("one") == 20
    assert {first.count(f"many{user}") for user in range(5)} == {4}


def test_a_lower_lane_is_served_first_and_fairly_within() -> None:
    q = queues("lanes")
    for _ in range(10):
        for client, lane in (("batch", 1), ("ann", 0), ("bob", 0)):
            q.add(Held(client, input=10, lane=lane))
    assert sorted(order(q)[:20]) == ["ann"] * 10 + ["bob"] * 10


def test_the_longest_cached_prefix_is_first_among_those_with_credit() -> None:
    q = queues("prefix_fair", quantum=50 * MICRO)
    for number in range(6):
        q.add(Held("cold", input=30, number=number))
        q.add(Held("warm", input=30, cached=20, number=number))
    assert order(q)[:4] == ["warm", "warm", "cold", "cold"]


def test_deficit_round_robin_gives_each_a_quantum_a_round() -> None:
    q = queues("deficit", quantum=100 * MICRO)
    for _ in range(12):
        q.add(Held("small", input=25))
        q.add(Held("large", input=50))
    served = order(q)
    assert served[:18].count("small") == 12 and served[:18].count("large") == 6


@pytest.mark.parametrize("expected", [0, 7, 40, 10**6])
def test_a_forecast_changes_when_tokens_are_charged_and_not_how_many(expected: int) -> None:
    q = queues("vtc_hint")
    q.add(Held("a", input=10, hint=expected, reserved=30))
    request = q.pop()
    ahead = min(expected, 30)
    assert q.chooser.counter("a") == (10 + 2 * ahead) * MICRO
    for produced in range(1, 21):
        q.produced(request, 1)
        assert q.chooser.counter("a") == (10 + 2 * max(ahead, produced)) * MICRO
    q.finish(request)
    assert q.chooser.counter("a") == 50 * MICRO


def test_the_moving_average_is_the_papers() -> None:
    q = queues("vtc_predict")
    for produced, expected in ((100, 0), (50, 100), (0, 90), (10, 72)):
        q.add(Held("a", input=1, reserved=1000))
        before = q.chooser.counter("a")
        request = q.pop()
        assert (q.chooser.counter("a") - before) // MICRO == 1 + 2 * expected
        if produced:
            q.produced(request, produced)
        q.finish(request)


def test_the_profiled_cost_is_the_papers() -> None:
    q = queues("vtc_profiled")
    q.add(Held("a", input=300))
    request = q.pop()
    for _ in range(200):
        q.produced(request, 1)
    h = 0.21001891 * 300 + 0.10075395 * 200 + 0.0039868 * 300 * 200 + 0.00324733 * 200**2 + 1.14601454
    assert q.chooser.counter("a") / MICRO == pytest.approx(h, rel=1e-4)
    q.produced(request, -200)  # rolled back: nothing is left of it
    assert q.chooser.counter("a") / MICRO == pytest.approx(0.21001891 * 300 + 1.14601454, rel=1e-4)
