# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.test_effects import compiled
from transect.base.request_id import Named
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.core.schema import schema
from transect.lang.tape import GivenTape
from transect.replay import (
    LogError,
    Policy,
    Record,
    RecordingTape,
    ReplayingTape,
    TapeMismatch,
    Writer,
    read,
)
from transect.replay.log import MAGIC, VERSION, Header, Trailer, frame, json_frame
from transect.replay.tape import answer_types

HEADER = Header("rpc", "echo", real=True, notes={"method": "/e.Echo/Say"})


def program() -> Program:
    return compiled("class P(Element):\n    n: int = 4")


def policy() -> Policy:
    return Policy.of(
        program(), schema(program()), Instance(program()).image(), sources={"p.py": "text"}, first=0
    )


def record(number: int) -> Record:
    return Record(number, 0, number % 3, 1 << 40, b"arguments", b"tape" * number, b"result")


def written(path: Path, records: int = 3) -> bytes:
    with Writer(path, HEADER) as writer:
        assert writer.policy(policy()) == 0
        for number in range(records):
            assert writer.add(record(number))
        writer.close({0: b"final"})
    return path.read_bytes()


def test_only_its_owner_reads_a_log(tmp_path: Path) -> None:
    """Whatever the umask: it holds the messages of others."""
    before = os.umask(0)
    try:
        written(tmp_path / "log")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_a_log_says_everything_that_was_written(tmp_path: Path) -> None:
    found = read(tmp_path / "log") if written(tmp_path / "log") else None
    assert found is not None and found.complete and not found.shortcomings
    assert found.header == HEADER
    assert found.policies == (policy(),)
    assert found.policies[0].program == program()
    assert found.policies[0].hooks == ("request", "response", "finish")
    assert found.records == tuple(map(record, range(3)))
    assert found.trailer is not None and (found.trailer.records, found.trailer.dropped) == (3, 0)
    assert found.trailer.finals == {0: b"final"}


def test_a_head_has_36_bytes_and_fixed_places() -> None:
    packed = Record(1, 2, 3, 4, b"a", b"bc", b"").pack()
    head = packed.hex()[:72]
    assert head == "01" + "00" * 7 + "0200" + "0300" + "04" + "00" * 7 + "01000000" + "02000000" + "00" * 8
    assert packed[36:] == b"abc"
    assert Record.unpack(packed) == Record(1, 2, 3, 4, b"a", b"bc", b"")
    with pytest.raises(LogError, match="record 1 does not have the size that its head says"):
        Record.unpack(packed + b"x")
    with pytest.raises(LogError, match="shorter than its head"):
        Record.unpack(packed[:35])


@pytest.mark.parametrize(
    ("trailer", "said"),
    [
        (Trailer(0, 0, {1: b""}), "the log ends with the state of policy 1, which it does not have"),
        (Trailer(0, 0, {-1: b""}), "the log ends with the state of policy -1, which it does not have"),
        (Trailer(0, -1, {}), "the log says that -1 calls were dropped"),
    ],
)
def test_a_trailer_that_no_recorder_writes_is_damage(trailer: Trailer, said: str, tmp_path: Path) -> None:
    whole = written(tmp_path / "log", records=0)
    closed = whole.index(b"T", whole.index(b'"first"'))
    found = read(whole[:closed] + json_frame(b"T", trailer.to_json()))
    assert found.shortcomings == said
    assert not found.complete


def test_a_log_that_is_cut_short_is_read_up_to_there_and_says_so(tmp_path: Path) -> None:
    data = written(tmp_path / "log")
    whole = read(data)
    seen = set()
    for size in range(len(data)):
        try:
            found = read(data[:size])
        except LogError as error:
            assert (
                str(error) in ("this is no log of transect", "the log ends before its header")
                or "cut short" in str(error)
                or "version" in str(error)
            )
            continue
        assert not found.complete and found.shortcomings
        assert found.records == whole.records[: len(found.records)]
        seen.add((len(found.policies), len(found.records)))
    assert {(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)} == seen


