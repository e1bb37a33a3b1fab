# SPDX-License-Identifier: Apache-2.0
"""State that survives restarts, and a configuration that is read anew."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from transect.base.shipped import path_of
from transect.cli.llm import running as command
from transect.control import Operated
from transect.llm import keys, saved_state
from transect.llm.config import Config
from transect.llm.gateway import serve
from transect.llm.gateway.serve import Gateway
from transect.llm.gateway.settings import read_gateway
from transect.llm.gateway.share import Valkey
from transect.llm.host import LlmHost
from transect.llm.request import Held
from transect.llm.service import Service


def service(policy: str, folder: Path, known: list[str] | None = None) -> Service:
    return Service(Config(policy=policy), folder, bound=1 << 60, running=lambda: (), known=known or [])


def with_work(folder: Path) -> Path:
    """A file with the state of VTC, which has served tenant 0."""
    served = service("vtc", folder, ["ann"])
    served.queues.add(Held(0, input=40))
    served.queues.pop()
    saved_state.save(served, folder / "kept.json")
    return folder / "kept.json"


def test_counters_go_on_after_a_restart(tmp_path: Path) -> None:
    path = with_work(tmp_path)
    again = service("vtc_weighted", tmp_path, saved_state.names_in(path))
    assert saved_state.load(again, path)
    assert again.counter_of(0) == 40_000_000
    assert not saved_state.load(again, tmp_path / "none.json")


def test_only_its_owner_reads_the_state(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert with_work(tmp_path).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_a_state_that_cannot_go_over_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = with_work(tmp_path)
    before = path.read_bytes()
    text = path_of("vtc").read_text()
    (tmp_path / "narrow.py").write_text(
        text.replace("last: Client | None = None", "last: int = 0")
        .replace("0 if self.last is None else self.served[self.last]", "self.last")
        .replace("self.last = client", "self.last = self.served[client]")
    )
    narrow = service("./narrow.py", tmp_path)
    with pytest.raises(saved_state.NotKept) as refused:
        saved_state.load(narrow, path)
    assert f"the state in {path} cannot go over to Vtc" in str(refused.value) and "`last`" in str(
        refused.value
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "no state of this version"),
        ('{"version": 99}', "no state of this version"),
        ('{"version": true, "policy": "Vtc", "schema": {}, "tenants": [], "state": ""}', "no state of this"),
        ('{"version": 1.0, "policy": "Vtc", "schema": {}, "tenants": [], "state": ""}', "no state of this"),
    ],
)
def test_a_file_that_is_no_state_is_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text(content)
    with pytest.raises(saved_state.NotKept, match=said) as refused:
        saved_state.load(service("vtc", tmp_path), path)
    assert "move it away to begin anew" in str(refused.value)


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_state_that_others_may_have_written_is_refused(tmp_path: Path, mode: int) -> None:
    path = with_work(tmp_path)
    os.chown(path, -1, 65534 if os.geteuid() == 0 else os.getegid())
    path.chmod(mode if mode != 0o620 or os.geteuid() == 0 else 0o602)
    with pytest.raises(
        saved_state.NotKept, match=r"others may write to it \(mode 6\d\d\), who could"
    ) as refused:
        saved_state.names_in(path)
    assert f"`chown {os.geteuid()}` and `chmod 600` it" in str(refused.value)
    path.chmod(0o640)
    assert saved_state.names_in(path)


@pytest.mark.needs("root")
def test_a_state_of_another_user_is_refused(tmp_path: Path) -> None:
    path = with_work(tmp_path)
    os.chown(path, 65534, -1)
    with pytest.raises(saved_state.NotKept, match="it belongs to user 65534"):
        saved_state.load(service("vtc_weighted", tmp_path), path)


CONFIGURATION = '[[upstreams]]\nurl = "http://127.0.0.1:1"\n'


def test_a_policy_and_parameters_that_the_file_now_names_are_put_in_force(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"

    def named(policy: str) -> None:
        path.write_text(f"{policy}\n{CONFIGURATION}")

    named('policy = "vtc"')
    gateway = Gateway(read_gateway(path), path, lambda said: None)
    host = Operated("llm", "gateway", LlmHost(gateway.service, "gateway"))

    def quantum() -> str:
        return str(host.set("quantum", "1")["before"])

    named('policy = "deficit"\nparams = { quantum = 3000000 }')
    gateway.reload()
    assert gateway.service.program.name == "DeficitRoundRobin" and quantum() == "3000000"
    named('policy = "deficit"\nparams = { quantum = 4000000 }')
    gateway.reload()
    assert quantum() == "4000000"
    assert "configuration_refused" not in host.status()["details"]
    named('policy = "deficit"\nparams = { quantom = 5000000 }')
    gateway.reload()
    assert quantum() == "1", "a bad file changes nothing"


def test_a_state_beyond_its_bound_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_work(tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(saved_state, "LARGEST", len(before) - 1)
    served = service("vtc", tmp_path, ["ann"])
    with pytest.raises(saved_state.NotKept, match=f"it has more than {len(before) - 1:,} bytes"):
        saved_state.load(served, path)
    monkeypatch.setattr(saved_state, "LARGEST", 10)
    with pytest.raises(OSError, match="more than 10 bytes"):
        saved_state.save(served, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_that_leads_in_a_circle_keeps_no_state(tmp_path: Path) -> None:
    (tmp_path / "kept.json").symlink_to("kept.json")
    for name in ("kept.json", "a\0b"):
        with pytest.raises(saved_state.NotKept, match="leads nowhere"):
            saved_state.claim(tmp_path, tmp_path / name)


def test_a_link_goes_on_to_lead_to_the_state(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kept.json").symlink_to("elsewhere/real.json")
    assert with_work(tmp_path).is_symlink()
    assert saved_state.load(service("vtc", tmp_path, ["ann"]), tmp_path / "elsewhere" / "real.json")


def test_no_lock_is_made_where_somebodys_link_leads(tmp_path: Path) -> None:
    (tmp_path / ".kept.json.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(saved_state.NotKept, match="cannot be written"):
        saved_state.claim(tmp_path, tmp_path / "kept.json")
    assert not (tmp_path / "victim").exists()


def test_two_gateways_do_not_keep_their_state_in_one_file(tmp_path: Path) -> None:
    """The second to write would take back what the first one charged."""

    class Owner:
        pass

    path, link = tmp_path / "kept.json", tmp_path / "link.json"
    link.symlink_to(path)
    first, second = Owner(), Owner()
    let_go = saved_state.claim(first, path)
    for same in (path, link):
        with pytest.raises(saved_state.NotKept, match="another gateway keeps its state in"):
            saved_state.claim(second, same)
    saved_state.claim(second, tmp_path / "other.json")
    let_go()
    saved_state.claim(second, link)
    del second
    saved_state.claim(first, path)


class Owner:
    """Who keeps a state."""


def test_what_a_gateway_left_that_was_killed_as_it_wrote_is_removed(tmp_path: Path) -> None:
    """Each of them may have 256 MiB, and a gateway writes every five seconds."""
    path = tmp_path / "kept.json"
    child = os.fork()
    if child == 0:
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with_work(tmp_path)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    (left,) = [p for p in tmp_path.iterdir() if p.name.startswith(".kept.json.")]
    mine = [tmp_path / name for name in (".kept.json.bak", ".kept.json.x.half", "kept.json.half-1")]
    for file in mine:
        file.write_text("mine")
    (tmp_path / ".kept.json.half-folder").mkdir()
    owner = Owner()
    let_go = saved_state.claim(owner, path)
    assert not left.exists() and all(file.exists() for file in mine)
    let_go()


def test_who_is_not_the_one_that_keeps_it_removes_nothing(tmp_path: Path) -> None:
    one, other = Owner(), Owner()
    let_go = saved_state.claim(one, tmp_path / "kept.json")
    (tmp_path / ".kept.json.half-1").write_text("being written")
    with pytest.raises(saved_state.NotKept, match="another gateway keeps its state"):
        saved_state.claim(other, tmp_path / "kept.json")
    assert (tmp_path / ".kept.json.half-1").exists()
    let_go()


def test_a_file_system_without_locks_is_not_called_another_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(saved_state.NotKept, match=r"cannot be locked: No locks available; put `state` on"):
        saved_state.claim(object, tmp_path / "kept.json")


def running(path: Path, more: str = "") -> tuple[Gateway, Operated]:
    path.write_text(f"{more}\n{CONFIGURATION}")
    gateway = Gateway(read_gateway(path), path, lambda said: None)
    return gateway, Operated("llm", "gateway", LlmHost(gateway.service, "gateway", gateway._details))


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (b"[[upstreams", "no TOML"),
        (b"\xff\xfe", "no TOML: not UTF-8"),
        (b'[tenants.ann]\nkeys = ["sha256:12"]\n', "`tenants.ann.keys[0]` is not what it has to be"),
        (b"", "the configuration names none"),  # as while somebody writes it
    ],
)
def test_a_configuration_that_is_damaged_changes_nothing_and_is_told(
    damaged: bytes, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, hashed = keys.new()
    path = tmp_path / "gateway.toml"
    gateway, host = running(path, f'[tenants.ann]\nkeys = ["{hashed}"]')
    good = path.read_bytes()
    path.write_bytes(damaged)
    gateway.reload()
    ann = gateway.service.tenants.by_key(key)
    assert ann is not None and ann.name == "ann", "the old one is in force"
    refused = host.status()["details"]["configuration_refused"]
    assert said in refused and "\n" not in refused
    assert "the configuration is kept as it was" in caplog.text and said in caplog.text
    path.write_bytes(good)
    gateway.reload()
    assert "configuration_refused" not in host.status()["details"]


def test_status_metrics_and_readiness_say_whether_counters_are_shared(tmp_path: Path) -> None:
    share = '[share]\nurl = "valkey://127.0.0.1:1"\nname = "one"\n'
    gateway, host = running(tmp_path / "gateway.toml", share)
    assert gateway.shared is not None

    def page(path: str) -> tuple[int, str]:
        status, _, body = gateway.admin._pages[path]()
        return status, body.decode()

    well = {"group": "default", "name": "one", "shared": True, "lag": 0.0}
    assert host.status()["details"]["sharing"] == well
    assert "\ntransect_llm_counters_shared 1\n" in page("/metrics")[1]
    assert page("/readyz") == (200, "ready\n")
    store = Valkey("redis://127.0.0.1:1", "default", "one", gateway.shared, 1.0)
    asyncio.run(store.round())
    sharing = host.status()["details"]["sharing"]
    assert (sharing["shared"], sharing["for_s"] < 10) == (False, True)
    assert "Connect" in sharing["why"]
    assert "\ntransect_llm_counters_shared 0\n" in page("/metrics")[1]
    assert page("/readyz") == (200, "ready; counters are not shared at the moment\n")


def test_a_gateway_that_shares_nothing_says_nothing_of_it(tmp_path: Path) -> None:
    gateway, host = running(tmp_path / "gateway.toml")
    assert "sharing" not in host.status()["details"]
    assert b"counters_shared" not in gateway.admin._metrics()[2]


def test_what_the_command_line_says_stands_over_a_file_that_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy of the command line went when the file was read anew."""
    made: list[Gateway] = []

    class Ended(Gateway):
        async def run(self, ready: Callable[[], None] = lambda: None) -> None:
            made.append(self)

    monkeypatch.setattr(serve, "Gateway", Ended)
    path = tmp_path / "gateway.toml"
    path.write_text('policy = "vtc"\n')
    assert command.serve("deficit", ["http://127.0.0.1:1"], path, None) == 0
    made[0].reload()
    assert (made[0].service.program.name, made[0]._refused) == ("DeficitRoundRobin", "")
