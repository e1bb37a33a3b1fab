# SPDX-License-Identifier: Apache-2.0
"""How RPCs end, metadata in and out, and the extension's own interface."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.parts import need
from tests.unit.rpc import grpcio_ways
from tests.unit.rpc.grpcio_ways import PROBE, run
from transect.base.unavailable import Unavailable

grpc = pytest.importorskip("grpc")

from transect.rpc.grpcio import native  # noqa: E402
from transect.rpc.grpcio.ending import Ended, outcome, shortened, status  # noqa: E402
from transect.rpc.grpcio.handle import Cause, Side  # noqa: E402
from transect.rpc.grpcio.metadata import changed, pairs  # noqa: E402
from transect.rpc.headers import sendable  # noqa: E402


class Failed(grpc.RpcError):  # type: ignore[misc,name-defined]
    def __init__(self, code: Any, text: str) -> None:
        self._code, self._text = code, text

    def code(self) -> Any:
        return self._code

    def details(self) -> str:
        return self._text


@pytest.mark.parametrize(
    ("code", "text", "cause"),
    [
        ("UNAVAILABLE", "I am tired", Cause.REPLY),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: …", Cause.RESET),
        ("UNAVAILABLE", "Stream removed (Socket closed)", Cause.RESET),
        ("UNAVAILABLE", "Cancelling all calls", Cause.RESET),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Cause.DEADLINE),
        ("DEADLINE_EXCEEDED", "my own database was late", Cause.REPLY),
        ("CANCELLED", "CANCELLED", Cause.RESET),
        ("CANCELLED", "Channel closed!", Cause.CANCEL),
        ("CANCELLED", "I do not want to", Cause.REPLY),
        ("DATA_LOSS", "", Cause.REPLY),
    ],
)
def test_causes_of_what_grpc_raises(code: str, text: str, cause: Cause) -> None:
    wanted = getattr(grpc.StatusCode, code)
    assert outcome(Failed(wanted, text)) == (wanted.value[0], cause)


def test_causes_of_what_we_raise() -> None:
    assert outcome(Ended.rejected((1, 7, "no", 0, None, 0))) == (7, Cause.REJECT)
    assert outcome(Ended.deadline()) == (4, Cause.DEADLINE)
    assert outcome(Ended.over()) == (1, Cause.CANCEL)
    assert outcome(KeyboardInterrupt()) == (1, Cause.CANCEL)
    assert outcome(grpc.FutureCancelledError()) == (1, Cause.CANCEL)


def test_numbers_without_a_name_are_unknown() -> None:
    assert [status(code).name for code in (7, 0, 17, -1)] == ["PERMISSION_DENIED"] + ["UNKNOWN"] * 3


@pytest.mark.parametrize("letter", ["x", "é", "字", "🂡"])
def test_a_long_text_is_cut_between_two_letters(letter: str) -> None:
    assert shortened(letter * 200) == letter * 200
    cut = shortened(letter * 20_000)
    assert set(cut) == {letter}
    assert 1020 <= len(cut.encode()) <= 1024


def test_metadata_as_a_chain_reads_it() -> None:
    assert pairs(None) == pairs([]) == ()
    assert pairs([("a", "b"), ("c-bin", b"\xff\x00\x01")]) == (("a", "b"), ("c-bin", "/wAB"))


def test_metadata_as_a_chain_changes_it() -> None:
    assert changed([("a", "1"), ("a", "2"), ("b", "3")], [("a", "new"), ("b", None), ("c-bin", "AAE")]) == (
        ("a", "new"),
        ("c-bin", b"\x00\x01"),
    )
    assert changed(None, []) == ()


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [("a", "b", True), ("a", "", True), ("", "b", False), ("A", "b", False), ("a", "b\r\nc: d", False),
     ("a", "é", False), ("a b", "c", False), ("a-bin", "AAE=", True), ("a-bin", "?", False)],
)  # fmt: skip
def test_headers_that_may_be_sent(name: str, value: str, good: bool) -> None:
    assert sendable(name, value) is good


# ---------------------------------------------------------------- the extension


@pytest.fixture(scope="module")
def module() -> Any:
    need("gcc")
    need("python-headers")
    return native.load(native.compiled({"chain.c": PROBE.read_bytes()}))


def test_messages_that_pass_are_bytes_and_others_decisions(module: Any) -> None:
    rpc = module.Chain().begin("/t.Echo/Say", "", None)
    message = b"hello"
    assert rpc.request(message) is message, "not copied"
    assert rpc.request(b"q0 rewrite x") == b"x"
    assert rpc.request(b"q0 after 5") == (0, 0, b"q0 after 5", 5_000_000, None, 0)
    assert rpc.request(b"q1 to east") == (0, 0, b"q1 to east", 0, "east", 0)
    assert rpc.request(b"q1 reject 7 no") == (1, 7, "no", 0, None, 1)
    assert rpc.request(b"q1 respond yes") == (2, 0, b"yes", 0, None, 1)
    assert rpc.response(b"p0 reject 9 no") == (1, 9, "no", 0, None, 0)


def test_an_rpc_ends_once(module: Any) -> None:
    chain = module.Chain()
    rpc = chain.begin("/t.Echo/Say", "", None)
    assert (rpc.entered, rpc.finished, chain.open) == (False, False, 1)
    rpc.request(b"q0 retry 3")
    assert (rpc.entered, chain.open) == (True, 1)
    assert rpc.finish(14, Cause.RESET) == 3_000_000
    assert rpc.finish(0, Cause.REPLY) is None
    assert (rpc.finished, chain.open) == (True, 0)
    assert rpc.request(b"late")[0] == rpc.response(b"late")[0] == 3
    assert chain.save(0).count(b"end") == 1
    assert rpc.elapsed > 0


def test_an_rpc_that_nobody_keeps_is_cancelled(module: Any) -> None:
    chain = module.Chain()
    chain.begin("/t.Echo/Say", "", None).request(b"x")
    assert chain.save(0).endswith(b"end 1 1 2\n")
    chain.begin("/t.Echo/Say", "", None)
    assert chain.save(0).count(b"end") == 1, "one that saw no message enters nobody"


def test_names_that_strangers_make_up_are_not_kept() -> None:
    """A handler for whatever path there is, as proxies have it, in front of one covered method."""
    from types import SimpleNamespace

    from transect.rpc.grpcio.server import Handlers

    anything, covered = object(), object()
    handlers = Handlers(
        SimpleNamespace(service=lambda _: anything), lambda name, found: covered if name == "/a/B" else found
    )
    for name in ("/a/B", *(f"/a/{n}" for n in range(100)), "/a/B"):
        expected = covered if name == "/a/B" else anything
        assert handlers.service(SimpleNamespace(method=name)) is expected
    assert list(handlers._made) == ["/a/B"]


def test_headers(module: Any) -> None:
    rpc = module.Chain().begin("/t.Echo/Say", "", (("x-a", "1"),))
    out = rpc.request(b"q0 set q x-a 2\nq0 set p x-b 3\nq0 remove q x-c")
    assert out[0] == 0
    assert sorted(rpc.changes(Side.REQUEST)) == [("x-a", "2"), ("x-c", None)]
    assert rpc.changes(Side.REQUEST) == []
    assert rpc.request(b"y")[0] == 0, "changes of the other side have not been fetched"
    assert rpc.changes(Side.RESPONSE) == [("x-b", "3")]
    assert rpc.request(b"y") == b"y"


def test_state_is_replaced_only_as_it_was_seen(module: Any) -> None:
    chain = module.Chain()
    old, new = chain.save(1), (5).to_bytes(8, "little")
    assert not chain.replace(1, new, new)
    assert chain.replace(1, old, new)
    assert chain.save(1) == new
    assert not chain.load(1, b"short")


def test_hooks_of_other_threads_wait_while_the_chain_is_held(module: Any) -> None:
    chain = module.Chain()
    rpc = chain.begin("/t.Echo/Say", "", None)
    other = threading.Thread(target=rpc.request, args=(b"x",))
    chain.hold()
    other.start()
    time.sleep(0.02)
    assert not rpc.entered
    chain.begin("/t.Echo/Say", "", None).request(b"mine goes on")
    chain.release()
    other.join(5)
    assert rpc.entered


def test_records_and_traces_go_to_python_and_its_errors_stop_nothing(module: Any, recwarn: Any) -> None:
    chain = module.Chain()
    records: list[Any] = []
    images = chain.record(records.append, 2)
    assert len(images) == 2
    rpc = chain.begin("/t.Echo/Say", "", None)
    rpc.request(b"abc")
    assert [(r[2], r[3], r[4]) for r in records] == [(0, 0, b"abc"), (1, 0, b"abc")]
    problems: list[Any] = []
    sys.unraisablehook, kept = problems.append, sys.unraisablehook
    try:
        chain.record(lambda record: 1 / 0, 2)
        assert rpc.request(b"abc") == b"abc"
    finally:
        sys.unraisablehook = kept
    assert [type(p.exc_value) for p in problems] == [ZeroDivisionError] * 2
    chain.record(None, 2)
    rpc.request(b"abc")
    assert len(records) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.Chain(1),
        lambda m: m.Chain().begin("/a", ""),
        lambda m: m.Chain().begin("/a", "", [1]),
        lambda m: m.Chain().begin(b"/a", "", None),
        lambda m: m.Chain().begin("/a", "", None).request("text"),
        lambda m: m.Chain().begin("/a", "", None).finish(0),
        lambda m: m.Chain().begin("/a", "", None).finish(0, 9),
        lambda m: m.Chain().begin("/a", "", None).finish("0", 0),
        lambda m: m.Chain().begin("/a", "", None).receive(0, [1]),
        lambda m: m.Chain().record(5, 1),
        lambda m: m.Chain().trace(5),
        lambda m: m.Chain().unary(1, 2),
        lambda m: type(m.Chain().begin("/a", "", None))(),
        lambda m: m.Unary(),
    ],
)
def test_wrong_use_is_a_type_error(module: Any, call: Any) -> None:
    with pytest.raises(TypeError):
        call(module)


def test_no_memory_is_lost(module: Any) -> None:
    """A lost reference or block of 50 bytes would show."""

    def size() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    run(module, 1000)
    before = size()
    run(module, 6000)
    assert size() - before < 256 << 10


def test_under_sanitizers_nothing_is_found(tmp_path: Path) -> None:
    need("gcc")
    need("python-headers")
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not Path(library).is_file():
        raise Unavailable("libasan", "gcc has none", "apt-get install gcc")
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    # Python itself keeps memory until it ends; what the extension loses, the test above sees.
    quiet = {"ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc", "LD_PRELOAD": library}
    done = subprocess.run(
        [sys.executable, grpcio_ways.__file__, str(tmp_path), *flags],
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_stratum_loads_no_grpc() -> None:
    code = "import sys, transect.rpc as r; r.Code; assert 'grpc' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
