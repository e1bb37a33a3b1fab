# SPDX-License-Identifier: Apache-2.0
"""What a machine is made of, as data, and the command lines of the programs that run it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transect.base.children import following
from transect.base.unavailable import Unavailable
from transect.vm.kernel import Kernel

Accelerator = Literal["kvm", "tcg"]
RUNTIME = Path(__file__).parent / "runtime"

# Parameters that switch off what the guest does not need and what costs time in emulation: mitigations against other
# tenants, a second check of a clock that cannot drift, five levels of page tables, records of system calls, the keys of
# a distribution's modules (their signatures are not asked for; reading the keys alone is an eighth of the time to
# boot), hardware that is not there.
UNWANTED = (
    "load_system_certificate_list",
    "nvme_core_init",
    "sed_opal_init",
    "i8042_init",
    "serial8250_init",
)
PARAMETERS = (
    *("rootfstype=virtiofs", "root=rootfs", "ro", "console=hvc0", "quiet", "panic=-1"),
    *("mitigations=off", "tsc=reliable", "no5lvl", "audit=0", "nowatchdog"),
    f"initcall_blacklist={','.join(UNWANTED)}",
)


class VmError(Exception):
    """The machine did not start, or ended under a command; the text says what its console said last."""

    hint = "transect doctor cpu"


def own_python() -> Path:
    """This interpreter; or the system's, if a machine cannot read this one because it lies in another user's folder."""
    for python in (sys.executable, *filter(None, (shutil.which("python3", path="/usr/bin:/bin"),))):
        if os.access(os.path.realpath(python), os.R_OK | os.X_OK):
            return Path(python)
    raise Unavailable(
        "a virtual machine",
        "no Python that it may read",
        "run transect with a Python outside private folders",
    )


@dataclass(frozen=True, slots=True)
class Setup:
    """The properties of a machine to start."""

    kernel: Kernel
    cpus: int = 2
    nodes: int = 1  # of memory (NUMA); CPUs and memory are shared out evenly
    memory_mib: int = 1024
    job: Path | None = None  # the one folder that the machine may write, at the same path; None: a fresh one
    # Keep the memory in this file (made with mode 0600), for programs that read it from outside
    ram: Path | None = None
    # Compressed: as shipped, and at an address drawn by chance (KASLR)
    boot: Literal["elf", "compressed"] = "elf"
    parameters: tuple[str, ...] = ()  # more for the kernel's command line
    qemu: tuple[str, ...] = ()  # more for QEMU's command line: a network device, a monitor
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    python: Path = field(default_factory=own_python)  # runs the agent inside
    life_s: int = 600  # killed after that, whatever happens


PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "timeout": "coreutils"}  # where they have another name


def program(name: str, *elsewhere: str) -> str:
    """A program that machines need.  Raises `Unavailable` with the package that has it."""
    for place in (name, *elsewhere):
        if path := shutil.which(place):
            return path
    hint = f"apt-get install {PACKAGES.get(name, name)}"
    raise Unavailable("a virtual machine", f"{name} is not installed", hint)


def qemu() -> str:
    return program("qemu-system-x86_64")


def virtiofsd() -> str:
    return program("virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd")


def share_command(folder: Path, socket: int, *, writable: bool) -> list[str]:
    """Serve a folder on a listening socket.  The host's own files are never writable."""
    options = [] if writable else ["--readonly"]
    cache = "auto" if writable else "always"
    return [
        virtiofsd(), "--shared-dir", str(folder), "--fd", str(socket), "--sandbox", "none", "--cache", cache,
        "--log-level", "error", *options,
    ]  # fmt: skip


def machine_command(
    setup: Setup, accelerator: Accelerator, channel: int, socket: Callable[[str], Path], console: Path
) -> list[str]:
    """The machine itself; `socket(tag)` is where the share of that tag is served."""
    return [
        program("timeout"), "--signal=KILL", str(setup.life_s), *following([qemu()]),
        "-machine", "q35", *_accelerator(accelerator),
        "-smp", str(setup.cpus), "-m", str(setup.memory_mib), *_memory(setup),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(_kernel(setup)), "-append", " ".join(_parameters(setup)),
        *_share("rootfs", socket), *_share("job", socket),
        "-device", "virtio-serial-pci",
        "-chardev", f"file,id=console,path={console}", "-device", "virtconsole,chardev=console",
        "-chardev", f"socket,id=agent,fd={channel}", "-device", "virtserialport,chardev=agent,name=transect",
        *setup.qemu,
    ]  # fmt: skip


def _kernel(setup: Setup) -> Path:
    if setup.boot == "elf":
        return setup.kernel.elf
    if setup.kernel.compressed is None:
        raise Unavailable(
            f"a compressed {setup.kernel.release}", "there is the ELF file only", "give its vmlinuz"
        )
    return setup.kernel.compressed


def _accelerator(accelerator: Accelerator) -> list[str]:
    if accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "max"]


def _memory(setup: Setup) -> list[str]:
    if setup.nodes == 1:
        kind = f"memory-backend-file,mem-path={setup.ram}" if setup.ram else "memory-backend-memfd"
        backend = f"{kind},id=ram,size={setup.memory_mib}M,share=on"
        return ["-object", backend, "-machine", "memory-backend=ram"]
    assert setup.ram is None, "one file holds the memory of one node"
    words, size, cpus = [], setup.memory_mib // setup.nodes, setup.cpus // setup.nodes
    for n in range(setup.nodes):
        words += ["-object", f"memory-backend-memfd,id=ram{n},size={size}M,share=on"]
        words += ["-numa", f"node,nodeid={n},cpus={n * cpus}-{(n + 1) * cpus - 1},memdev=ram{n}"]
    return words


def _parameters(setup: Setup) -> list[str]:
    """Words after `--` go to the first process: Python without site packages and without the user's settings."""
    first = [f"init={setup.python}", "--", "-E", "-s", "-S", str(RUNTIME / "agent.py"), str(setup.job)]
    for word in first:
        assert " " not in word and '"' not in word, f"a path with a blank cannot go to the kernel: {word}"
    return [*PARAMETERS, *setup.parameters, *first]


def _share(tag: str, socket: Callable[[str], Path]) -> list[str]:
    return [
        "-chardev", f"socket,id={tag},path={socket(tag)}",
        "-device", f"vhost-user-fs-pci,chardev={tag},tag={tag},queue-size=1024",
    ]  # fmt: skip
