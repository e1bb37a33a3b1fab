# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.control.plain import Plain
from transect.base.unavailable import NoName, Unavailable, Unsafe
from transect.control import (
    Client,
    ControlError,
    Operated,
    Refused,
    Server,
    Taken,
    found,
    protocol,
    server,
    sockets,
    turns,
)
from transect.control.host import Outcome


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for sockets of our own, for root too."""
    place = tmp_path / "transect"
    monkeypatch.setattr(sockets, "folder", lambda: place)
    return place


@pytest.fixture
def running() -> Iterator[Server]:
    with Operated("rpc", "acl", Plain()).serve() as made:
        yield made


CLIENT = Client("rpc", "acl", patience_s=5)


def test_every_verb_reaches_the_host(running: Server, tmp_path: Path) -> None:
    log = tmp_path / "y.log"
    assert CLIENT.status()["details"]["limit"] == 3
    assert CLIENT.set("limit", "9") == {"param": "Acl.limit", "before": "3", "after": "9"}
    with CLIENT.recording(log) as recording:
        assert recording.started == {"path": str(log), "under_way": 0}
        assert CLIENT.status()["recording"] == str(log)
        assert recording.end() == {"path": str(log), "records": 7, "dropped": 0}


def test_a_no_and_a_lack_come_back_as_such(running: Server) -> None:
    with pytest.raises(Refused, match=r"^no parameter `size` \(there are Acl\.limit\)$"):
        CLIENT.set("size", "1")
    with pytest.raises(Unavailable) as lacking:
        CLIENT.upgrade(Path("acl.py"))
    assert (lacking.value.what, lacking.value.why) == ("gcc", "not on PATH")


def test_an_error_of_the_host_is_told_and_it_goes_on(running: Server) -> None:
    with pytest.raises(ControlError, match="rpc instance `acl`: ValueError: bad luck"):
        CLIENT.set("limit", "13")
    assert CLIENT.status()["details"]["limit"] == 3


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        (
            "stop",
            {},
            "it has no `stop`; it has go-back, record, record-stop, set, shadow, shadow-stop, status, upgrade",
        ),
        ("set", {"param": "x"}, "`set`: missing a required argument: 'value'"),
        ("status", {"deep": True}, "`status`: got an unexpected keyword argument 'deep'"),
    ],
)
def test_what_it_does_not_know(running: Server, verb: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ControlError, match=f"rpc instance `acl`: {message}"):
        CLIENT.ask(verb, **arguments)


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("record", {"path": 7}, "`record`: `path`: Expected `str`, got `int`"),
        ("record", {"path": None}, "`record`: `path`: Expected `str`, got `null`"),
        ("record", {"path": "x\0y"}, "`record`: `path`: a NUL is in it"),
        ("upgrade", {"path": ["a.py"]}, "`upgrade`: `path`: Expected `str`, got `array`"),
        (
            "upgrade",
            {"path": "a.py", "automatic_return": "no"},
            "`upgrade`: `automatic_return`: Expected `bool`, got `str`",
        ),
        ("set", {"param": {}, "value": "1"}, "`set`: `param`: Expected `str`, got `object`"),
        ("set", {"param": "limit", "value": 1}, "`set`: `value`: Expected `str`, got `int`"),
    ],
)
def test_a_field_of_a_wrong_type_is_refused_before_the_host_hears_of_it(
    running: Server, verb: str, arguments: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ControlError) as wrong:
        CLIENT.ask(verb, **arguments)
    assert str(wrong.value) == f"rpc instance `acl`: {message}"
    assert caplog.records == []


def test_nobody_there(running: Server) -> None:
    with pytest.raises(Unavailable) as absent:
        Client("llm", "vtc").status()
    assert str(absent.value) == "llm instance `vtc`: none is running; there is rpc `acl` (transect llm run …)"
    running.close()
    with pytest.raises(Unavailable, match=r"^rpc instance `acl`: nothing is running"):
        CLIENT.status()
    with pytest.raises(Unavailable, match=r"`a b` is no name of an instance"):
        Client("rpc", "a b").status()


def test_the_only_one_need_not_be_named(running: Server) -> None:
    assert Client.only("rpc") == Client("rpc", "acl")
    assert Client.only("rpc", "other") == Client("rpc", "other")
    with Server("rpc", "limit", {}):
        with pytest.raises(NoName, match="2 rpc instances are running") as several:
            Client.only("rpc")
        assert several.value.hint == "say which: acl, limit"
    with pytest.raises(Unavailable, match=r"^cpu instance: none is running; there is rpc `acl`"):
        Client.only("cpu")


def test_where_no_stack_runs_the_verb_of_what_runs_is_named(running: Server) -> None:
    with pytest.raises(Unavailable) as absent:
        Client.only("stack")
    with pytest.raises(Unavailable, match=r"`transect rpc status acl`\)$"):
        Client("stack", "acl").status()
    with pytest.raises(Unavailable, match=r"\(transect run …\)$"):
        Client("stack", "shop").status()
    assert str(absent.value) == (
        "stack instance: none is running; there is rpc `acl` "
        "(outside a stack, name the stratum: `transect rpc status acl`)"
    )


def test_the_socket_is_for_its_user_alone(running: Server, runtime: Path) -> None:
    assert running.path == runtime / "rpc-acl.sock"
    assert running.path.stat().st_mode & 0o777 == 0o600
    assert runtime.stat().st_mode & 0o777 == 0o700


def test_another_user_is_turned_away(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "allowed", lambda connection: False)
    with pytest.raises(Refused, match=r"^only the user who runs it may ask$"):
        CLIENT.status()


def test_who_is_turned_away_hears_why_whatever_he_was_about_to_say(
    running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "allowed", lambda connection: False)
    for _ in range(20):  # the answer is there before the request is sent, or the other way round
        with pytest.raises(Refused, match="only the user"):
            CLIENT.set("limit", "9" * 1_000_000)


def test_the_peer_is_known_by_the_kernel() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert protocol.allowed(ours)


@pytest.mark.needs("root")
def test_a_real_other_user_cannot_even_connect(running: Server) -> None:
    code = (
        f"import os, socket; os.setuid(65534); socket.socket(socket.AF_UNIX).connect({str(running.path)!r})"
    )
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "PermissionError" in failed.stderr


def test_a_folder_that_others_may_enter_is_refused(runtime: Path) -> None:
    runtime.mkdir()
    runtime.chmod(0o755)
    with pytest.raises(Unsafe, match=r"is open to other users .mode 755."):
        Server("rpc", "acl", {})


def test_two_of_one_name(running: Server) -> None:
    with pytest.raises(Taken, match=r"^`acl` runs already .*; choose another `--name`$"):
        Server("rpc", "acl", {})
    with Server("rpc", "acl", {}, numbered=True) as second:
        assert second.name == "acl-2"
        assert found("rpc") == [("rpc", "acl"), ("rpc", "acl-2")]


def test_two_at_once_do_not_share_a_socket(runtime: Path) -> None:
    sockets.make_folder()
    first = server._listening(runtime / "rpc-acl.sock")
    assert first is not None and server._listening(runtime / "rpc-acl.sock") is None
    first.close()


def test_of_many_at_once_one_gets_the_name_of_a_dead_one(runtime: Path) -> None:
    sockets.make_folder()
    path = runtime / "rpc-acl.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    for _ in range(20):  # each leaves what the next one finds
        start, got = threading.Barrier(8), list[socket.socket | None]()

        def one(start: threading.Barrier = start, got: list[socket.socket | None] = got) -> None:
            start.wait(10)
            got.append(server._listening(path))

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        (winner,) = [made for made in got if made is not None]
        assert sockets.is_live(path)
        winner.close()


def test_what_a_dead_process_left_is_taken_away(runtime: Path) -> None:
    sockets.make_folder()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(runtime / "rpc-acl.sock"))
    left.close()
    assert found() == []
    with Operated("rpc", "acl", Plain()).serve():
        assert CLIENT.status()["details"]["limit"] == 3


def test_so_is_what_dead_processes_of_other_names_left(running: Server, runtime: Path) -> None:
    """Names with a number in them come once, and nobody would ever take their place."""
    for number in range(3):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(runtime / f"llm-bench-{number}.sock"))
    (runtime / "notes.sock").write_text("mine")
    os.mkfifo(runtime / "pipe.sock")
    with Operated("cpu", "other", Plain()).serve():
        left = sorted(path.name for path in runtime.iterdir())
    assert left == ["cpu-other.sock", "notes.sock", "pipe.sock", "rpc-acl.sock"]
    assert CLIENT.status()["name"] == "acl"


def test_a_file_in_the_way_stays(runtime: Path) -> None:
    sockets.make_folder()
    (runtime / "rpc-acl.sock").write_text("mine")
    with pytest.raises(Taken):
        Server("rpc", "acl", {})
    assert (runtime / "rpc-acl.sock").read_text() == "mine"


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xff\xff\xff", b"\3\0\0\0{}x", b"\2\0\0\0{}", b"\7\0\0\0garbage", b"\x0d\0\0\0{\"verb\": 1   }"],
)  # fmt: skip
def test_noise_does_not_stop_it(running: Server, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(running.path))
        raw.sendall(data)
    assert CLIENT.status()["details"]["limit"] == 3


def test_an_older_or_newer_side_is_told(running: Server) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(running.path))
        protocol.send(raw, protocol.Request("status", version=protocol.VERSION + 1))
        answer = protocol.receive(raw, protocol.Answer)
    assert answer.kind is protocol.Kind.WRONG
    assert answer.why == "it speaks version 3 of the control protocol, not 4"


def test_status_is_answered_while_something_slow_goes_on() -> None:
    begun, end = threading.Event(), threading.Event()

    class Slow(Plain):
        def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
            begun.set()
            assert end.wait(10)
            return Outcome({})

    with Operated("rpc", "acl", Slow()).serve():
        slow = threading.Thread(target=CLIENT.upgrade, args=(Path("x.py"),))
        slow.start()
        assert begun.wait(10)
        assert CLIENT.status()["name"] == "acl"
        end.set()
        slow.join()


HANGS = """
import sys, time
from pathlib import Path
from tests.unit.control.plain import Plain
from transect.control import Operated, sockets
from transect.control.stopping import stopping

