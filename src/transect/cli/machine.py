# SPDX-License-Identifier: Apache-2.0
"""For each stratum, the things that it needs, and whether this machine has them.  Nothing is changed."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.cli.strata import Stratum


class State(StrEnum):
    """How much of a stratum works."""

    WORKS = "works"
    PARTLY = "partly"
    NOT = "not"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a stratum uses."""

    name: str
    found: str  # version and place; "" when it is missing
    needed: bool = True  # without it nothing of the stratum works
    why: str = ""  # what is not there, when it is missing
    hint: str = ""  # the one command that helps


@dataclass(frozen=True, slots=True)
class Report:
    """A stratum on this machine."""

    name: str
    parts: tuple[Part, ...]

    @property
    def state(self) -> State:
        lacking = [part for part in self.parts if not part.found]
        if any(part.needed for part in lacking):
            return State.NOT
        return State.PARTLY if lacking else State.WORKS

    @property
    def reason(self) -> str:
        """What is missing; empty when nothing is."""
        return "; ".join(part.why for part in self.parts if not part.found)

    @property
    def hint(self) -> str:
        """The one command that helps most."""
        lacking = sorted((part for part in self.parts if not part.found), key=lambda part: not part.needed)
        return lacking[0].hint if lacking else ""


def reports() -> Iterator[Report]:
    """The compiler, then each stratum."""
    yield Report("compiler", (_python(),))
    for stratum in Stratum:
        yield Report(stratum, tuple(probe() for probe in PROBES[stratum]))


def _python() -> Part:
    return Part("Python", f"{platform.python_version()} ({sys.executable})")


def _package(name: str, extra: str) -> Part:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Part(name, "", why=f"{name} is not installed", hint=f"pip install 'transect[{extra}]'")
    return Part(name, version)


def _native() -> Part:
    """What compiles the chain for gRPC's library to machine code; without it, emitted Python runs instead."""
    from transect.emit.c.toolchain import compiler

    name, effect = "native chain", "gRPC's library runs the chain as Python instead of C"
    try:
        tool = compiler()
    except Unavailable as lacking:
        return Part(name, "", False, f"{lacking.why}: {effect}", "apt-get install gcc python3-dev")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        return Part(name, "", False, f"no {header}: {effect}", "apt-get install python3-dev")
    return Part(name, f"{tool.version}, {header}")


def _envoy() -> Part:
    from transect.rpc.envoy.binary import FITTING, INSTALL, find

    try:
        binary = find()
    except Unavailable as lacking:
        return Part("Envoy", "", False, lacking.why, lacking.hint)
    if not binary.abi.startswith(FITTING):
        return Part("Envoy", "", False, f"{binary}: it cannot load our modules", INSTALL)
    return Part("Envoy", str(binary).removeprefix("Envoy "))


def _wasm() -> Part:
    """What compiles chains to plugins; nothing else needs it."""
    from transect.emit.wasm.toolchain import compiler

    try:
        return Part("WASM plugins", compiler().version)
    except Unavailable as lacking:
        return Part("WASM plugins", "", False, f"{lacking.why}: no `--carrier wasm`", lacking.hint)


def _program(name: str, package: str, needed: bool, effect: str, label: str = "") -> Part:
    found = shutil.which(name)
    if found is None:
        return Part(label or name, "", needed, f"no {name}: {effect}", f"apt-get install {package}")
    return Part(label or name, found)


def _simulator() -> Part:
    from transect.llm.simulator.model import engines

    return Part("simulator", f"engines: {', '.join(engines())}")


def _beside(name: str, effect: str) -> Part:
    """A package of the llm extra that only a part of the stratum uses."""
    try:
        return Part(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Part(name, "", False, f"{name} is not installed: {effect}", "pip install 'transect[llm]'")


def _vllm() -> Part:
    """The operator's own engine; transect never installs it."""
    effect = "policies cannot run inside the engine here"
    try:
        version = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return Part("vLLM", "", False, f"vllm is not installed: {effect}", "see docs/vllm.md")
    tested = "tested" if version.startswith("0.32") else "not tested; 0.32 is"
    return Part("vLLM", f"{version} ({tested})")


MACHINES = {"qemu-system-x86_64": "qemu-system-x86", "virtiofsd": "virtiofsd", "zstd": "zstd"}


def _for_machines(name: str) -> Part:
    """A program that virtual machines need."""
    from transect.vm.machine import virtiofsd

    effect = "no virtual machines (`--vm`)"
    if name == "virtiofsd":
        try:
            return Part(name, virtiofsd())
        except Unavailable:
            pass  # said below
    return _program(name, MACHINES[name], False, effect, "QEMU" if name.startswith("qemu") else name)


def _clang() -> Part:
    from transect.cpu.build import clang

    try:
        return Part("clang", clang())
    except Unavailable as lacking:
        return Part("clang", "", True, lacking.why, lacking.hint)


def _libbpf() -> Part:
    header = Path("/usr/include/bpf/bpf_helpers.h")
    if header.is_file():
        return Part("libbpf", str(header))
    return Part("libbpf", "", True, f"no {header}", "apt-get install libbpf-dev")


def _sched_ext() -> Part:
    """Whether the running kernel takes schedulers."""
    state = Path("/sys/kernel/sched_ext/state")
    if state.is_file():
        return Part("this kernel", f"{platform.release()}, sched_ext {state.read_text().strip()}")
    why = f"{platform.release()} is built without sched_ext: schedulers run only in a virtual machine"
    return Part("this kernel", "", False, why, "transect cpu run --vm …, or a kernel of trixie-backports")


PROBES: dict[Stratum, tuple[Callable[[], Part], ...]] = {
    Stratum.LLM: (
        _simulator,
        lambda: _beside("uvicorn", "no gateway"),
        lambda: _beside("aiohttp", "no gateway"),
        lambda: _beside("redis", "no counters shared by several gateways"),
        lambda: _beside("matplotlib", "no pictures"),
        _vllm,
        lambda: _program("gcc", "gcc", False, "policies run as Python in engine and gateway"),
    ),
    Stratum.CPU: (_clang, _libbpf, _sched_ext, *(partial(_for_machines, name) for name in MACHINES)),
    Stratum.MEMORY: (
        lambda: _program("zstd", "zstd", True, "kernels of Debian cannot be unpacked"),
        lambda: _program(
            "qemu-system-x86_64", "qemu-system-x86", False, "no demonstration on a live machine", "QEMU"
        ),
        lambda: (
            _program("virtiofsd", "virtiofsd", False, "no demonstration on a live machine")
            if shutil.which("virtiofsd") or not Path("/usr/libexec/virtiofsd").exists()
            else Part("virtiofsd", "/usr/libexec/virtiofsd")
        ),
    ),
    Stratum.RPC: (
        lambda: _package("grpcio", "rpc"),
        lambda: _package("protobuf", "rpc"),
        _native,
        _envoy,
        _wasm,
    ),
}
