# SPDX-License-Identifier: Apache-2.0
"""A whole stack of real parts: a chain in Envoy before a gRPC service that takes turns; a gateway before an engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.parts import ROOT
from tests.systems.llm.running import free_port
from tests.systems.llm.upstream import engine
from transect.base.shipped import path_of
from transect.control import Client, Refused
from transect.identity import HEADER, Keys

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

PROTO = """\
syntax = "proto3";
package shop;
message Item { string user = 1; }
service Shop { rpc Buy (Item) returns (Item); }
"""
CHAIN = """\
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain

chain = Chain(
    service="shop.Shop",
    upstream="127.0.0.1:{service}",
    listen="127.0.0.1:{front}",
    protos=["shop.proto"],
    elements=[Acl(allowed={{"alice": True, "bob": True}}), RateLimit(per_second=10000, burst=10000)],
)
"""
GATEWAY = """\
listen = "127.0.0.1:{clients}"
admin = "127.0.0.1:{admin}"
[[upstreams]]
url = "{engine}"
window = 1024
[identity]
unknown = "share"
"""
STACK = """\
from share import FairShare
from transect.stack import Front, Gateway, Program, Stack

stack = Stack(
    tenants="tenants.toml",
    identity="identity.key",
    share=FairShare(),
    parts=[
        Program(name="shop", command=["{python}", "{shop}", "{service}"], ready="127.0.0.1:{service}"),
        Front(chain="front.py", workers=1),
        Gateway(config="gateway.toml"),
    ],
)
"""


@dataclass
class Whole:
    """A stack under test."""

    process: subprocess.Popen[bytes]
    folder: Path
    name: str
    front: int
    gateway: int
    metrics: int
    http: httpx.Client

    def ask(
        self, who: str, word: str | None = None, tokens: int = 2, more: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A prompt of a tenant's, for whom the layer before vouches; `word`: by this word.  `more`: headers."""
        url = f"http://127.0.0.1:{self.gateway}/v1/completions"
        headers = {HEADER: word or self.keys.vouch(who), **(more or {})}
        return self.http.post(url, json={"max_tokens": tokens, "prompt": [1, 2]}, headers=headers)

    @property
    def keys(self) -> Keys:
        return Keys(self.folder / "identity.key")

    def status(self) -> dict[str, Any]:
        return dict(Client("stack", self.name).status())

    def parts(self) -> dict[str, dict[str, Any]]:
        return {row["part"]: row for row in self.status()["details"]["parts"]}

    def settles(self, condition: Callable[[], bool], limit_s: float = 20.0) -> bool:
        until = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until or self.process.poll() is not None:
                return False
            time.sleep(0.05)
        return True

    def buy(self, who: str, wait_s: float = 5.0) -> grpc.StatusCode:
        with grpc.insecure_channel(f"127.0.0.1:{self.front}") as channel:
            return self.buy_by(channel, who, wait_s)

    def buy_by(
        self, channel: grpc.Channel, who: str, wait_s: float = 5.0, more: Sequence[tuple[str, str]] = ()
    ) -> grpc.StatusCode:
        call: Any = channel.unary_unary("/shop.Shop/Buy")
        item = b"\n" + bytes([len(who)]) + who.encode()
        try:
            call(item, timeout=wait_s, metadata=((HEADER, self.keys.vouch(who)), *more))
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def transect(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "transect.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=self.folder)


@contextmanager
def whole(folder: Path) -> Iterator[Whole]:
    ports = {name: free_port() for name in ("service", "front", "clients", "admin", "metrics")}
    with engine() as served, httpx.Client(timeout=30) as http:
        words = {**ports, "engine": served.url, "python": sys.executable}
        words["shop"] = str(ROOT / "tests/systems/stack/shop.py")
        (folder / "shop.proto").write_text(PROTO)
        (folder / "front.py").write_text(CHAIN.format(**words))
        (folder / "gateway.toml").write_text(GATEWAY.format(**words))
        (folder / "tenants.toml").write_text("[tenants]\nalice = 400\nbob = 100\n")
        (folder / "identity.key").touch(0o600)
        (folder / "identity.key").write_text("ab" * 32)
        (folder / "share.py").write_text(path_of("fair_share").read_text())
        name = f"stack{ports['front']}"  # as root all instances of a machine are in one folder
        (folder / f"{name}.py").write_text(STACK.format(**words))
        with (folder / "said").open("wb") as said:
            command = [
                sys.executable,
                "-m",
                "transect.cli",
                "run",
                f"{name}.py",
                "--metrics",
                f"127.0.0.1:{ports['metrics']}",
            ]
            process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, start_new_session=True)
        running = Whole(process, folder, name, ports["front"], ports["clients"], ports["metrics"], http)
        try:
            assert running.settles(lambda: "all parts are ready" in running.said(), 60), running.said()
            yield running
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("stack")) as it:
        yield it
        it.process.terminate()
        assert it.process.wait(20) == 0, it.said()


