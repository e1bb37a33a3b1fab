# SPDX-License-Identifier: Apache-2.0
"""Chains of the element library, from a file to real RPCs: the same on every carrier, and what a plugin refuses."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

import transect.rpc
from tests.unit.rpc.lab import program
from transect.base.diagnostic import Diagnostics
from transect.base.unavailable import Unavailable
from transect.control.operating import Operated
from transect.control.protocol import Refused
from transect.emit.wasm.toolchain import compiler
from transect.replay import compare
from transect.replay.log import Log
from transect.replay.reader import read
from transect.rpc import echo
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.replay import RpcDecoder
from transect.rpc.envoy.deploy import deploy
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.versions.processor import VERBS
from transect.rpc.versions.upgrade import Version
from transect.rpc.wasm.carrier import WASM, check_copies, divided, workers_for
from transect.rpc.wasm.deploy import deploy_plugin
from transect.rpc.wasm.host import PluginHost
from transect.rpc.wasm.recording import write_log

pytestmark = pytest.mark.needs("envoy", "gcc", "clang-19", "wasm-ld-19", "grpcio", "python-headers")

HEAD = """
from transect.rpc import Chain
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.admission import Admission
from transect.examples.rpc.bandwidth import Bandwidth
from transect.examples.rpc.breaker import Breaker
from transect.examples.rpc.cache import Cache
from transect.examples.rpc.compress import Compress
from transect.examples.rpc.decrypt import Decrypt
from transect.examples.rpc.encrypt import Encrypt
from transect.examples.rpc.expand import Expand
from transect.examples.rpc.metrics import Metrics
from transect.examples.rpc.mutation import Mutation
from transect.examples.rpc.rate_limit import RateLimit

chain = Chain(service="echo.Echo", upstream="127.0.0.1:{port}", methods=["Say"], elements=[
    {elements}
])
"""
# Neither time nor chance: every carrier must do the very same.
PLAIN = """
    Acl(allowed={"ann": True, "bob": True, "a.smith": True}),
    Mutation(changes={("user", "ann"): "a.smith", ("text", "secret"): "***"}),
    Compress(), Expand(most=500),
    Acl(allowed={"bob": True, "a.smith": True, "": True}),
"""
# Time and chance come from the tape: what was recorded is what the interpreter does with the same.
TIMED = """
    Metrics(), Admission(most=3), Acl(allowed={"ann": True, "bob": True}), RateLimit(per_second=2, burst=9),
    Bandwidth(rate=20000), Breaker(), Encrypt(key=b"0123456789abcdef0123456789abcdef"),
    Decrypt(key=b"0123456789abcdef0123456789abcdef"),
