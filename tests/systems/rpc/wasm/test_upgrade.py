# SPDX-License-Identifier: Apache-2.0
"""A plugin is replaced while RPCs pass, as a native module is; and what the machines of several workers mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.systems.rpc.envoy import test_upgrade as of_modules
from tests.systems.rpc.envoy.test_upgrade import (
    Upgraded,
    calling,
    crashing_compiler,
    fitted,
    loaded,
    until,
    upgraded,
)
from tests.systems.rpc.grpcio.test_upgrade import NEXT
from tests.unit.cli.terminal import runner
from transect.base.diagnostic import Diagnostics
from transect.cli.exits import Exit
from transect.control import params
from transect.control.operating import Operated
from transect.control.protocol import Refused
from transect.core.codec import decode_state
from transect.core.schema import schema
from transect.rpc import echo
from transect.rpc.chain.file import Read
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.upgrading import Running
from transect.rpc.versions.upgrade import Version
from transect.rpc.wasm.carrier import WASM
from transect.rpc.wasm.deploy import deploy_plugin
from transect.rpc.wasm.host import PluginHost

pytestmark = pytest.mark.needs("envoy", "clang-19", "wasm-ld-19", "grpcio")


def plugin(read: Read, folder: Path, workers: int = 1) -> tuple[Running[Any], Any]:
    diagnostics = Diagnostics()
    assert read.chain is not None
    binding = bound(read.chain, diagnostics, WASM)
    assert binding is not None, [d.message for d in diagnostics]
    running = deploy_plugin(read.chain, binding, folder, workers=workers)
    version = Version.of_chain(read.chain, read.sources)
    return running, PluginHost(running, version)


SUMS = """
from transect.lang import Counter, Param, counter, param
from transect.rpc import Element, Forward, Message, Reject, Code, Rpc, Verdict


class Ask(Message):
    user: str


class Count(Element):
    seen: Counter = counter()
    open: Param[bool] = param(True)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.seen.add()
        return Forward() if self.open else Reject(Code.RESOURCE_EXHAUSTED, "closed")
"""
OWN = (
    SUMS.replace("seen: Counter = counter()", 'seen: int = state(0, scope="worker")')
    .replace("seen.add()", "seen += 1")
    .replace("import C", "import state, C", 1)
)


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Upgraded]:
    with upgraded(tmp_path, plugin) as made:
        yield made


def change_slowly(it: Upgraded, param: str, value: int) -> None:
    """Calls pass meanwhile, until they are made to wait."""
    found = params.find(it.host.programs, param)

    def change(image: bytes) -> bytes:
        time.sleep(0.03)
        return found.put(value, lambda _: None)(image)

    it.host.upgrades.now.swap(found.element, change)


def test_upgrades_under_load_lose_nothing_and_mix_nothing(it: Upgraded) -> None:
    chains = it.chain("first"), it.chain("second")
    with loaded(it) as answers:
        for turn in range(3):
            wanted = len(answers) + 50
            until(lambda wanted=wanted: len(answers) > wanted)  # type: ignore[misc]
            it.upgrade(chains[(turn + 1) % 2])
        change_slowly(it, "most", 999)
    assert it.state()["most"] == 999
    assert set(answers) == {"11", "22"}
    assert it.host.version == 4
    assert it.counted() == (len(answers), len(answers), 0)
    until(lambda: it.host.upgrades._settling is None)


def test_a_stream_ends_on_the_version_that_began_it(it: Upgraded) -> None:
    of_modules.test_a_stream_ends_on_the_version_that_began_it(it)


def test_what_crashes_at_its_first_call_leaves_the_old_one_serving(
    it: Upgraded, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = it.folder / "bad.py"
    crashes = {
        "ts_chain_new": "trial of the new version failed",
        "ts_chain_request": "crashed in its first calls: .*",
    }
    with calling(it) as stub:
        for number, (function, why) in enumerate(crashes.items()):
            monkeypatch.setenv("CLANG", str(crashing_compiler(it.folder, function, "clang-19")))
            bad.write_text(fitted(NEXT).replace("added: int = 7", f"added: int = {number}"))
            with pytest.raises(Refused, match=why):
                it.upgrade(bad)
            assert stub.Say(echo.Ask(user="alice", text="x")).text == "11"
    assert it.host.version == 1
    assert it.counted() == (2, 2, 0)


def of_two_workers(read: Read, folder: Path) -> tuple[Running[Any], Any]:
    return plugin(read, folder, workers=2)


def connected(it: Upgraded, count: int) -> list[str]:
    """What calls over as many connections say: Envoy spreads them over its workers."""
    said = []
    for _ in range(count):
        with calling(it) as stub:
            try:
                said.append(str(stub.Say(echo.Ask(user="ann", text="hi"), timeout=10).text))
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                said.append(error.code().name)
    return said


def seen(it: Upgraded) -> list[int]:
    """By each machine."""
    copy = it.host.upgrades.now
    program = it.host.programs[0]
    images = [copy._image(machine, 0) for machine in copy.machines]
    return [decode_state(schema(program).declared, image)["seen"].value for image in images]


def test_sums_of_two_workers_are_one_and_a_parameter_is_set_in_both(tmp_path: Path) -> None:
    with upgraded(tmp_path, of_two_workers, SUMS, SUMS.replace("closed", "shut")) as it:
        until(lambda: len(connected(it, 1)) == 1 and sorted(seen(it))[1] > 0)  # both have seen calls
        for turn in range(2):
            before = it.state()["seen"]
            it.upgrade(it.folder / ("second.py", "first.py")[turn])
            assert it.state()["seen"] == before
            assert connected(it, 8) == ["hi"] * 8
            assert it.state()["seen"] == before + 8
        Operated("rpc", "chain", it.host).set("open", "False")
        assert set(connected(it, 16)) == {"RESOURCE_EXHAUSTED"}
        divided = SUMS.replace("self.seen.add()", "self.last += 1").replace(
            "    open:", "    last: int = 0\n    open:"
        )
        (it.folder / "third.py").write_text(divided)
        with pytest.raises(Refused, match=r"(?s)does not fit.*R023"):
            it.upgrade(it.folder / "third.py")
        assert it.host.version == 3


def test_the_command_upgrades_a_plugin_and_says_what_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path / "run")
    run = runner(capsys)
    with upgraded(tmp_path, of_two_workers, OWN.replace("        self.seen += 1\n", ""), OWN) as it:
        with Operated("rpc", "front", it.host).serve(it.host.verbs("front")):
            done = run("rpc", "upgrade", it.chain("second"), "front")
            assert done.code == Exit.DONE, done.out + done.err
            assert "\nversion   2\n" in done.out
            own = run("rpc", "upgrade", it.chain("first"), "front")
            assert own.code == Exit.NO
            assert "each of 2 workers has Count.seen of its own" in own.err
            assert "give it another name" in own.err and "--workers 1" in own.err
            (it.folder / "anew.py").write_text(OWN.replace("seen", "counted"))
            anew = run("rpc", "upgrade", it.folder / "anew.py", "front", "--no-return")
            assert anew.code == Exit.DONE, anew.out + anew.err
            assert connected(it, 4) == ["hi"] * 4
            file = it.chain("first")
            several = run("rpc", "upgrade", f"front={file}")
            assert several.code == Exit.NO
            assert "is no one of several processors" in several.err
            assert it.host.version == 3
