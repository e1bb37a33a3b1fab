# SPDX-License-Identifier: Apache-2.0
"""Disks that are full, real ones of some kilobytes: which place it was is said, and what to do."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from transect.base.room import full_ones, is_full, put
from transect.base.unavailable import Unavailable
from transect.cli import main
from transect.emit.c.toolchain import shared_object

POLICY = """
from transect.rpc import Element, Forward, Rpc, Verdict

class Open(Element):
    def request(self, rpc: Rpc) -> Verdict:
        return Forward()
"""
LARGE = b"int table[] = {" + b"1," * 100_000 + b"};\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"), (disk / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_what_has_no_room_is_named_and_nothing_of_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        put(path, b"x")
    assert path.is_symlink() and Path("/dev/full").is_char_device(), "only what we made is taken away"


@pytest.mark.needs("root")
def test_a_file_in_part_is_taken_away(disk: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: .*large"):
        put(disk / "large", bytes(1 << 20))
    assert not (disk / "large").exists()
    put(disk / "small", b"x", fresh=True, mode=0o600)
    assert (disk / "small").stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("root")
def test_which_disks_are_full(disk: Path, tmp_path: Path) -> None:
    assert not is_full(disk) and full_ones([disk, tmp_path]) == []
    fill(disk)
    assert full_ones([tmp_path, disk / "not" / "there", disk]) == [str(disk)]


@pytest.mark.needs("root", "gcc")
@pytest.mark.parametrize("when", ["before", "while it compiles"])
def test_a_full_cache_is_no_fault_of_the_compiler(disk: Path, when: str) -> None:
    place = disk / "chains"
    place.mkdir()
    if when == "before":
        fill(disk)
    sources = {"a.c": LARGE[: 100_000 if when == "before" else 60_000] + b"1};\n"}
    with pytest.raises(Unavailable) as full:
        shared_object("odd", sources, folder=place)
    assert (full.value.what, full.value.why) == (f"the cache {place}", "No space left on device")
    assert full.value.hint == "make room there, or XDG_CACHE_HOME=FOLDER names another place"


@pytest.mark.needs("root")
def test_a_command_names_the_place_that_is_full(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "open_.py"
    policy.write_text(POLICY)
    (disk / "out").mkdir()
    fill(disk)
    assert main(["compile", str(policy), "--to", "c", "-o", str(disk / "out")]) == 3
    said = capsys.readouterr().err
    named = rf"transect: {disk}/out/[\w./]+: No space left on device\n  hint: make room there, or name another place\n"
    assert re.fullmatch(named, said), said

    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("transect.emit.artifact.put", fails)
    assert main(["compile", str(policy), "--to", "c", "-o", str(tmp_path / "out")]) == 3
    assert (
        f"transect: {disk}: No space left on device\n  hint: make room there; for files"
        in capsys.readouterr().err
    )
