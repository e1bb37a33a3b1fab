# SPDX-License-Identifier: Apache-2.0
"""Policies inside the real engine: its scheduler, its KV cache, a tiny random model.  `drive.py` plays, this judges."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts import ROOT, need
from transect.llm.replay import LlmDecoder
from transect.replay import compare, read

pytestmark = [pytest.mark.needs("vllm"), pytest.mark.timeout(400)]

LIMIT_S = 380  # two engines start; the test's own limit is 400


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What came of each scenario."""
    folder = tmp_path_factory.mktemp("engine")
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "XDG_RUNTIME_DIR": str(folder),
        "HOME": str(folder),
    }
    played = subprocess.run(
        [str(need("vllm")), str(Path(__file__).with_name("drive.py")), str(folder)],
        capture_output=True,
        text=True,
        env=env,
        timeout=LIMIT_S,
        start_new_session=True,
    )
    assert played.returncode == 0, played.stderr[-3000:]
    lines = [json.loads(line) for line in played.stdout.splitlines() if line.startswith("{")]
    yield {line["scenario"]: line for line in lines}


@pytest.mark.parametrize("policy", ["vtc", "fair_share"])
def test_two_tenants_are_served_alike_however_much_they_ask_for(said: dict[str, Any], policy: str) -> None:
    served = said["contention"][policy]["service"]
    assert abs(served["a"] - served["b"]) <= 2 * (24 + 2 * 8)  # two requests' worth


def test_the_asynchronous_scheduler_charges_every_token_once_and_serves_alike(said: dict[str, Any]) -> None:
    found = said["asynchronous"]
    assert found["deepest"] == 2 and found["left"] == 0
    for tenant, requests in {"a": 16, "b": 32}.items():
        account = found["accounts"][tenant]
        assert account["prompt"] == requests * 24 and account["output"] == requests * 8
        assert account["admitted"] == account["finished"] == requests
    # Two requests' worth, and what is in flight and not charged yet.
    assert abs(found["service"]["a"] - found["service"]["b"]) <= 2 * (24 + 2 * 8) + 2 * 8
    assert found["looks"] > 0 and 0 <= found["worst"] <= found["bound"]


def test_first_come_first_served_serves_who_asks_most(said: dict[str, Any]) -> None:
    served = said["contention"]["fcfs"]["service"]
    assert served["b"] > 1.7 * served["a"]
    assert not said["contention"]["fcfs"]["bounded"], "the order of arrival is no counter of service"


@pytest.mark.parametrize("policy", ["fcfs", "vtc", "fair_share"])
def test_every_token_is_charged_once(said: dict[str, Any], policy: str) -> None:
    found = said["contention"][policy]
    for tenant, requests in {"a": 16, "b": 32}.items():
        assert found["tokens"][tenant] == requests * 8
        account = found["accounts"][tenant]
        assert account["output"] == found["tokens"][tenant]
        assert account["prompt"] == requests * 24
        assert account["admitted"] == account["finished"] == requests


def test_the_gap_stays_within_the_bound(said: dict[str, Any]) -> None:
    for found in (said["contention"]["vtc"], said["weights"], said["pressure"]):
        assert found["looks"] > 0
        assert 0 <= found["worst"] <= found["bound"]


def test_service_follows_the_weights(said: dict[str, Any]) -> None:
    served = said["weights"]["service"]
    assert served["heavy"] / served["a"] == pytest.approx(3, rel=0.1)


def test_what_the_prefix_cache_held_is_charged_as_told(said: dict[str, Any]) -> None:
    logical, uncached = said["prefixes"]["logical"], said["prefixes"]["uncached"]
    assert logical["prompt"] == 4 * 160
    # The last block of a prompt is always computed: the first request pays for all, the others for one block.
    assert uncached["prompt"] == 160 + 3 * 32
    assert logical["output"] == uncached["output"] == 4 * 4


def test_nothing_is_lost_under_preemption_chunks_and_aborts(said: dict[str, Any]) -> None:
    found = said["pressure"]
    accounts = found["accounts"]
    assert sum(a["preempted"] for a in accounts.values()) > 0, "there was no pressure"
    assert sum(found["aborted"].values()) == 4
    assert sum(a["cancelled"] for a in accounts.values()) >= 1, "none was aborted while it waited"
    assert found["left"] == 0
    for tenant, account in accounts.items():
        assert account["prompt"] == found["prompts"][tenant]
        assert account["output"] == found["tokens"][tenant]
        assert account["admitted"] == account["finished"]
        assert account["finished"] + account["cancelled"] == 12


def test_counters_are_what_was_charged(said: dict[str, Any]) -> None:
    """No lift came between: both tenants waited from the start."""
    found = said["pressure"]
    for tenant, account in found["accounts"].items():
        assert found["counters"][tenant] == 1_000_000 * (account["prompt"] + 2 * account["output"])


def test_counters_are_kept_when_another_version_takes_over(said: dict[str, Any]) -> None:
    found = said["upgrades"]
    assert found["before"] == found["after"]
    assert min(found["before"].values()) > 0
    assert found["ended"] == {"a": 14, "b": 26}


def test_the_engines_decisions_replay_exactly(said: dict[str, Any]) -> None:
    found = said["upgrades"]
    assert found["dropped"] == 0
    log = read(Path(found["log"]))
    assert [p.name for p in log.policies] == ["Vtc", "Vtc", "Fcfs"]
    replayed = compare(log, LlmDecoder(log))
    assert replayed.divergence is None
    assert replayed.same, replayed.open
    assert replayed.calls == found["records"] > 100