"""
Call = Callable[..., str]


@dataclass(frozen=True)
class Given:
    """A chain file in front of the echo service."""

    chain: ChainFile
    binding: Binding
    sources: dict[str, str]
    port: int


@contextmanager
def given(elements: str, folder: Path, policies: str = "") -> Iterator[Given]:
    server, port = echo.serve()
    path = folder / "chain.py"
    path.write_text(policies + HEAD.replace("{port}", str(port)).replace("{elements}", elements))
    found, diagnostics = read_chain(path), Diagnostics()
    assert found.chain is not None, [d.message for d in found.diagnostics]
    binding = bound(found.chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    try:
        yield Given(found.chain, binding, found.sources, port)
    finally:
        server.stop(None)


def say(channel: Any, seed: int, count: int) -> list[str]:
    """A stream of calls, and what came of each."""
    stub, rng = echo.Stub(channel), random.Random(seed)
    said = []
    for _ in range(count):
        ask = echo.Ask(
            user=rng.choice(("ann", "bob", "a.smith", "eve", "")),
            key="k" * rng.randrange(3),
            text=rng.choice(("secret", "short", "lorem ipsum " * 20, "ü" * 400)),
        )
        try:
            said.append(str(stub.Say(ask, timeout=10).text))
        except grpc.RpcError as error:
            failed: Any = error
            said.append(f"{failed.code().name}: {failed.details()}")
    return said


def in_wasm(it: Given, folder: Path, seed: int, count: int) -> tuple[list[str], Log]:
    with deploy_plugin(it.chain, it.binding, folder / "wasm", workers=1, record=True) as running:
        with grpc.insecure_channel(str(running.envoy.address)) as channel:
            said = say(channel, seed, count)
        write_log(folder / "wasm.log", "chain", it.binding, running.starts, running.told, it.sources)
    return said, read(folder / "wasm.log")


def in_native(it: Given, folder: Path, seed: int, count: int) -> tuple[list[str], Log]:
    with deploy(it.chain, it.binding, folder / "native", workers=1) as running:
        host = Operated("rpc", "chain", EnvoyHost(running.control, it.binding, it.sources))
        host.record_start(str(folder / "native.log"))
        with grpc.insecure_channel(str(running.envoy.address)) as channel:
            said = say(channel, seed, count)
        host.record_stop()
    return said, read(folder / "native.log")


def in_grpcio(it: Given, folder: Path, seed: int, count: int) -> tuple[list[str], Log]:
    policies = []
    for use in it.chain.elements:
        module = importlib.import_module(f"transect.examples.rpc.{Path(use.program.path).stem}")
        policy: Any = getattr(module, use.program.name)()
        for name, value in use.values.items():
            if isinstance(value, dict):
                for key, item in value.items():
                    getattr(policy, name)[key] = item
            else:
                setattr(policy, name, value)
        policies.append(policy)
    with grpc.insecure_channel(f"127.0.0.1:{it.port}") as plain:
        channel: Any = transect.rpc.attach(
            plain, policies, service=echo.DESCRIPTOR, methods=["Say"], peer="127.0.0.1", native=True
        )
        channel.chain.record(folder / "grpcio.log")
        said = say(channel, seed, count)
        channel.chain.end_record()
        channel.chain.close()
    return said, read(folder / "grpcio.log")


def calls(log: Log) -> list[tuple[int, str, bytes, bytes]]:
    """Element, hook, arguments and result of each call; the end of a call without its time."""
    found = []
    for record in sorted(log.records, key=lambda r: (r.instance, r.policy, r.sequence)):
        hook = log.policies[record.policy].hooks[record.hook]
        arguments = record.arguments[:-8] if hook == "finish" else record.arguments
        found.append((record.policy, hook, arguments, record.result))
    return found


def test_the_same_stream_gives_the_same_verdicts_messages_and_state_on_every_carrier(tmp_path: Path) -> None:
    with given(PLAIN, tmp_path) as it:
        runs = [carrier(it, tmp_path, 5, 60) for carrier in (in_grpcio, in_native, in_wasm)]
    (said, log), *others = runs
    assert len(set(said)) > 5 and any(s.startswith("PERMISSION_DENIED") for s in said)
    assert len(log.records) > 150
    for other, recorded in others:
        assert other == said
        assert calls(recorded) == calls(log)
        assert recorded.trailer is not None and log.trailer is not None
        assert recorded.trailer.finals == log.trailer.finals


SECRET = """
from transect.lang import Secret, Tally, tally
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict, digest

class Ask(Message):
    text: Secret[str]
    key: str

class Used(Element):
    times: Tally[str, int] = tally(1000)
    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        text = digest(rpc.msg.text)
        self.times[text] += 1
        if self.times[text] > 9:
            return Reject(Code.RESOURCE_EXHAUSTED, f"{text} was used too often")
        rpc.msg.key = text
        return Forward()
    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        return Forward() if digest(rpc.reply.text) != "" else Reject(Code.OK, "")

class Answer(Message):
    text: Secret[str]
