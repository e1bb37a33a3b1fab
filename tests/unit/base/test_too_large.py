# SPDX-License-Identifier: Apache-2.0
"""Whatever is read of a file that somebody names has a bound, and a file beyond it is refused with the number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transect.base.bounded import SOURCE, whole
from transect.base.unavailable import Unavailable
from transect.llm.simulator import calibrate, model
from transect.memory.p4.budget import BadBudget, Budget
from transect.replay import LogError, reader
from transect.replay.log import MAGIC
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