class Slow(Plain):
    def upgrade(self, path, automatic_return):
        time.sleep(600)

sockets.folder = lambda: Path(sys.argv[1])
with stopping() as stop, Operated("rpc", "acl", Slow()).serve():
    print("ready", flush=True)
    stop.wait()
"""


def test_an_upgrade_that_hangs_keeps_neither_others_nor_the_end_of_the_process(runtime: Path) -> None:
    command = [sys.executable, "-c", HANGS, str(runtime)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            for _ in range(20):  # who asked, and went away before the answer
                with pytest.raises(ControlError, match=r"does not answer within 0\.01 s"):
                    Client("rpc", "acl", 0.01).upgrade(Path("x.py"))
            assert CLIENT.status()["name"] == "acl"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_who_cannot_have_his_turn_is_told_for_what_and_nothing_is_done_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.2)
    begun, end = threading.Event(), threading.Event()

    class Slow(Plain):
        def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
            begun.set()
            assert end.wait(10)
            return Outcome({})

    host = Slow()
    with Operated("rpc", "acl", host).serve():
        slow = threading.Thread(target=CLIENT.upgrade, args=(Path("x.py"),))
        slow.start()
        assert begun.wait(10)
        with pytest.raises(
            Refused, match=r"^`upgrade` has been under way for \d+ s, and one thing is done at a"
        ):
            CLIENT.set("limit", "9")
        end.set()
        slow.join()
        assert host.limit == 3
        assert CLIENT.set("limit", "9")["after"] == "9"


@pytest.mark.parametrize("verb", ["record", "upgrade"])
def test_a_relative_path_is_refused_since_it_would_mean_a_place_of_the_instance(
    running: Server, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        Refused, match=r"^y\.log is relative, and the instance runs in another folder \(give the"
    ):
        CLIENT.ask(verb, path="y.log")
    assert not (tmp_path / "y.log").exists()


@pytest.mark.parametrize(
    "said", [b"", b"\x40", b"\x40\0\0\0{"], ids=["nothing", "half a size", "half a text"]
)
def test_a_request_that_does_not_come_in_time_is_told_so(
    running: Server, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.2)
    with socket.socket(socket.AF_UNIX) as stands:
        stands.settimeout(10)
        stands.connect(str(running.path))
        stands.sendall(said)
        answer = protocol.receive(stands, protocol.Answer)
    assert (answer.kind, answer.why) == (protocol.Kind.BROKEN, "the request has not come within 0.2 s")


def test_one_that_hangs_is_not_waited_for_for_ever() -> None:
    with Server("rpc", "acl", {"status": lambda: time.sleep(1)}):
        with pytest.raises(ControlError, match=r"`acl` does not answer within 0\.1 s"):
            Client("rpc", "acl", patience_s=0.1).status()


def test_one_that_takes_nobody_up_any_more_is_told(runtime: Path) -> None:
    """A process that stands still: those who wait for it fill its queue."""
    sockets.make_folder()
    with contextlib.ExitStack() as stack:
        stands = stack.enter_context(socket.socket(socket.AF_UNIX))
        stands.bind(str(sockets.socket_path("rpc", "full")))
        stands.listen(0)
        for _ in range(2):
            waits = stack.enter_context(socket.socket(socket.AF_UNIX))
            waits.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waits.connect(str(sockets.socket_path("rpc", "full")))
        with pytest.raises(ControlError, match="`full` does not answer: too many wait for it already"):
            Client("rpc", "full", 0.2).status()


def test_one_that_answers_a_byte_at_a_time_has_no_more_time_than_others(runtime: Path) -> None:
    sockets.make_folder()
    with socket.socket(socket.AF_UNIX) as listens:
        listens.bind(str(sockets.socket_path("rpc", "slow")))
        listens.listen()
        over = threading.Event()

        def answer() -> None:
            with listens.accept()[0] as connection, contextlib.suppress(OSError):
                connection.sendall((1000).to_bytes(4, "little"))
                while not over.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(ControlError, match=r"`slow` does not answer within 0.2 s"):
                Client("rpc", "slow", 0.2).status()
            assert time.monotonic() - began < 2
        finally:
            over.set()
            thread.join()


def test_an_answer_that_json_cannot_say() -> None:
    with Server("rpc", "acl", {"status": lambda: {1j}}):
        with pytest.raises(ControlError, match=r"unsupported"):
            CLIENT.status()


def test_a_child_does_not_answer_for_its_parent(running: Server) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if running._socket.fileno() == -1 and running.path.exists() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert CLIENT.status()["details"]["limit"] == 3


def test_a_program_that_ends_leaves_no_socket(runtime: Path) -> None:
    """An application that has attached a chain closes nothing by itself."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom transect.control import Server, sockets\n"
        f"sockets.folder = lambda: Path({str(runtime)!r})\n"
        "made = Server('rpc', 'acl', {})\nassert made.path.exists()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert list(runtime.iterdir()) == []


