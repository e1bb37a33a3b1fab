# SPDX-License-Identifier: Apache-2.0
"""The field scanners against google.protobuf: the same answer on every message, whole or broken, edited or not."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from tests.unit.rpc.scan_harness import Edit, Harness, apply, apply_google, random_edits
from tests.unit.rpc.wire_samples import (
    Maker,
    from_google,
    from_node,
    message_class,
    samples,
    service,
    tidy,
)
from transect.rpc.messages.plan import Plans, plan_of
from transect.rpc.messages.rewriter import changed, rewrite
from transect.rpc.messages.scanner import Malformed, NumberZero, scan

pytestmark = [pytest.mark.part("rpc"), pytest.mark.needs("grpcio")]

MESSAGES = {"sample.Ask": "sample.Sample", "strict.Strict": "strict.Archive"}
BATCH = 10_500


@pytest.fixture(scope="module", params=MESSAGES)
def native(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The emitted scanner of one message, all of its fields read and writable."""
    messages = service(MESSAGES[request.param]).messages
    plans = plan_of(messages[request.param], messages)
    return Harness.build(plans, request.param, tmp_path_factory.mktemp("scanner"))


def google(name: str, plans: Plans, data: bytes) -> dict[str, Any] | None:
    try:
        found = from_google(message_class(name).FromString(data), plans, plans[name])
        scan(plans, name, data)
    except (DecodeError, NumberZero):  # in a group, protobuf's readers disagree about number 0
        return None
    except Malformed:
        return found
    return found


def ours(name: str, plans: Plans, data: bytes) -> dict[str, Any] | None:
    try:
        return from_node(scan(plans, name, data), plans)
    except Malformed:
        return None


@pytest.mark.needs("gcc")
def test_both_scanners_read_what_protobuf_reads(native: Harness, fuzz_seconds: float) -> None:
    name, plans = native.root, native.plans
    messages = service(MESSAGES[name]).messages
    seed, good, until = 0, 0, time.monotonic() + fuzz_seconds
    while seed == 0 or time.monotonic() < until:
        batch = list(samples(seed, name, messages, BATCH))
        for data, found in zip(batch, native.run([(data, []) for data in batch]), strict=True):
            expected = google(name, plans, tidy(data, messages[name], messages))
            good += expected is not None
            assert ours(name, plans, data) == expected, data.hex()
            assert (found and found.values) == expected, data.hex()
            assert found is None or (found.rewritten == data and not found.changed), data.hex()
        seed += 1
    assert 0.2 < good / (BATCH * seed) < 0.9, "neither all good nor all bad"


def edited(name: str, plans: Plans, data: bytes, edits: list[Edit]) -> tuple[bool, bytes]:
    node = scan(plans, name, data)
    for edit in edits:
        apply(node, plans, edit)
    return changed(node), rewrite(node)


@pytest.mark.needs("gcc")
def test_what_was_assigned_is_what_protobuf_then_reads(native: Harness, fuzz_seconds: float) -> None:
    name, plans = native.root, native.plans
    messages = service(MESSAGES[name]).messages
    seed, until = 0, time.monotonic() + fuzz_seconds
    while seed == 0 or time.monotonic() < until:
        rng, maker = random.Random(seed), Maker(seed, messages, broken_text=False)
        batch = [(maker.message(name), random_edits(rng, plans, name)) for _ in range(BATCH // 4)]
        for (data, edits), found in zip(batch, native.run(batch), strict=True):
            try:
                message = message_class(name).FromString(tidy(data, messages[name], messages))
            except DecodeError:
                assert found is None
                continue
            for edit in edits:
                apply_google(message, edit)
            assert found is not None
            assert (found.changed, found.rewritten) == edited(name, plans, data, edits), (data.hex(), edits)
            read = google(name, plans, tidy(found.rewritten, messages[name], messages))
            assert read == from_google(message, plans, plans[name]), (data.hex(), edits)
        seed += 1
