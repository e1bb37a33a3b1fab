# SPDX-License-Identifier: Apache-2.0
"""Files without an end, where a policy, a configuration or a log is wanted."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from transect.base.bounded import AT_ONCE, first, head
from transect.base.unavailable import Unavailable
from transect.cli.policies import find
from transect.core.frontend import compile_file
from transect.cpu.built import Built
from transect.linux import physical, stored
from transect.llm.gateway.settings import read_gateway
from transect.llm.saved_state import NotKept, names_in
from transect.memory.target import Address, memory_of
from transect.replay import read
from transect.rpc.messages import protos
from transect.rpc.placement import saved
from transect.vm import kernel

ENDLESS = Path("/dev/zero")


def test_no_more_is_read_than_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    assert head(tmp_path / "short", 10) == b"abc"
    assert head(tmp_path / "short", 1) == b"ab"


READERS: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "whatever is read": (head, OSError),
    "a configuration": (read_gateway, OSError),
    "a log": (read, OSError),
    "a kept state": (names_in, NotKept),
    "a plan": (saved.load, saved.PlanError),
    "the chain of a plan": (
        lambda path: saved.chain_of(saved.Saved(1, path.name, "", ()), path.with_name("plan")),
        saved.PlanError,
    ),
    "a kernel": (stored.image, OSError),
    "a kernel to boot": (kernel.own, Unavailable),
    "a dump": (physical.dump, OSError),
    "the memory of a machine": (physical.ram, OSError),
    "a grant": (lambda path: memory_of(Address.of(f"roce://127.0.0.1{path}")), OSError),
    "a compiled scheduler": (Built.read, OSError),
    "descriptors": (
        lambda path: protos.from_files([path.rename(path.with_suffix(".binpb"))]),
        protos.ProtoError,
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_neither_a_device_nor_a_pipe_nor_a_folder_is_read(reader: str, tmp_path: Path) -> None:
    """A pipe without a writer would be waited for, for ever."""
    read, refusal = READERS[reader]
    for name in ("device", "pipe", "folder"):
        path = tmp_path / name
        match name:
            case "device":
                path.symlink_to(ENDLESS)
            case "pipe":
                os.mkfifo(path)
            case _:
                path.mkdir()
        with pytest.raises(refusal, match=r"not a regular file|[Ii]s a directory|is no file"):
            read(path)


def test_an_endless_file_is_no_policy_and_no_log(tmp_path: Path) -> None:
    endless = tmp_path / "endless.py"
    endless.symlink_to(ENDLESS)
    (said,) = compile_file(endless).diagnostics
    assert (said.code, said.message) == ("P002", f"cannot read `{endless}`: it is not a regular file")
    with pytest.raises(OSError, match="not a regular file"):
        read(ENDLESS)


def test_a_link_to_a_device_in_a_folder_is_no_file_to_check(tmp_path: Path) -> None:
    (tmp_path / "endless.py").symlink_to(ENDLESS)
    (tmp_path / "policy.py").write_text("from transect.rpc import Element\nclass P(Element):\n    pass\n")
    found = find([str(tmp_path)])
    assert found.policies == [tmp_path / "policy.py"]


def test_no_room_is_made_for_more_than_comes() -> None:
    class Small(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None and 0 < size <= AT_ONCE
            return super().read(size)

    assert first(Small(b"x" * 100_000), 1 << 40) == b"x" * 100_000
    assert first(Small(b"x" * 100_000), 70_000) == b"x" * 70_001