def test_a_name_that_no_socket_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"longer than 107 bytes"):
        sockets.socket_path("rpc", "a" * 100)
    for name in ("", "..", "a/b", "-x"):
        with pytest.raises(ValueError, match=r"no name of an instance"):
            sockets.socket_path("rpc", name)


def test_where_sockets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    assert sockets.folder() == Path("/run/user/7/transect")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert sockets.folder().name == "transect-7"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert sockets.folder() == Path("/run/transect")


def test_what_is_no_folder_of_ours(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: runtime.stat().st_uid + 1)
    with pytest.raises(Unsafe, match=f"belongs to user {runtime.stat().st_uid}"):
        sockets.make_folder()


def test_a_link_in_the_place_of_the_folder(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unsafe, match="is no folder"):
        sockets.make_folder()


def test_a_message_that_is_too_large(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LARGEST", 100)
    with pytest.raises(ControlError, match=r"a message of .* bytes is too large"):
        CLIENT.set("limit", "9" * 100)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [([1], "Expected `object`, got `array`"), ({"name": "acl"}, "missing required field")],
)
def test_an_answer_that_is_not_of_the_schema(value: Any, wrong: str) -> None:
    with Server("rpc", "acl", {"status": lambda: value}):
        with pytest.raises(ControlError, match=rf"rpc instance `acl` answers `status` wrongly: .*{wrong}"):
            CLIENT.status()


