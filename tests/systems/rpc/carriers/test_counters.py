# SPDX-License-Identifier: Apache-2.0
"""The same calls are counted alike in every carrier, and each RPC that was begun is counted when it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.carriers.calls import CALLS, Call
from tests.systems.rpc.carriers.carriers import (
    CARRIERS,
    HOLDS,
    Ran,
    counters,
    grpcio_client,
    grpcio_server,
    in_envoy,
    status,
)
from tests.systems.rpc.carriers.service import Kit, generated
from transect.rpc.chain.carrier import ENVOY, Can
from transect.rpc.wasm.carrier import WASM

pytestmark = pytest.mark.needs("envoy", "gcc", "clang-19", "wasm-ld-19", "grpcio", "python-headers")


def same_everywhere(call: Call) -> bool:
    """Not how many messages of a stream have come when an end breaks it off; nor what gRPC, and Envoy, refuse."""
    breaks_off = ("sabort", "sodd", "shang", "preject", "slate")
    words = " ".join(call.texts)
    broken = any(word in words for word in breaks_off) or "qreject" in call.texts[1:]
    return not call.gzip and not (call.kind.uploads and broken)


COUNTED = tuple(call for call in CALLS if same_everywhere(call))
RUNS: dict[str, Callable[..., Ran]] = {
    **CARRIERS,
    "grpcio client, emitted Python": partial(grpcio_client, native=False),
    "grpcio server, emitted Python": partial(grpcio_server, native=False),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ran]:
    folder = tmp_path_factory.mktemp("counters")
    return {name: run(folder / name.replace(" ", "_"), COUNTED) for name, run in RUNS.items()}


def test_every_carrier_counts_the_same_calls_alike(ran: Mapping[str, Ran]) -> None:
    usual = ran["grpcio server"].counted
    others = {
        name: {what: (n, usual[what]) for what, n in one.counted.items() if n != usual[what]}
        for name, one in ran.items()
    }
    assert others == {name: {} for name in ran}


def test_the_books_balance(ran: Mapping[str, Ran]) -> None:
    for name, one in ran.items():
        ended = sum(n for what, n in one.counted.items() if what.startswith("ended by"))
        assert (ended, one.counted["open"]) == (len(COUNTED), 0), name
        assert one.counted["rpcs"] == one.counted["timed"] == len(COUNTED), name
    counted = ran["grpcio server"].counted
    silent, malformed = (
        sum(not call.texts for call in COUNTED),
        sum(bool(call.raw) for call in COUNTED),
    )
    assert (silent, malformed) == (2, 2)
    assert (counted["malformed"], counted["refused"]) == (malformed, silent + malformed)


def _refused(channel: Any, what: str) -> str:
    """The status of a call that Envoy refuses before the chain sees a message."""
    ask, stub = generated()[0].Ask, generated()[1].KitStub(channel)
    who = (("x-call", what),)
    calls = {
        "larger than the largest message": lambda: stub.Say(ask(pad=bytes(5_000_000)), metadata=who),
        "in gzip": lambda: stub.Say(ask(pad=bytes(5_000)), metadata=who, compression=grpc.Compression.Gzip),
        "without a message": lambda: stub.Collect(iter(()), metadata=who),
    }
    try:
        calls[what]()
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return str(error.code().name)
    return "OK"


REFUSED = {
    "larger than the largest message": "RESOURCE_EXHAUSTED",
    "in gzip": "UNIMPLEMENTED",
    "without a message": "INVALID_ARGUMENT",
}


@pytest.mark.parametrize("can", [ENVOY, WASM], ids=["Envoy", "WASM plugin"])
def test_what_envoy_refuses_by_itself_is_counted_as_refused_and_as_ended(can: Can, tmp_path: Path) -> None:
    with in_envoy(tmp_path / "chain", Kit(), HOLDS, can) as (running, channel):
        assert {what: _refused(channel, what) for what in REFUSED} == REFUSED
        counted = {what: n for what, n in counters(status(running)).items() if n}
    assert counted == {"rpcs": 3, "refused": 3, "ended by REJECT": 3, "timed": 3}
