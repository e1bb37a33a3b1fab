# SPDX-License-Identifier: Apache-2.0
"""The native chain where it can be compiled, where there is no compiler, and where Python.h is missing."""

from __future__ import annotations

import logging
import os
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.parts import need
from transect import rpc
from transect.base.unavailable import Unavailable
from transect.rpc import build
from transect.rpc.grpcio import native

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


def attached(folder: Path, **more: Any) -> Any:
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


def test_a_chain_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("gcc")
    first = build.shared_object("unit", UNIT, folder=tmp_path)
    assert first.name.startswith("unit_")

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("compiled again")

    build.compiler()
    monkeypatch.setattr(subprocess, "run", never)
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
    for mode in (0o720, 0o702):
        made.parent.chmod(mode)
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
    with pytest.raises(build.BuildError, match=r"chain\.c:1"):
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