def test_one_status_has_the_policies_of_all_parts(running: Whole) -> None:
    assert running.buy("alice") is grpc.StatusCode.OK
    assert running.buy("mallory") is grpc.StatusCode.PERMISSION_DENIED
    status = running.status()
    assert [row["name"] for row in status["policies"]] == [
        "front.Acl",
        "front.RateLimit",
        "gateway.FairShare",
    ]
    assert status["policies"][0]["counts"]["rejected"] == 1
    assert status["details"]["tenants"] == {"alice": 400, "bob": 100}
    shown = running.transect("status", running.name)
    assert shown.returncode == 0
    assert "gateway.FairShare" in shown.stdout


def test_the_gateway_has_the_stacks_weights_and_follows_them(running: Whole) -> None:
    def weights() -> dict[str, int]:
        tenants = Client("llm", f"{running.name}.gateway").status()["details"]["tenants"]
        return {row["tenant"]: row["weight"] for row in tenants}

    assert [running.ask(who).status_code for who in ("alice", "bob", "mallory")] == [200] * 3
    assert weights() == {"alice": 400, "bob": 100, "anonymous": 100}
    path = running.folder / "tenants.toml"
    path.write_text("[tenants]\nalice = 300\nbob = 100\n")
    try:
        assert running.settles(lambda: weights()["alice"] == 300)
        path.write_text("[tenants]\nalice = -1\n")
        time.sleep(1.5)
        assert weights()["alice"] == 300, "a damaged file changes nothing"
    finally:
        path.write_text("[tenants]\nalice = 400\nbob = 100\n")
    assert running.settles(lambda: weights()["alice"] == 400)


def test_who_is_vouched_for_is_served_as_that_tenant_and_a_word_serves_once(running: Whole) -> None:
    def asked() -> dict[str, int]:
        rows = Client("llm", f"{running.name}.gateway").status()["details"]["tenants"]
        return {row["tenant"]: row["finished"] for row in rows}

    before, word = asked(), running.keys.vouch("bob")
    for _ in range(3):
        assert running.ask("bob", word).status_code == 200
    assert running.ask("alice", "alice").status_code == 200
    after = asked()
    assert {who: after.get(who, 0) - before.get(who, 0) for who in ("alice", "bob", "anonymous")} == {
        "alice": 0, "bob": 1, "anonymous": 3,
    }  # fmt: skip
    words = Client("llm", f"{running.name}.gateway").status()["details"]["identity"]
    assert (words["replayed"], words["malformed"]) == (2, 1)


def test_the_chain_in_envoy_vouches_for_whom_it_believes(running: Whole) -> None:
    def words() -> Counter[str]:
        return Counter(Client("rpc", f"{running.name}.front").status()["details"]["identity"])

    before = words()
    assert running.buy("alice") is grpc.StatusCode.OK
    assert words() - before == Counter(believed=1, vouched=1)


def test_a_request_whose_deadline_has_passed_is_not_served(running: Whole) -> None:
    answer = running.ask("bob", running.keys.vouch("bob", time.monotonic() - 0.1))
    assert (answer.status_code, "deadline" in answer.text) == (504, True)


