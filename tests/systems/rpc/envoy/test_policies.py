# SPDX-License-Identifier: Apache-2.0
"""Example policies, from their text to real RPCs through a real Envoy; status, set and record while they run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from transect.base.diagnostic import Diagnostics
from transect.control.operating import Operated
from transect.control.protocol import Refused
from transect.replay import compare
from transect.replay.reader import read
from transect.rpc import echo
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.chain.replay import RpcDecoder
from transect.rpc.envoy.deploy import Deployed, deploy
from transect.rpc.envoy.host import EnvoyHost

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

CHAIN = """
from transect.rpc import Chain
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.cache import Cache
from transect.examples.rpc.logging import Logging
from transect.examples.rpc.metrics import Metrics
from transect.examples.rpc.mutation import Mutation
from transect.examples.rpc.rate_limit import RateLimit

chain = Chain(
    service="echo.Echo",
    upstream="127.0.0.1:{port}",
    methods=["Say"],
    elements=[
        Metrics(),
        Acl(allowed={{"alice": True, "bob": True}}),
        RateLimit(per_second=1, burst=5),
        Mutation(changes={{("user", "ali"): "alice", ("text", "secret"): "***"}}),
        Cache(),
        Logging(),
    ],
)
"""

Call = Callable[..., str]


@dataclass(frozen=True)
class Running:
    deployed: Deployed
    host: Operated
    call: Call


@contextmanager
def running(text: str, folder: Path, *, workers: int = 1) -> Iterator[Running]:
    server, port = echo.serve()
    path = folder / "chain.py"
    path.write_text(text.format(port=port))
    found = read_chain(path)
    assert found.chain is not None, [d.message for d in found.diagnostics]
    diagnostics = Diagnostics()
    binding = bound(found.chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    try:
        with deploy(found.chain, binding, folder / "envoy", workers=workers) as it:
            host = Operated("rpc", "chain", EnvoyHost(it.control, binding, found.sources))
            with grpc.insecure_channel(str(it.envoy.address)) as channel:
                yield Running(it, host, caller(channel))
    finally:
        server.stop(None)


def caller(channel: grpc.Channel) -> Call:
    stub = echo.Stub(channel)

    def call(**fields: str) -> str:
        try:
            return str(stub.Say(echo.Ask(**fields), timeout=10).text)
        except grpc.RpcError as error:
            code: Any = error
            return f"{code.code().name}: {code.details()}"

    return call


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(CHAIN, tmp_path_factory.mktemp("chain"), workers=2) as it:
        yield it


def test_six_examples_in_one_chain(chain: Running, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert chain.host.record_start(str(log)) == {"path": str(log), "under_way": 0}
    assert chain.call(user="alice", text="hi", key="a") == "hi"
    assert chain.call(user="alice", text="secret", key="b") == "***"
    assert chain.call(user="alice", text="other", key="a") == "hi", "from the cache"
    assert chain.call(user="mallory", text="hi") == "PERMISSION_DENIED: mallory may not call /echo.Echo/Say"
    for _ in range(2):
        assert chain.call(user="alice", text="x", key="c") == "x"
    assert chain.call(user="alice", text="x") == "RESOURCE_EXHAUSTED: more than 1 calls a second"
    assert chain.call(user="bob", text="x") == "x"

    status = chain.host.status()
    latency = status["details"]["latency"]
    assert [row["of"] for row in latency] == ["RPC", *(p["name"] for p in status["policies"])]
    assert latency[0]["timed"] == status["counters"]["rpcs"]
    assert all(0 < row["p50_us"] <= row["p99_us"] and row["timed"] for row in latency), latency
    did = {p["name"]: (p["counts"]["rejected"], p["counts"]["responded"]) for p in status["policies"]}
    assert did == {
        "Metrics": (0, 0),
        "Acl": (1, 0),
        "RateLimit": (1, 0),
        "Mutation": (0, 0),
        "Cache": (0, 2),
        "Logging": (0, 0),
    }
    assert status["details"]["causes"] == {"reply": 6, "reject": 2, "cancel": 0, "deadline": 0, "reset": 0}

    ended = chain.host.record_stop()
    found = read(log)
    assert found.complete
    assert ended == {"path": str(log), "records": len(found.records), "dropped": 0}
    names = [p.name for p in found.policies]
    counted = {(names[r.policy], found.policies[r.policy].hooks[r.hook]) for r in found.records}
    assert (
        ("Cache", "response") in counted
        and ("Logging", "finish") in counted
        and ("Metrics", "finish") in counted
    )
    assert found.trailer is not None and set(found.trailer.finals) == set(range(6))
    again = compare(found, RpcDecoder(found))
    assert again.divergence is None, again.divergence
    assert (again.same, again.calls, again.open) == (True, len(found.records), ())
    assert "/echo.Echo/Say sent=1 code=0 cause=0" in chain.deployed.envoy.log.read_text()


def test_a_log_of_many_clients_on_two_workers_replays_to_the_same_state(tmp_path: Path) -> None:
    """Everything that happened, from the first call on, in an order that gives the same verdicts and the same state."""
    log = tmp_path / "log"
    with running(CHAIN.replace("burst=5", "burst=40"), tmp_path, workers=2) as it:
        it.host.record_start(str(log))

        def one(number: int) -> None:
            with grpc.insecure_channel(
                str(it.deployed.envoy.address), options=[("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                call = caller(channel)
                for i in range(25):
                    user = ("alice", "bob", "ali", "mallory")[(number + i) % 4]
                    call(user=user, text="secret" if i % 5 else "x", key=f"{i % 3}")

        threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        ended = it.host.record_stop()
    found = read(log)
    assert (ended["dropped"], found.complete) == (0, True)
    again = compare(found, RpcDecoder(found))
    assert again.divergence is None, again.divergence
    assert (again.same, again.calls) == (True, len(found.records))
    assert again.calls > 800


def test_parameters_are_set_while_it_runs(chain: Running) -> None:
    assert chain.host.set("per_second", "1000000") == {
        "param": "RateLimit.per_second",
        "before": "1",
        "after": "1000000",
    }
    assert chain.call(user="alice", text="again", key="z") == "again"
    assert chain.host.set("Cache.keep", "0s")["before"] == "10s"
    with pytest.raises(Refused, match="no parameter `limit`"):
        chain.host.set("limit", "1")
    with pytest.raises(Refused, match="`soon` is not a duration"):
        chain.host.set("keep", "soon")


def test_a_recording_is_begun_once_and_not_over_another_file(chain: Running, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(Refused, match="is there already"):
        chain.host.record_start(str(tmp_path / "there"))
    chain.host.record_start(str(tmp_path / "log"))
    with pytest.raises(Refused, match="it records already"):
        chain.host.record_start(str(tmp_path / "log2"))
    chain.host.record_stop()
    with pytest.raises(Refused, match="nothing is recorded"):
        chain.host.record_stop()
    assert (tmp_path / "there").read_text() == "precious"


def test_a_malformed_message_is_counted(chain: Running) -> None:
    before = chain.host.status()["counters"]
    with grpc.insecure_channel(str(chain.deployed.envoy.address)) as channel:
        say: Any = channel.unary_unary("/echo.Echo/Say", request_serializer=None)
        with pytest.raises(grpc.RpcError) as refused:
            say(b"\x0a\xff", timeout=10)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    counters = chain.host.status()["counters"]
    assert (counters["malformed"], counters["refused"]) == (before["malformed"] + 1, before["refused"] + 1)


def test_methods_without_a_policy_do_not_pass(chain: Running) -> None:
    with grpc.insecure_channel(str(chain.deployed.envoy.address)) as channel:
        call = echo.Stub(channel).Chat(iter([echo.Ask(user="alice", text="x")]), timeout=10)
        with pytest.raises(grpc.RpcError):
            list(call)
        assert call.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_host_whose_envoy_has_gone_says_so(tmp_path: Path) -> None:
    text = CHAIN[: CHAIN.index("    elements")] + "    elements=[Metrics()],\n)\n"
    with running(text, tmp_path) as it:
        it.deployed.envoy.stop()
        with pytest.raises(Refused, match="does not answer"):
            it.host.status()