@given(st.data())
def test_no_changed_bit_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    good = bytearray(written(tmp_path_factory.mktemp("log") / "log"))
    whole = read(bytes(good))
    at = data.draw(st.integers(0, len(good) * 8 - 1))
    good[at // 8] ^= 1 << (at % 8)
    try:
        found = read(bytes(good))
    except LogError:
        return
    assert not found.complete
    assert found.records == whole.records[: len(found.records)]


def test_a_log_of_another_kind_or_version() -> None:
    with pytest.raises(LogError, match="this is no log of transect"):
        read(b"\x7fELF" + bytes(100))
    with pytest.raises(LogError, match="log version 9 is not known; this is version 2"):
        read(b"TRANSECT\x09\0\0\0")


def test_a_log_says_what_requests_and_clients_are_called(tmp_path: Path) -> None:
    with Writer(tmp_path / "log", HEADER) as writer:
        writer.client(3, "alice")
        writer.name(7, 0, Named("a-1", f"00-{'4b' * 16}-{'00' * 7}01-01"))
        writer.name(8, 0, Named())
        writer.name(7, 5, Named("later"))
    found = read(tmp_path / "log")
    assert (found.complete, found.clients) == (True, {3: "alice"})
    assert [(n.instance, n.sequence, n.named.ids) for n in found.names] == [(7, 0, ("a-1", "4b" * 16))]
    assert abs(found.names[0].time - time.time_ns()) < 60 * 10**9


@pytest.mark.parametrize("kind", [b"N", b"C"])
def test_a_name_without_its_head_is_damage(kind: bytes, tmp_path: Path) -> None:
    whole = written(tmp_path / "log", records=0)
    found = read(whole[: whole.index(b"T", whole.index(b'"first"'))] + frame(kind, b"1234567"))
    assert "is shorter than its" in found.shortcomings


def test_a_log_of_the_version_before_is_read(tmp_path: Path) -> None:
    whole = written(tmp_path / "log")
    found = read(whole[:8] + b"\1\0\0\0" + whole[12:])
    assert found.complete and len(found.records) == 3 and not found.names


def test_what_finds_no_room_is_counted(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", HEADER, limit=200)
    writer.policy(policy())
    taken = [writer.add(record(3)) for _ in range(5)]
    assert taken == [True, True, False, False, False]
    writer.drop()
    writer.close({})
    found = read(tmp_path / "log")
    assert len(found.records) == 2
    assert found.shortcomings == "4 calls were dropped" and not found.complete
    assert not writer.add(record(1)), "a closed log takes nothing more"


def test_the_buffer_is_bounded(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", HEADER, buffer=0)
    writer.policy(policy())
    assert not writer.add(record(0)) and writer.dropped == 1
    writer.close({})


def test_who_has_the_calls_already_waits_for_the_disk_and_loses_none(tmp_path: Path) -> None:
    with Writer(tmp_path / "log", HEADER, buffer=20_000) as writer:
        writer.policy(policy())
        for _ in range(600):  # several times the buffer
            writer.settle(10_000)
            assert writer.add(record(50))
    assert len(read(tmp_path / "log").records) == 600


def test_threads_write_into_one_log(tmp_path: Path) -> None:
    with Writer(tmp_path / "log", HEADER) as writer:
        writer.policy(policy())

        def add(start: int) -> None:
            for number in range(start, start + 500):
                assert writer.add(record(number % 50))

        threads = [threading.Thread(target=add, args=(i * 500,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.close({})
    assert len(read(tmp_path / "log").records) == 2000


def test_a_log_is_never_written_over(tmp_path: Path) -> None:
    written(tmp_path / "log")
    with pytest.raises(FileExistsError):
        Writer(tmp_path / "log", HEADER)


def test_a_recording_that_was_not_closed_says_so(tmp_path: Path) -> None:
    data = written(tmp_path / "log")
    found = read(data[: data.rindex(b'{"records"') - 5])
    assert found.trailer is None and found.shortcomings == "the recording was not closed"


# ---------------------------------------------------------------- tapes

ASKING = """
class P(Element):
    def request(self, rpc: Rpc) -> Verdict:
        token = rpc.headers.get("token")
        if token is not None and token == "x" and rand_below(4) > 1 and now() > now():
            return Reject(Code.ABORTED, "x")
        return Forward()
"""


def test_what_was_recorded_is_given_back() -> None:
    types = answer_types(compiled(ASKING))
    tape = RecordingTape(GivenTape(now=-5, rand=[2**64 - 1]), types)
    assert (tape.now(), tape.draw()) == (-5, 2**64 - 1)
    assert tape.answer("rpc.Headers.get", lambda: "token") == "token"
    assert tape.answer("rpc.Headers.get", lambda: None) is None
    entries = bytes(tape.entries)
    assert entries[:9] == b"n" + (-5).to_bytes(8, "little", signed=True)
    again = ReplayingTape(entries, types)
    asked = (again.now(), again.draw(), again.answer("rpc.Headers.get", lambda: 1 / 0))
    assert asked == (-5, 2**64 - 1, "token") and again.left == 2
    assert again.answer("rpc.Headers.get", lambda: 1 / 0) is None and again.left == 0
    with pytest.raises(TapeMismatch, match="asks for the time, where nothing more was recorded"):
        again.now()


def test_a_handler_that_asks_for_something_else_is_told() -> None:
    types = answer_types(compiled(ASKING))
    with pytest.raises(TapeMismatch, match="asks for a random number, where the time was recorded"):
        ReplayingTape(b"n" + bytes(8), types).draw()
    with pytest.raises(TapeMismatch, match="the recorded tape is cut short"):
        ReplayingTape(b"n" + bytes(7), types).now()
    with pytest.raises(TapeMismatch, match=r"the recorded answer is none of `rpc\.Headers\.get`"):
        ReplayingTape(b"a\x07", types).answer("rpc.Headers.get", lambda: None)


def test_a_tape_has_a_bound() -> None:
    tape = RecordingTape(GivenTape(rand=[1, 2, 3]), {}, limit=10)
    tape.draw()
    assert not tape.overflowed
    tape.draw()
    assert tape.overflowed
    tape.draw()
    assert len(tape.entries) == 18


# ---------------------------------------------------------------- frames that no writer writes

START = MAGIC + VERSION.to_bytes(4, "little")
HEAD = json_frame(b"H", HEADER.to_json())
POLICY = json_frame(b"P", policy().to_json())


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (HEAD + HEAD, "the header is not where it belongs"),
        (HEAD + frame(b"X", b""), "a frame of an unknown kind: b'X'"),
        (HEAD + frame(b"R", record(3).pack()), "record 3 is of policy 0, which the log does not have"),
        (
            HEAD + POLICY + frame(b"R", replace(record(3), hook=9).pack()),
            "record 3 is of hook 9, which its policy does not have",
        ),
        (HEAD + json_frame(b"T", Trailer(0, 0, {}).to_json()) + POLICY, "the log goes on after its end"),
        (HEAD + json_frame(b"T", Trailer(4, 0, {}).to_json()), "the log has 0 records, and says 4"),
        (HEAD + frame(b"P", b"{"), "the policy cannot be read: Expecting property name"),
        (
            HEAD + json_frame(b"T", {"records": 0}),
            "the trailer cannot be read: Object missing required field `dropped`",
        ),
    ],
)
def test_a_wrong_frame_ends_the_reading(data: bytes, damage: str) -> None:
    found = read(START + data)
    assert found.damage.startswith(damage) and not found.complete


def test_a_log_begins_with_its_header() -> None:
    with pytest.raises(LogError, match="the header is not where it belongs"):
        read(START + POLICY)
    with pytest.raises(LogError, match="the log ends before its header"):
        read(START)


def test_a_program_of_another_version_of_the_text_form() -> None:
    other = replace(policy(), program_text="transect-ir 9")
    with pytest.raises(LogError, match="the program of P cannot be read: line 1: this version"):
        _ = other.program


def test_a_full_disk_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None: ...
        def close(self) -> None: ...

    monkeypatch.setattr("transect.replay.writer.create", lambda path: Full())
    writer = Writer(Path("log"), HEADER)
    writer.policy(policy())
    with pytest.raises(OSError, match="No space left"):
        writer.close({})


def test_a_recording_that_an_error_ends_is_closed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Writer(tmp_path / "log", HEADER) as writer:
        writer.policy(policy())
        raise RuntimeError
    assert read(tmp_path / "log").complete