"""


@pytest.mark.parametrize("carrier", [in_native, in_wasm])
def test_a_secret_stands_in_no_log_and_the_log_replays(
    carrier: Callable[[Given, Path, int, int], tuple[list[str], Log]], tmp_path: Path
) -> None:
    with given("    Used(),", tmp_path, SECRET) as it:
        said, log = carrier(it, tmp_path, 5, 60)
    assert "short" in said and "ü" * 400 in said, "it passes unchanged"
    (file,) = tmp_path.glob("*.log")
    for text in ("short", "lorem ipsum", "ü" * 4):
        assert text.encode() not in file.read_bytes()
    again = compare(log, RpcDecoder(log))
    assert (again.divergence, again.same, again.calls) == (None, True, len(log.records))
    assert len(log.records) > 80 and any("was used too often" in one for one in said)


def test_what_a_plugin_recorded_is_what_the_interpreter_does(tmp_path: Path) -> None:
    with given(TIMED, tmp_path) as it:
        said, log = in_wasm(it, tmp_path, 6, 80)
    assert {"PERMISSION_DENIED", "RESOURCE_EXHAUSTED"} <= {s.split(":")[0] for s in said}
    assert log.complete
    again = compare(log, RpcDecoder(log))
    assert again.divergence is None, again.divergence
    assert (again.same, again.calls, again.open) == (True, len(log.records), ())
    assert again.calls > 300


def test_a_running_plugin_says_what_it_has_done_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    with (
        given(PLAIN, tmp_path) as it,
        deploy_plugin(it.chain, it.binding, tmp_path / "w", workers=1) as running,
    ):
        host = PluginHost(running, Version.of_chain(it.chain, it.sources))
        operated = Operated("rpc", "chain", host)
        with grpc.insecure_channel(str(running.envoy.address)) as channel:
            say(channel, 5, 10)
        while (status := operated.status())["counters"]["rpcs"] < 10:
            pass
        causes = status["details"]["causes"]
        assert sum(p["counts"]["rejected"] for p in status["policies"]) == causes["reject"] > 0
        assert causes["reply"] + causes["reject"] == 10
        whole, first, *_ = status["details"]["latency"]
        assert (whole["of"], whole["timed"], first["of"], first["timed"]) == ("RPC", 10, "Acl", 10)
        assert 0 < first["p50_us"] <= first["p99_us"] < whole["p99_us"]
        with pytest.raises(Refused, match="from its start"):
            operated.record_start("x")
        assert host.verbs("chain").keys() == {f"edge-{name}" for name in VERBS}
        for verb in host.verbs("chain").values():
            with pytest.raises(Refused, match="no one of several processors"):
                verb()


def refused(elements: str, workers: int | None, folder: Path) -> list[tuple[str, str]]:
    """The diagnostics of a chain as a plugin."""
    diagnostics = Diagnostics()
    with given(elements, folder) as it:
        binding = bound(it.chain, diagnostics, WASM)
        if binding is not None:
            check_copies(binding, workers_for(binding, workers), diagnostics)
    return [(d.code, d.message) for d in diagnostics]


def test_a_plugin_cannot_answer_a_call(tmp_path: Path) -> None:
    assert refused("Cache()", 1, tmp_path) == [("R020", "a WASM plugin cannot answer a call: `Respond`")]


def test_state_that_workers_would_divide_wants_one_worker(tmp_path: Path) -> None:
    message = "each worker would have a `buckets` of its own"
    assert refused("RateLimit()", 2, tmp_path) == [("R023", message)]
    assert refused("RateLimit()", 1, tmp_path) == refused("RateLimit()", None, tmp_path) == []
    assert refused('Acl(allowed={"ann": True})', 2, tmp_path) == [], "no handler changes the list"


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="clang") as caught:
        compiler()
    assert caught.value.hint == "apt-get install clang-19 lld-19"


def test_sums_that_no_verdict_reads_may_be_divided() -> None:
    assert [f.name for f in divided(program("metrics"))] == ["failures"], "a tally without `merge=`"
    assert [f.name for f in divided(program("acl"))] == []
    assert [f.name for f in divided(program("breaker"))] == ["failed", "again"]
