# SPDX-License-Identifier: Apache-2.0
"""Whatever is read of a file that somebody names has a bound, and a file beyond it is refused with the number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from transect.base.bounded import SOURCE, whole
from transect.base.unavailable import Unavailable
from transect.cli import claims
from transect.core.frontend.source import text_now
from transect.core.ir import Program
from transect.emit.py import load
from transect.llm.simulator import calibrate, model, trace
from transect.memory.p4.budget import BadBudget, Budget
from transect.replay import LogError, reader
from transect.replay.log import MAGIC
from transect.rpc.grpcio import attach
from transect.rpc.messages import protos
from transect.rpc.placement import observed, profile, saved

READERS: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "a plan": (saved.load, saved.PlanError),
    "the status of a chain": (observed.shares, observed.NotUnderstood),
    "what calls cost": (profile.load, Unavailable),
    "a model of an engine": (lambda path: model.engine(str(path)), Unavailable),
    "measurements of an engine": (calibrate.profile, ValueError),
    "what a switch has": (Budget.of, BadBudget),
}


def test_a_file_within_its_bound_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"abc")
    assert whole(tmp_path / "full", 3) == b"abc"
    with pytest.raises(OSError, match="it has more than 2 bytes"):
        whole(tmp_path / "full", 2)


@pytest.mark.parametrize("name", READERS)
def test_a_file_beyond_its_bound_is_refused(name: str, tmp_path: Path) -> None:
    read, refusal = READERS[name]
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(SOURCE + 1)
    with pytest.raises(refusal, match="it has more than 4,194,304 bytes"):
        read(path)


def test_a_set_of_descriptors_beyond_its_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protos, "LARGEST", 10)
    (tmp_path / "large.binpb").write_bytes(bytes(11))
    with pytest.raises(protos.ProtoError, match="it has more than 10 bytes"):
        protos.from_files([tmp_path / "large.binpb"])


def test_a_log_beyond_its_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LARGEST", 100)
    (tmp_path / "log").write_bytes(MAGIC + bytes(100))
    with pytest.raises(LogError, match="it has more than 100 bytes"):
        reader.read(tmp_path / "log")


def test_what_a_protobuf_compiler_makes_is_bounded_likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protos, "LARGEST", 10)
    (tmp_path / "x.proto").write_text('syntax = "proto3";\nmessage M {}\n')
    with pytest.raises(protos.ProtoError, match="it has more than 10 bytes"):
        protos.compile_protos([tmp_path / "x.proto"])


def test_a_trace_of_requests_beyond_its_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "LARGEST", 100)
    (tmp_path / "large.csv").write_text(",".join(trace.COLUMNS) + "\n" + "0,a,1,1\n" * 10)
    with pytest.raises(ValueError, match="it has more than 100 bytes"):
        trace.read(str(tmp_path / "large.csv"))


@pytest.mark.parametrize(
    ("row", "why"), [(b"0,%s,1,1" % (b"a" * 200_000), "field larger"), (b"0,\xff,1,1", "is not UTF-8 text")]
)
def test_what_is_no_trace_of_requests_is_said_to_be_none(row: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_bytes(",".join(trace.COLUMNS).encode() + b"\n" + row + b"\n")
    with pytest.raises(ValueError, match=rf"odd\.csv.*{why}"):
        trace.read(str(tmp_path / "odd.csv"))


def held(act: Callable[[], object]) -> int:
    """Bytes of memory at most while it does that."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


POLICY = "from transect.rpc import Element\n\n\nclass Acl(Element):\n    pass\n"


def acl(path: Path) -> Program:
    return load.program_of(str(path), POLICY, "Acl")


AGAIN: dict[str, Callable[[Path], object]] = {
    "whose class is attached": acl,
    "whose diagnostics are shown": lambda path: attach._sources([acl(path)]),
    "whose calls are recorded": lambda path: text_now(str(path)),
}


@pytest.mark.parametrize("reader", AGAIN)
def test_the_file_of_a_policy_that_has_grown_is_not_read_again(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "acl.py"
    path.write_text(POLICY)
    AGAIN[reader](path)
    with path.open("wb") as file:
        file.truncate(100 << 20)
    monkeypatch.setattr(load, "_compiled", {})
    assert held(lambda: AGAIN[reader](path)) < 20 << 20


def test_a_benchmark_that_prints_without_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "SAID", 1000)
    (tmp_path / "run.py").write_text("while True: print('x' * 100)")
    found = claims.measure(claims.Claim("rpc.endless", tmp_path, {}))
    assert found["why"] == f"{tmp_path}/run.py prints more than 1,000 bytes"
