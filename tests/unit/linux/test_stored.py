# SPDX-License-Identifier: Apache-2.0
"""What is kept of a kernel's file says what the file says, and serves only while nobody else can have written it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.linux.test_image import a_kernel
from tests.unit.linux.test_kallsyms import a_table
from tests.unit.linux.types import Writer
from transect.linux import stored
from transect.linux.btf import Kind
from transect.linux.image import Image


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A kernel with symbols and types."""
    types, symbols = Writer(), a_table("relative")[0]
    number = types.integer("int", 4)
    types.struct("pair", 8, [("first", number, 0), ("second", number, 4)])
    types.struct("pair", 16, [("other", number, 0)])
    types.enum("colour", [("RED", 1)])
    body = symbols + bytes(-len(symbols) % 8)
    file = tmp_path / "vmlinux"
    file.write_bytes(a_kernel(body + types.data(), (len(body), len(types.data()))))
    return file


def kept(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def test_what_is_kept_says_the_same(kernel: Path, tmp_path: Path) -> None:
    first = stored.image(kernel, tmp_path / "cache")
    again = stored.image(kernel, tmp_path / "cache")
    assert isinstance(again, stored.Stored) and not isinstance(first, stored.Stored)
    plain = Image.from_bytes(kernel.read_bytes())
    assert list(again.symbols) == list(plain.symbols)
    assert [again.symbols.address(s.name) for s in plain.symbols] == list(plain.symbols.addresses)
    assert again.symbols.near(plain.symbols.addresses[7] + 1) == ("function_7", 1)
    assert "function_" not in again.symbols and "zz" not in again.symbols
    assert (again.banner, again.sha256) == (plain.banner, plain.sha256)
    assert [again.loaded(piece) for piece in again.pieces] == [plain.loaded(piece) for piece in plain.pieces]
    assert again.btf.field("pair", "second").offset == 4  # the first of equal names
    assert again.btf.constants == plain.btf.constants == {"RED": 1}
    assert again.btf.names(Kind.STRUCT) == ["pair"]
    assert again.btf.named("nothing") is None


def test_another_file_is_another_kernel(kernel: Path, tmp_path: Path) -> None:
    stored.image(kernel, tmp_path / "cache")
    kernel.write_bytes(kernel.read_bytes() + b"\0")
    assert not isinstance(stored.image(kernel, tmp_path / "cache"), stored.Stored)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_kernels_that_were_used_last_are_kept(
    kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST", 2)
    cache, kernels = tmp_path / "cache", []
    for number in range(3):
        kernels.append(tmp_path / f"kernel-{number}")
        kernels[-1].write_bytes(kernel.read_bytes() + bytes(number))
    for age, path in ((300, kernels[0]), (200, kernels[1])):
        stored.image(path, cache)
        for folder in cache.iterdir():
            if time.time() - folder.stat().st_mtime < 100:
                os.utime(folder, (time.time() - age,) * 2)
    again = stored.image(kernels[0], cache)  # the older one is used
    for name, age in ((".killed", 7200), (".under-way", 60)):
        (cache / name).mkdir()
        os.utime(cache / name, (time.time() - age,) * 2)
    stored.image(kernels[2], cache)
    assert [isinstance(stored.image(k, cache), stored.Stored) for k in (kernels[0], kernels[2])] == [
        True,
        True,
    ]
    assert len(list(cache.glob("[!.]*"))) == 2 and [p.name for p in cache.glob(".*")] == [".under-way"]
    assert not isinstance(stored.image(kernels[1], cache), stored.Stored)
    assert len(list(cache.glob("[!.]*"))) == 2
    assert again.symbols.address("linux_banner"), "what was thrown away serves those who have it"


@pytest.mark.parametrize("name", ["", "index", "vmlinux"])
def test_what_others_can_write_is_made_anew(kernel: Path, tmp_path: Path, name: str) -> None:
    stored.image(kernel, tmp_path / "cache")
    (kept(tmp_path / "cache") / name).chmod(0o777)
    assert not isinstance(stored.image(kernel, tmp_path / "cache"), stored.Stored)
    assert isinstance(stored.image(kernel, tmp_path / "cache"), stored.Stored)


@pytest.mark.parametrize("name", ["index", "vmlinux"])
@pytest.mark.parametrize("left", [0, 100])
def test_what_is_cut_off_is_made_anew(kernel: Path, tmp_path: Path, name: str, left: int) -> None:
    stored.image(kernel, tmp_path / "cache")
    with open(kept(tmp_path / "cache") / name, "r+b") as file:
        file.truncate(left)
    assert not isinstance(stored.image(kernel, tmp_path / "cache"), stored.Stored)
    assert isinstance(stored.image(kernel, tmp_path / "cache"), stored.Stored)


def test_a_cache_that_cannot_be_written_costs_time_alone(kernel: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert stored.image(kernel, tmp_path / "cache").symbols.address("linux_banner")