def test_one_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(Unavailable) as lacking:
        CLIENT.status()
    assert (lacking.value.why, lacking.value.hint) == (
        "it belongs to another user",
        "ask as that user, or as root",
    )


def _raw(path: Path, data: bytes) -> protocol.Answer:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(str(path))
        raw.sendall(len(data).to_bytes(4, "little") + data)
        return protocol.receive(raw, protocol.Answer)


@pytest.mark.parametrize(
    "data",
    [
        b'{"verb": "set", "arguments": {"param": ' + b"[" * 100_000,
        b'{"verb": "set", "arguments": {"param": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"verb": "\xff\xfe"}',
        b'{"verb": "set", "arguments": {"param": "\xff", "value": "1"}}',
        b'{"verb": "\\ud800"}',
        b'{"verb": "set", "arguments": {"\xed\xa0\x80": 1}}',
    ],
    ids=lambda data: data[:50].decode("ascii", "replace"),
)
def test_what_is_no_request_is_answered_all_the_same(running: Server, data: bytes) -> None:
    answer = _raw(running.path, data)
    assert answer.kind in (protocol.Kind.BROKEN, protocol.Kind.WRONG) and answer.why
    assert CLIENT.status()["details"]["limit"] == 3


def test_an_answer_that_is_nested_too_deeply_is_told() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with Server("rpc", "acl", {"status": lambda: {"deep": deep}}):
        with pytest.raises(ControlError, match="a message that JSON cannot say"):
            CLIENT.status()


