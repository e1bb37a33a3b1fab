# SPDX-License-Identifier: Apache-2.0
"""A chain in a real Envoy is replaced while RPCs pass: each sees one version, none fails, what was counted stays."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.grpcio.test_upgrade import COUNT, NEXT, PAUSE_S
from transect.base.diagnostic import Diagnostics
from transect.control.operating import Operated
from transect.control.protocol import Refused
from transect.core.codec import decode_state
from transect.core.schema import schema
from transect.rpc import echo
from transect.rpc.chain.file import Read, read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.envoy.upgrading import Running
from transect.rpc.versions.upgrade import Version

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

CHAIN = """
from {file} import Count
from transect.rpc import Chain

chain = Chain(service="echo.Echo", upstream="127.0.0.1:{port}", elements=[Count({values})])
"""


def fitted(text: str) -> str:
    """The policy for echo's messages, which have no number: the version is told in texts."""
    for version in "12":
        text = text.replace(f"rpc.msg.number = {version}\n", f'rpc.msg.text = "{version}"\n')
        text = text.replace(
            f"rpc.reply.number = rpc.reply.number * 10 + {version}\n",
            f'rpc.reply.text = "{version}{version}" if rpc.reply.text == "{version}" else "mixed"\n',
        )
    return text.replace("number: int", "text: str")


@dataclass(frozen=True)
class Upgraded:
    deployed: Running[Any]
    host: Any  # EnvoyHost, or PluginHost
    folder: Path
    port: int

    def chain(self, file: str, values: str = "") -> Path:
        """A chain file."""
        path = self.folder / f"chain_{file}.py"
        path.write_text(CHAIN.format(file=file, port=self.port, values=values))
        return path

    def upgrade(self, path: Path, automatic_return: bool = False) -> dict[str, str]:
        told: dict[str, str] = dict(self.host.upgrade(path, automatic_return).fields)
        return told

    def state(self) -> dict[str, Any]:
        program = self.host.programs[0]
        image = self.host.upgrades.now.save(0)
        return {name: slot.value for name, slot in decode_state(schema(program).declared, image).items()}

    def counted(self) -> tuple[int, int, int]:
        until(lambda: bool(self.host.told()["settled"]))
        state = self.state()
        return sum(n for _, n in state["users"]), state["ended"], state["under_way"]


def until(check: Callable[[], bool], seconds: float = 15.0) -> None:
    limit = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < limit, "it does not come"
        time.sleep(0.01)


@contextmanager
def upgraded(
    folder: Path,
    start: Callable[[Read, Path], tuple[Running[Any], Any]],
    first: str = COUNT,
    second: str = NEXT,
) -> Iterator[Upgraded]:
    """The first version in force; `start`: what brings up a chain, in a folder, and its host."""
    server, port = echo.serve()
    (folder / "first.py").write_text(fitted(first))
    (folder / "second.py").write_text(fitted(second))
    path = folder / "chain_first.py"
    path.write_text(CHAIN.format(file="first", port=port, values=""))
    read = read_chain(path)
    assert read.chain is not None, [d.message for d in read.diagnostics]
    try:
        deployed, host = start(read, folder / "envoy")
        with deployed:
            yield Upgraded(deployed, host, folder, port)
            assert deployed.envoy.alive, deployed.envoy.last_word
        assert deployed.envoy.process.returncode == 0, deployed.envoy.last_word
    finally:
        server.stop(None)


def native(read: Read, folder: Path) -> tuple[Running[Any], Any]:
    diagnostics = Diagnostics()
    assert read.chain is not None
    binding = bound(read.chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    deployed = deploy(read.chain, binding, folder, workers=2)
    version = Version.of_chain(read.chain, read.sources)
    return deployed, EnvoyHost(deployed.control, binding, read.sources, deployed=deployed, version=version)


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Upgraded]:
    with upgraded(tmp_path, native) as made:
        yield made


@contextmanager
def calling(it: Upgraded) -> Iterator[Any]:
    with grpc.insecure_channel(
        str(it.deployed.envoy.address), options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        yield echo.Stub(channel)


@contextmanager
def loaded(it: Upgraded, threads: int = 4) -> Iterator[list[str]]:
    """What the calls, made by so many clients meanwhile, have answered."""
    stopping, answers = threading.Event(), list[str]()

    def loop(user: str) -> None:
        with calling(it) as stub:
            while not stopping.is_set():
                answers.append(str(stub.Say(echo.Ask(user=user, text="hi"), timeout=10).text))
                time.sleep(PAUSE_S)

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(loop, f"u{n}") for n in range(threads)]
        try:
            yield answers
        finally:
            stopping.set()
    for one in running:
        one.result()


