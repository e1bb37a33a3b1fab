# SPDX-License-Identifier: Apache-2.0
"""Debian 12's kernel, 6.1: modules in one piece, paravirtual calls in a table of their own, symbols before their names.

It has no virtio built in, so it boots from an archive of our own instead of by `transect vm`; what is left of its
memory is looked at, as it is and tampered with.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.systems.memory.kernels import older
from transect.linux import stored
from transect.linux.physical import ram
from transect.memory.findings import Scan, Verdict
from transect.memory.machine import Known, Machine
from transect.memory.native.probes import native
from transect.memory.scan import Engine, scan
from transect.memory.standard import chosen
from transect.vm.machine import program

SOURCE = Path(__file__).parent / "older.c"
SIZE = 384 << 20  # bytes of memory
READY_S = 120.0
GETDENTS64 = 217


def entry(name: str, data: bytes, mode: int) -> bytes:
    """A file of a cpio archive, in the form that kernels unpack."""
    named = name.encode() + b"\0"
    numbers = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(named), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + named
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(folder: Path, module: Path) -> Path:
    made = folder / "init"
    subprocess.run(["gcc", "-static", "-O1", "-pthread", "-o", made, SOURCE], check=True)
    files = (
        ("dev", b"", 0o40755),
        ("init", made.read_bytes(), 0o100755),
        ("module.ko", module.read_bytes(), 0o100644),
        ("TRAILER!!!", b"", 0),
    )
    packed = folder / "init.gz"
    packed.write_bytes(gzip.compress(b"".join(entry(*file) for file in files), 1))
    return packed


@pytest.fixture(scope="module")
def left() -> Iterator[Path]:
    """What is left of the memory of a machine that has run that kernel."""
    image, module = older()
    with tempfile.TemporaryDirectory(prefix="transect-ram-", dir="/dev/shm") as name:
        folder = Path(name)
        memory, console = folder / "ram", folder / "console"
        command = [
            program("qemu-system-x86_64"), "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-m", f"{SIZE >> 20}", "-machine", "memory-backend=ram",
            "-object", f"memory-backend-file,mem-path={memory},id=ram,size={SIZE},share=on",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", f"file:{console}",
            "-kernel", str(image), "-initrd", str(archive(folder, module)),
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off",
        ]  # fmt: skip
        with subprocess.Popen(command) as machine:
            try:
                limit = time.monotonic() + READY_S
                while not console.exists() or b"transect: ready" not in console.read_bytes():
                    assert machine.poll() is None and time.monotonic() < limit, console.read_bytes()[-2000:]
                    time.sleep(0.1)
            finally:
                machine.kill()
        assert b"the module" not in console.read_bytes()
        yield memory


def looked_at(memory: Path, engine: Engine | None = None) -> Scan:
    return scan(machine_of(memory), chosen(()), engine=engine)


def machine_of(memory: Path) -> Machine:
    return Machine.find("raw", ram(memory, live=False), Known.of(stored.image(older()[0])))


@pytest.mark.parametrize("engine", [None, native])
def test_nothing_is_found_and_nothing_is_left_unchecked(left: Path, engine: Engine | None) -> None:
    found = looked_at(left, engine)
    assert {r.probe: (r.verdict, r.problem) for r in found.results if r.verdict is not Verdict.CLEAN} == {}
    assert not found.findings


Write = Callable[[int, bytes], None]


def code(machine: Machine, write: Write) -> None:
    write(machine.symbol("vfs_read") + 32, b"\xcc\xcc\xcc")


def call(machine: Machine, write: Write) -> None:
    address = machine.symbol("commit_creds") + 64
    write(machine.symbol("sys_call_table") + 8 * GETDENTS64, address.to_bytes(8, "little"))


def gate(machine: Machine, write: Write) -> None:
    write(machine.symbol("idt_table") + 16 * 3, b"\x10\x20")
    write(machine.symbol("idt_table") + 16 * 3 + 6, b"\x00\xa0")


def task(machine: Machine, write: Write) -> None:
    """The last task is taken out of the list."""
    unlink(
        machine, write, machine.u64(machine.symbol("init_task") + offset(machine, "task_struct", "tasks") + 8)
    )


def module(machine: Machine, write: Write) -> None:
    """The module is taken out of the list."""
    unlink(machine, write, machine.u64(machine.symbol("modules")))


def unlink(machine: Machine, write: Write, link: int) -> None:
    following, before = machine.u64(link), machine.u64(link + 8)
    write(before, following.to_bytes(8, "little"))
    write(following + 8, before.to_bytes(8, "little"))


def user(machine: Machine, write: Write) -> None:
    """The last task becomes root's by hand."""
    tasks = offset(machine, "task_struct", "tasks")
    last = machine.u64(machine.symbol("init_task") + tasks + 8) - tasks
    cred = machine.u64(last + offset(machine, "task_struct", "cred"))
    for name in ("uid", "euid", "suid", "fsuid"):
        write(cred + offset(machine, "cred", name), bytes(4))


def offset(machine: Machine, struct: str, name: str) -> int:
    return machine.known.btf.field(struct, name).offset


@pytest.mark.parametrize(
    ("tamper", "probes"),
    [
        (code, {"Text"}),
        (call, {"SystemCalls", "Tables"}),
        (gate, {"Interrupts"}),
        (task, {"HiddenTasks"}),
        (module, {"HiddenModules", "StrayCode"}),
        (user, {"ForgedCredentials"}),
    ],
)
def test_what_was_tampered_with_is_found(
    left: Path, tamper: Callable[[Machine, Write], None], probes: set[str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="transect-ram-", dir="/dev/shm") as folder:
        copy = Path(folder) / "ram"
        shutil.copy(left, copy)
        machine = machine_of(copy)
        with copy.open("r+b") as file:

            def write(address: int, data: bytes) -> None:
                file.seek(machine.translate(address))  # all of this memory lies below the gap
                file.write(data)

            tamper(machine, write)
        interpreted, compiled = looked_at(copy), looked_at(copy, native)
    for found in (interpreted, compiled):
        assert probes <= {r.probe for r in found.results if r.verdict is Verdict.FOUND}, found
    assert [r.findings for r in interpreted.results] == [r.findings for r in compiled.results]
