# SPDX-License-Identifier: Apache-2.0
"""The field scanners against google.protobuf: the same answer on every message, whole or broken."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from tests.unit.rpc.wire_samples import from_google, from_node, message_class, samples, service, tidy
from transect.rpc.plan import Plans, plan_of
from transect.rpc.scanner import Malformed, scan

pytestmark = [pytest.mark.part("rpc"), pytest.mark.needs("grpcio")]

MESSAGES = [("sample.Sample", "sample.Ask"), ("strict.Archive", "strict.Strict")]


def google(name: str, plans: Plans, data: bytes) -> dict[str, Any] | None:
    try:
        return from_google(message_class(name).FromString(data), plans, plans[name])
    except DecodeError:
        return None


def ours(name: str, plans: Plans, data: bytes) -> dict[str, Any] | None:
    try:
        return from_node(scan(plans, name, data), plans)
    except Malformed:
        return None


@pytest.mark.parametrize(("of", "name"), MESSAGES)
def test_the_python_scanner_reads_what_protobuf_reads(of: str, name: str, fuzz_seconds: float) -> None:
    messages = service(of).messages
    plans = plan_of(messages[name], messages)
    seed, good, until = 0, 0, time.monotonic() + fuzz_seconds
    while seed == 0 or time.monotonic() < until:
        for data in samples(seed, name, messages, 2_000):
            expected = google(name, plans, tidy(data, messages[name], messages))
            good += expected is not None
            assert ours(name, plans, data) == expected, data.hex()
        seed += 1
    assert 0.2 < good / (2_000 * seed) < 0.9, "neither all good nor all bad"
