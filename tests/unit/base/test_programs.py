# SPDX-License-Identifier: Apache-2.0
"""Programs that never end, or never stop talking, where what one says is wanted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from transect.base import cache
from transect.base.programs import Endless, ran
from transect.base.unavailable import Unavailable
from transect.control.protocol import Refused
from transect.emit import toolchain
from transect.linux import image
from transect.rpc.envoy import binary
from transect.rpc.grpcio import trial
from transect.rpc.messages import protos
from transect.vm import packages

HANGS = "sleep 1000"
TALKS = "yes"


def test_what_it_said_on_both_streams_and_how_it_ended() -> None:
    done = ran(["sh", "-c", "cat; echo no >&2; exit 3"], patience_s=10, given=b"yes\n")
    assert (done.status, done.said, done.complaint) == (3, "yes\n", "no\n")


def test_both_streams_are_read_at_once() -> None:
    script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero"
    done = ran(["sh", "-c", script], patience_s=30)
    assert (len(done.out), len(done.err)) == (2_000_000, 1_000_000)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_one_that_talks_for_ever_is_killed(stream: str) -> None:
    with pytest.raises(Endless, match="it says more than 1,000,000 bytes"):
        ran(["sh", "-c", f"yes >&{stream}"], patience_s=30, most=1_000_000)


def test_as_much_as_is_wanted_is_not_too_much() -> None:
    assert len(ran(["head", "-c", "1000", "/dev/zero"], patience_s=30, most=1000).out) == 1000
    with pytest.raises(Endless):
        ran(["head", "-c", "1001", "/dev/zero"], patience_s=30, most=1000)


@pytest.mark.parametrize(
    "script", [HANGS, "exec >&- 2>&-; sleep 1000", "sleep 1000 &", "sleep 1000 & sleep 1000"]
)
def test_one_that_does_not_end_is_killed_with_all_that_it_has_started(script: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(Endless, match=r"it does not end within 0\.3 s"):
        ran(["sh", "-c", f"echo $$ > {tmp_path}/pid; {script}"], patience_s=0.3)
    assert time.monotonic() - began < 20
    group = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 20
    while time.monotonic() < until:  # until whoever reaps them has done so
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail("somebody of its group lives")


def test_one_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ran([str(tmp_path / "none")], patience_s=1)


def _toolchain(program: Path) -> None:
    toolchain.called([str(program)], Path("/"))


def _protoc(program: Path) -> None:
    protos.compile_protos([program])


def _envoy(program: Path) -> None:
    binary._version(program)


def _apt(program: Path) -> None:
    packages.Archive(program.parent)._run([str(program)], program.parent)


def _unpacker(program: Path) -> None:
    with program.with_name("kernel").open("wb") as file:
        image._by_program("zstd")(b"packed", file)


def _trial(program: Path) -> None:
    with cache.opened(program.parent / "kept", make=True) as folder:
        folder.keep("new.so", b"")
    trial.tried(program.parent / "kept" / "new.so", (), ())


CALLERS: dict[str, tuple[Callable[[Path], None], type[Exception]]] = {
    "a compiler": (_toolchain, Unavailable),
    "a protobuf compiler": (_protoc, Unavailable),
    "an Envoy that is asked its version": (_envoy, Unavailable),
    "apt": (_apt, Unavailable),
    "zstd": (_unpacker, ValueError),
    "a trial of a new version": (_trial, Refused),
}


@pytest.mark.parametrize(("script", "said"), [(HANGS, "does not end within"), (TALKS, "says more than")])
@pytest.mark.parametrize("caller", CALLERS)
def test_whoever_runs_a_program_refuses_one_that_hangs_or_talks_for_ever(
    caller: str, script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "zstd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    call, refusal = CALLERS[caller]
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(protos, "_protoc", lambda: [str(program)])
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(image, "LIMIT", 1000)
    for module in (toolchain, protos, binary, packages, image, trial):
        monkeypatch.setattr(module, "PATIENCE_S", 0.3 if script is HANGS else 60.0)
    with pytest.raises(refusal, match=said):
        call(program)


@pytest.mark.parametrize(("size", "why"), [(101, "it has more than 100 bytes"), (None, "No such file")])
def test_what_a_compiler_says_that_it_has_made_is_there_and_not_too_large(
    size: int | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "LARGEST", 100)

    def compiler(folder: Path, units: Sequence[str], objects: Sequence[str], name: str | None) -> None:
        if size is not None and name is not None:
            (folder / name).write_bytes(bytes(size))

    with pytest.raises(Unavailable, match=why):
        toolchain.kept("x", ".so", {"x.c": b""}, {}, folder=tmp_path / "kept", compile=compiler, by=())