def test_upgrades_under_load_lose_nothing_and_mix_nothing(it: Upgraded) -> None:
    chains = it.chain("first"), it.chain("second")
    with loaded(it) as answers:
        for turn in range(4):
            wanted = len(answers) + 50
            until(lambda wanted=wanted: len(answers) > wanted)  # type: ignore[misc]
            it.upgrade(chains[(turn + 1) % 2])
    assert set(answers) == {"11", "22"}
    assert it.host.version == 5
    assert it.counted() == (len(answers), len(answers), 0)
    until(lambda: it.host.upgrades is not None and it.host.upgrades._settling is None)
    sockets = sorted(path.name for path in (it.folder / "envoy").glob("module-*.sock"))
    assert sockets == ["module-5.sock"], "older versions have gone"


def test_a_stream_ends_on_the_version_that_began_it(it: Upgraded) -> None:
    with calling(it) as stub:
        asks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        replies = stub.Chat(iter(asks.get, None))
        asks.put(echo.Ask(user="alice", text="x"))
        assert next(replies).text == "11"
        it.upgrade(it.folder / "second.py")
        with calling(it) as other:
            assert other.Say(echo.Ask(user="alice", text="x")).text == "22"
        asks.put(echo.Ask(user="alice", text="x"))
        assert next(replies).text == "11"
        assert not it.host.told()["settled"]
        until(lambda: dict(it.state()["users"]) == {"alice": 3})
        asks.put(None)
        assert list(replies) == []
        assert it.counted() == (3, 2, 1), "a message counts, an RPC ends"


def test_a_chain_file_replaces_configuration_and_keeps_what_was_set(it: Upgraded) -> None:
    with calling(it) as stub:
        stub.Say(echo.Ask(user="alice", text="x"))
        it.upgrade(it.chain("second", "most=1"))
        with pytest.raises(grpc.RpcError, match="enough"):
            stub.Say(echo.Ask(user="alice", text="x"))
        Operated("rpc", "chain", it.host).set("most", "9")
        told = it.upgrade(it.chain("second", "most=2"))
        assert told["Count.users"] == "keep"
        assert stub.Say(echo.Ask(user="alice", text="x")).text == "22"
        assert it.state()["most"] == 9


def crashing_compiler(folder: Path, function: str = "ts_chain_new", real: str = "gcc") -> Path:
    """Chains that it compiles for Envoy crash when that function is called: on loading, or at the first RPC."""
    (folder / "crash.c").write_text(f"void __wrap_{function}(void) {{ __builtin_trap(); }}\n")
    compiler = folder / real
    crash = f'"$@" {folder}/crash.c -Wl,--wrap={function}'
    links = "*-DTS_LAYOUT*-o*|*wasm32*-o*"
    choice = f'case "$*" in {links}) exec {shutil.which(real)} {crash} ;; *) exec {shutil.which(real)} "$@" ;; esac'
    compiler.write_text(f"#!/bin/sh\n{choice}\n")
    compiler.chmod(0o755)
    return compiler


def test_what_cannot_run_leaves_the_old_one_serving(it: Upgraded, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = it.folder / "bad.py"
    with calling(it) as stub:

        def refused(text: str, why: str) -> None:
            bad.write_text(text)
            with pytest.raises(Refused, match=why):
                it.upgrade(bad)
            assert stub.Say(echo.Ask(user="alice", text="x")).text == "11"

        refused("class Count(:", "the new version has errors")
        refused(fitted(COUNT).replace("user: str", "usr: str").replace("msg.user", "msg.usr"), "R001")
        refused(CHAIN.format(file="second", port=1, values=""), "another `upstream`")
        monkeypatch.setenv("CC", str(crashing_compiler(it.folder)))
        refused(fitted(NEXT), r"a trial of the new version failed: Envoy crashed \(SIG")
        crashing_compiler(it.folder, "ts_chain_request")
        refused(fitted(NEXT).replace("added: int = 7", "added: int = 8"), r"crashed in its first calls \(SIG")
        assert it.host.version == 1
        assert it.counted() == (5, 5, 0)
