# SPDX-License-Identifier: Apache-2.0
"""The native chain where it can be compiled, where there is no compiler, and where Python.h is missing."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.parts import need
from transect import rpc
from transect.base import cache
from transect.base.unavailable import Unavailable
from transect.control import Client, sockets
from transect.emit import toolchain
from transect.emit.toolchain import BuildError
from transect.rpc.grpcio import native
from transect.rpc.native import build

pytestmark = pytest.mark.needs("grpcio")

PROBE = Path(__file__).parents[2] / "systems" / "rpc" / "envoy" / "probe_chain.c"
UNIT = {"chain.c": b"int answer(void) { return 42; }\n"}


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)


@pytest.fixture
def no_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    known = sysconfig.get_path
    monkeypatch.setattr(
        sysconfig, "get_path", lambda name: str(tmp_path) if name == "include" else known(name)
    )
    return tmp_path


def test_with_compiler_and_headers() -> None:
    need("gcc")
    need("python-headers")
    works, reason, hint = rpc.native_status()
    assert works
    assert "Python.h" in reason
    assert hint == ""


def test_without_a_compiler(no_compiler: None) -> None:
    assert rpc.native_status() == (
        False,
        "a C compiler: neither cc nor gcc is on PATH",
        "apt-get install gcc",
    )


def test_without_python_h(no_headers: Path) -> None:
    need("gcc")
    assert rpc.native_status() == (False, f"Python.h: not in {no_headers}", "apt-get install python3-dev")


def attached(folder: Path | None, **more: Any) -> Any:
    import grpc

    from transect.examples.rpc.acl import Acl
    from transect.rpc import echo

    channel = grpc.insecure_channel("127.0.0.1:1")
    return rpc.attach(channel, [Acl()], service=echo.DESCRIPTOR, cache=folder, **more)


@pytest.mark.parametrize("lacking", ["no_compiler", "no_headers"])
def test_a_chain_that_cannot_be_compiled_runs_as_emitted_python_and_says_why(
    lacking: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request.getfixturevalue(lacking)
    what = "a C compiler" if lacking == "no_compiler" else "Python.h"
    with caplog.at_level(logging.WARNING, "transect.rpc"):
        channel = attached(tmp_path)
    assert not channel.chain.native
    assert channel.chain.reason.startswith(what)
    assert "apt-get install" in channel.chain.reason
    assert what in caplog.text
    with pytest.raises(Unavailable, match=what):
        attached(tmp_path, native=True)
    caplog.clear()
    assert attached(tmp_path, native=False).chain.reason == "asked for: native=False"
    assert caplog.text == ""


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tmp_path.chmod(0o777)


def _compiler(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    tool = folder / "cc"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("CC", str(tool))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _compiler(monkeypatch, tmp_path, "echo the disk is on fire >&2; exit 1")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toolchain, "PATIENCE_S", 0.3)
    _compiler(monkeypatch, tmp_path, 'test "$1" = --version && echo slow || sleep 1000')


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "cc"
    tool.write_bytes(b"\x7fELF")
    tool.chmod(0o755)
    monkeypatch.setenv("CC", str(tool))


FAULTS = {
    "no_home": "the home /nonexistent is not there",
    "read_only": "No such file or directory",
    "full_disk": "No space left on device",
    "foreign": "others may write there",
    "failing": "the disk is on fire",
    "hanging": "it does not end within 0.3 s",
    "broken": "it does not start: Exec format error",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_the_cache_or_the_compiler_keeps_a_service_from_starting(
    fault: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    need("gcc")
    need("python-headers")
    request.getfixturevalue(fault)
    folder = None if fault in ("no_home", "read_only", "foreign") else tmp_path / "kept"
    with caplog.at_level(logging.WARNING, "transect.rpc"):
        channel = attached(folder)
    assert not channel.chain.native and FAULTS[fault] in channel.chain.reason
    assert "the chain Acl runs as emitted Python" in caplog.text and FAULTS[fault] in caplog.text
    with pytest.raises(Unavailable) as refused:
        attached(folder, native=True)
    assert FAULTS[fault] in str(refused.value)


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_chain_is_compiled_anew(tmp_path: Path, damage: str) -> None:
    """Loaded, what is cut off ends the process with SIGBUS, and what is damaged with SIGSEGV."""
    need("gcc")
    need("python-headers")
    made = native.compiled({"chain.c": PROBE.read_bytes()}, tmp_path)
    whole = made.read_bytes()
    if damage == "cut":
        made.write_bytes(whole[: len(whole) * 3 // 10])
    else:
        made.write_bytes(bytes(b ^ 0xFF if i % 97 == 0 else b for i, b in enumerate(whole)))
    # In processes of their own: one that has loaded the same chain before does not load it again.
    code = (
        "import sys, pathlib; from transect.rpc.grpcio import native; native.load(pathlib.Path(sys.argv[1]))"
    )
    refused = subprocess.run([sys.executable, "-c", code, made], capture_output=True, text=True)
    assert refused.returncode == 1 and "Unavailable" in refused.stderr and "damaged" in refused.stderr
    assert native.compiled({"chain.c": PROBE.read_bytes()}, tmp_path) == made
    loaded = subprocess.run([sys.executable, "-c", code, made], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr


def test_a_damaged_object_of_the_fixed_part_is_compiled_anew(tmp_path: Path) -> None:
    need("gcc")
    fixed = {"help.c": b"int help(void) { return 7; }\n"}
    build.shared_object("unit", UNIT, folder=tmp_path, fixed=fixed)
    (kept,) = tmp_path.glob("*_help.o")
    kept.write_bytes(kept.read_bytes()[:100])
    other = {"chain.c": b"int help(void);\nint answer(void) { return help(); }\n"}
    path = build.shared_object("unit", other, folder=tmp_path, fixed=fixed, flags=["-fvisibility=default"])
    with cache.loadable(path) as file:
        assert ctypes.CDLL(file.name).answer() == 7


@pytest.mark.parametrize("trial", [False, True])
def test_what_is_loaded_is_what_was_verified(tmp_path: Path, trial: bool) -> None:
    """The folder is another one meanwhile, in this process and in that of a trial."""
    need("gcc")
    made = build.shared_object("unit", UNIT, folder=tmp_path / "ours", flags=["-fvisibility=default"])
    with cache.loadable(made) as file:
        (tmp_path / "ours").rename(tmp_path / "moved")
        evil = {"chain.c": b"int answer(void) { return 666; }\n"}
        build.shared_object("unit", evil, folder=tmp_path / "ours").rename(made)
        if trial:
            code = f"import ctypes; print(ctypes.CDLL({file.name!r}).answer())"
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, pass_fds=[file.descriptor]
            )
            assert done.stdout == b"42\n"
        else:
            assert ctypes.CDLL(file.name).answer() == 42


def test_a_chain_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("gcc")
    first = build.shared_object("unit", UNIT, folder=tmp_path)
    assert first.name.startswith("unit_")

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("compiled again")

    monkeypatch.setattr(subprocess, "Popen", never)
    assert build.shared_object("unit", UNIT, folder=tmp_path) == first


def test_what_others_could_have_put_there_is_not_loaded(tmp_path: Path) -> None:
    """Whoever knows a policy knows its file's name."""
    need("gcc")
    before = os.umask(0)
    try:
        made = build.shared_object("unit", UNIT, folder=tmp_path / "deep" / "chains")
    finally:
        os.umask(before)
    assert made.parent.stat().st_mode & 0o777 == 0o700
    made.parent.chmod(0o702)
    with pytest.raises(Unavailable, match="others may write there"):
        build.shared_object("unit", UNIT, folder=made.parent)
    made.parent.chmod(0o755)
    assert build.shared_object("unit", UNIT, folder=made.parent) == made