def test_who_takes_turns_is_served_by_weight(running: Whole) -> None:
    served: Counter[str] = Counter()
    until = time.monotonic() + 3.0

    def flood(who: str) -> None:
        while time.monotonic() < until:
            if running.buy(who) is grpc.StatusCode.OK:
                served[who] += 1

    threads = [threading.Thread(target=flood, args=(who,)) for who in ("alice", "bob") for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 3.0 < served["alice"] / served["bob"] < 5.0, served


@contextmanager
def flooded(running: Whole, each: int = 24) -> Iterator[None]:
    """Both tenants have more calls and more prompts than are served, until the block ends."""
    over = threading.Event()

    def buy(who: str) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{running.front}") as channel:
            while not over.is_set():
                running.buy_by(channel, who)

    def ask(who: str) -> None:
        while not over.is_set():
            running.ask(who, tokens=100)

    threads = [
        threading.Thread(target=do, args=(who,))
        for who in ("alice", "bob")
        for do in [buy] * 12 + [ask] * each
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def who_wait(running: Whole, looks: int = 8) -> set[tuple[str, str]]:
    """The layers and tenants with requests that wait at one of several moments."""
    shown = [
        running.transect("top", running.name, "--once", "--json", "--every", "0.2") for _ in range(looks)
    ]
    layers = [layer for one in shown for layer in json.loads(one.stdout)["layers"]]
    rows = [(layer["name"], row) for layer in layers for row in layer.get("tenants", ())]
    return {(name, row["tenant"]) for name, row in rows if row["waiting"]}


def test_top_shows_both_tenants_served_by_weight_at_both_layers_and_says_where_there_is_none(
    running: Whole,
) -> None:
    with flooded(running):
        time.sleep(1.0)
        told = running.transect("top", running.name, "--once", "--json", "--every", "4")
        shown = running.transect("top", running.name, "--once", "--every", "1")
        waiting = who_wait(running)
        metrics = running.http.get(f"http://127.0.0.1:{running.metrics}/metrics").text
    assert told.returncode == 0, told.stderr
    labels = f'{{stack="{running.name}",layer="%s",tenant="alice",unit="%s"}}'
    for layer in (("shop", "seconds"), ("gateway", "tokens")):
        assert f"transect_tenant_served_total{labels % layer}" in metrics
    layers = {layer["name"]: layer for layer in json.loads(told.stdout)["layers"]}
    assert list(layers) == ["shop", "front", "gateway"]
    assert "no queue" in layers["front"]["why"]
    for name in ("shop", "gateway"):
        rows = {row["tenant"]: row for row in layers[name]["tenants"]}
        alice, bob = rows["alice"], rows["bob"]
        assert (alice["due"], bob["due"]) == (pytest.approx(0.8), pytest.approx(0.2)), "both want more"
        assert 0.75 < alice["got"] < 0.85, layers[name]
        assert {(name, "alice"), (name, "bob")} <= waiting, (
            "a queue is empty at some moments, not at all of them"
        )
    assert shown.returncode == 0, shown.stderr
    assert "front: a chain has no queue" in shown.stdout
    assert [line.split()[:3] for line in shown.stdout.splitlines() if "alice" in line.split()[:2]] == [
        ["shop", "alice", "400"],
        ["gateway", "alice", "400"],
    ]


def test_a_part_that_is_killed_is_back_soon_and_the_others_go_on(running: Whole) -> None:
    before = running.parts()["front"]
    os.kill(before["pid"], signal.SIGKILL)
    began = time.monotonic()
    assert running.settles(lambda: running.buy("alice", 0.5) is grpc.StatusCode.OK), running.said()
    assert time.monotonic() - began < 15, "a quiet machine takes one or two seconds"
    assert running.settles(lambda: running.parts()["front"]["state"] == "ready")
    after = running.parts()
    assert after["front"]["restarts"] == before["restarts"] + 1
    assert [after[name]["restarts"] for name in ("shop", "gateway")] == [0, 0]


def test_all_parts_are_recorded_by_one_command(running: Whole) -> None:
    folder = running.folder / "logs"
    with Client("stack", running.name).recording(folder) as recording:
        assert running.status()["recording"] == str(folder)
        running.buy("alice")
        assert recording.end()["records"] >= 1
    assert running.status()["recording"] is None
    logs = sorted(path.name for path in folder.iterdir())
    assert logs == [f"{running.name}.{part}.log" for part in ("front", "gateway", "shop")]
    replayed = running.transect("replay", str(folder / logs[0]))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_every_layer_says_why_one_request_was_served_as_it_was(running: Whole) -> None:
    """Envoy, the service and the gateway are asked for one trace: bob floods, and alice's request is one of many."""
    folder = running.folder / "why"
    traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    with flooded(running, 2), Client("stack", running.name).recording(folder) as recording:
        with grpc.insecure_channel(f"127.0.0.1:{running.front}") as channel:
            assert running.buy_by(channel, "alice", more=[*traced.items()]) is grpc.StatusCode.OK
        answer = running.ask("alice", more=traced)
        assert recording.end()["dropped"] == 0
    told = running.transect("why", TRACE, str(folder), "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    front, shop, gateway = (layer for layer in json.loads(told.stdout)["layers"])
    assert all(layer["explained"] and layer["real"] for layer in (front, shop, gateway))
    hooks = [(d["policy"], d["hook"], d["verdict"]) for d in front["decisions"]]
    assert hooks[:2] == [("Acl", "request", "Forward()"), ("RateLimit", "request", "Forward()")]
    assert {"what": "allowed[alice]", "value": "true"} in front["decisions"][0]["lines"][0]["values"]
    assert shop["waited"] and sum(shop["went_first"].values()) > 0
    chosen = next(d for d in shop["decisions"] if d["hook"] == "pick")
    assert chosen["verdict"] == "alice"
    given = Counter(name for layer in (front, gateway) for name in layer["ids"])
    assert given[TRACE] == 2
    assert answer.headers["x-request-id"] in gateway["ids"]
    shown = running.transect("why", answer.headers["x-request-id"], str(folder))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "FairShare.pick → alice" in shown.stdout


def test_a_parameter_of_a_part_is_set(running: Whole) -> None:
    answer = running.transect("set", running.name, "front.RateLimit.per_second=9000")
    assert (answer.returncode, answer.stdout) == (0, "front.RateLimit.per_second: 10000 → 9000\n"), (
        answer.stderr
    )
    told = Client("rpc", f"{running.name}.front").status()["state"]
    assert [row["value"] for row in told if row["field"] == "per_second"] == ["9000"]


def test_status_as_json_is_for_programs(running: Whole) -> None:
    told = json.loads(running.transect("status", running.name, "--json").stdout)
    assert {row["part"] for row in told["details"]["parts"]} == {"shop", "front", "gateway"}


def changed(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@contextmanager
def calling(running: Whole) -> Iterator[Counter[grpc.StatusCode]]:
    """What alice's calls come to meanwhile."""
    codes: Counter[grpc.StatusCode] = Counter()
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            codes[running.buy("alice")] += 1

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield codes
    finally:
        over.set()
        thread.join()


def test_a_new_version_of_the_whole_comes_into_force_and_no_call_fails(running: Whole) -> None:
    changed(running.folder / "front.py", '"bob": True', '"bob": True, "carol": True')
    changed(running.folder / "share.py", "class FairShare", "# newer\nclass FairShare")
    assert running.buy("carol") is grpc.StatusCode.PERMISSION_DENIED
    with calling(running) as codes:
        told = Client("stack", running.name, 60.0).upgrade(running.folder / f"{running.name}.py")
    assert told["details"]["parts"] == {"shop": "same", "front": "upgraded", "gateway": "upgraded"}
    assert {row["name"] for row in told["policies"]} == {"gateway.FairShare"}, (
        "the chain's values alone are new"
    )
    assert running.buy("carol") is grpc.StatusCode.OK
    assert codes.keys() == {grpc.StatusCode.OK}


def test_where_one_part_refuses_all_are_as_they_were(running: Whole) -> None:
    whole_file = running.folder / f"{running.name}.py"
    old = {name: (running.folder / name).read_text() for name in ("front.py", "share.py", "gateway.toml")}
    before = running.status()
    changed(running.folder / "front.py", ', "carol": True', "")
    changed(running.folder / "share.py", "import Tally, tally", "import Tally, as_float, as_int, tally")
    changed(running.folder / "share.py", "level: int = 0", "level: float = 0.0")
    changed(
        running.folder / "share.py",
        "self.level, self.served[chosen]",
        "self.level, as_float(self.served[chosen])",
    )
    changed(running.folder / "share.py", "default=self.level", "default=as_int(self.level)")
    changed(running.folder / "gateway.toml", '"share"', '"refuse"')
    try:
        with calling(running) as codes, pytest.raises(Refused) as no:
            Client("stack", running.name, 60.0).upgrade(whole_file)
        assert "could not go back" in no.value.why
        assert no.value.why.endswith("all parts are as they were")
        assert running.buy("carol") is grpc.StatusCode.OK
        assert [row["version"] for row in running.status()["policies"]] == [
            row["version"] for row in before["policies"]
        ]
        assert codes.keys() == {grpc.StatusCode.OK}
        assert running.ask("", "nobody").status_code == 200, "the gateway still serves strangers as one"
    finally:
        for name, text in old.items():
            (running.folder / name).write_text(text)


def test_a_part_that_comes_and_goes_leaves_the_others_alone(running: Whole) -> None:
    whole_file = running.folder / f"{running.name}.py"
    old, pids = whole_file.read_text(), {name: row["pid"] for name, row in running.parts().items()}
    late = 'Program(name="late", command=["sleep", "600"]),\n    ],'
    changed(whole_file, "],\n)", f"    {late}\n)")
    client = Client("stack", running.name, 60.0)
    told = client.upgrade(whole_file)
    assert told["details"]["parts"]["late"] == "new"
    late_pid = running.parts()["late"]["pid"]
    whole_file.write_text(old)
    assert client.upgrade(whole_file)["details"]["parts"]["late"] == "gone"
    with pytest.raises(ProcessLookupError):
        os.kill(late_pid, 0)
    assert {name: row["pid"] for name, row in running.parts().items()} == pids


def test_a_stack_with_mistakes_changes_nothing(running: Whole) -> None:
    bad = running.folder / "bad.py"
    bad.write_text("from transect.stack import Stack\n\nstack = Stack(parts=[])\n")
    answer = running.transect("upgrade", str(bad), running.name)
    assert answer.returncode == 1
    assert "T001" in answer.stderr