def taken() -> list[int]:
    """All descriptors that the limit leaves free, taken."""
    found = []
    with contextlib.suppress(OSError):
        while True:
            found.append(os.dup(0))
    return found


def test_a_shortage_of_descriptors_passes(running: Server, caplog: pytest.LogCaptureFixture) -> None:
    gc.collect()  # what other tests have left open may not be closed meanwhile, which ends the shortage
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    with socket.socket(socket.AF_UNIX) as asking:
        resource.setrlimit(resource.RLIMIT_NOFILE, (asking.fileno() + 1, before[1]))
        try:
            quiet = time.monotonic() + 0.3  # a thread of before may still close its connection
            while time.monotonic() < quiet:
                more = taken()
                held += more
                quiet = time.monotonic() + 0.3 if more else quiet
                time.sleep(0.01)
            asking.settimeout(10)
            asking.connect(str(running.path))
            end = time.monotonic() + 10
            while "waits: [Errno 24]" not in caplog.text:
                assert time.monotonic() < end, "there was no shortage"
                time.sleep(0.01)
            time.sleep(3 * server.SHORTAGE_S)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for descriptor in held:
                os.close(descriptor)
        protocol.send(asking, protocol.Request("status"))
        assert protocol.receive(asking, protocol.Answer).kind is protocol.Kind.DONE
    assert caplog.text.count("waits:") == 1, "it is said once"
    assert CLIENT.status()["details"]["limit"] == 3


def test_a_thread_that_cannot_be_started_is_waited_for(
    running: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ControlError):
            CLIENT.status()
    end = time.monotonic() + 10
    while "can't start new thread" not in caplog.text:  # it is said a moment after the connection is closed
        assert time.monotonic() < end, caplog.text
        time.sleep(0.01)
    assert CLIENT.status()["details"]["limit"] == 3


def test_whose_socket_it_is_is_known_before_anything_is_said(
    running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transect.control.client.allowed", lambda connection: False)
    with pytest.raises(Unavailable, match=rf"another user listens at {running.path}"):
        CLIENT.status()


@pytest.mark.needs("root")
def test_a_socket_of_a_real_other_user_is_not_talked_to(runtime: Path) -> None:
    code = (
        "import os, socket\n"
        "os.setuid(65534)\n"
        "made = socket.socket(socket.AF_UNIX); made.bind('rpc-acl.sock'); made.listen(1)\n"
        "print(flush=True)\n"
        "one, _ = made.accept(); print(one.recv(100), flush=True)\n"
    )
    runtime.mkdir(mode=0o777)
    runtime.chmod(0o777)
    command = [sys.executable, "-c", code]  # below a folder that he cannot enter, he begins in his own
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=runtime) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(Unavailable, match="another user listens at"):
            CLIENT.status()
        assert other.stdout.readline() == "b''\n", "it heard nothing"