def test_a_chain_of_another_users_folder_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("gcc")
    owner = tmp_path.stat().st_uid
    if owner == 0:
        if os.geteuid() != 0:
            pytest.skip("the folder is root's, whom everybody trusts")
        os.chown(tmp_path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(Unavailable, match="belongs to user"):
        build.shared_object("unit", UNIT, folder=tmp_path)


def test_another_source_or_flag_has_another_name(tmp_path: Path) -> None:
    need("gcc")
    names = {
        build.shared_object("unit", UNIT, folder=tmp_path).name,
        build.shared_object("unit", {"chain.c": UNIT["chain.c"] + b"\n"}, folder=tmp_path).name,
        build.shared_object("unit", UNIT, folder=tmp_path, flags=["-DX"]).name,
    }
    assert len(names) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names), "nothing else is left behind"


def test_many_at_once_build_the_same(tmp_path: Path) -> None:
    need("gcc")
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: build.shared_object("unit", UNIT, folder=tmp_path), range(4)))
    assert len(made) == 1
    assert list(tmp_path.iterdir()) == list(made)


def test_what_the_compiler_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    need("gcc")
    with pytest.raises(BuildError, match=r"chain\.c:1"):
        build.shared_object("unit", {"chain.c": b"int answer(void) { return nothing; }\n"}, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_chain_of_another_abi_is_not_loaded(tmp_path: Path) -> None:
    need("gcc")
    need("python-headers")
    other = PROBE.read_bytes().replace(b"ts_chain_abi = TS_CHAIN_ABI", b"ts_chain_abi = 99")
    with pytest.raises(ImportError, match="speaks ABI 99"):
        native.chain({"chain.c": other}, tmp_path)


def test_the_cache_is_where_the_user_keeps_his(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache_folder() == tmp_path / "transect" / "chains"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build.cache_folder() == tmp_path / ".cache" / "transect" / "chains"


def test_a_name_that_is_taken_keeps_no_service_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sockets, "folder", lambda: tmp_path / "sockets")
    first = attached(tmp_path, native=False, name="shop").chain
    assert caplog.text == ""
    second = attached(tmp_path, native=False, name="shop").chain
    assert (first.name, second.name) == ("shop", "shop-2")
    assert "a chain `shop` runs already; this one is `shop-2`" in caplog.text
    assert [Client("rpc", name).status()["carrier"] for name in ("shop", "shop-2")] == ["grpcio client"] * 2
    first.close(), second.close()


def test_a_control_socket_that_cannot_be_made_keeps_no_service_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "sockets"
    monkeypatch.setattr(sockets, "folder", lambda: place)
    place.write_bytes(b"")
    attached(tmp_path, native=False, name="shop")
    assert "the chain `shop` cannot be reached by `transect rpc status`" in caplog.text
    place.unlink()
    place.mkdir(mode=0o755)
    attached(tmp_path, native=False, name="shop")
    assert f"`chmod 700 {place}`" in caplog.text
    place.chmod(0o700)
    with pytest.raises(ValueError, match="no name of an instance"):
        attached(tmp_path, native=False, name="a shop")
