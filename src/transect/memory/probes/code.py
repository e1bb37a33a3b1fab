# SPDX-License-Identifier: Apache-2.0
"""System calls, interrupts, code and constant tables, against what the kernel's package says."""

from transect.memory import Probe, linux


class SystemCalls(Probe):
    """The table of system calls, and the direct calls which kernels from 6.9 make instead."""

    def scan(self) -> None:
        for entry in linux.system_calls():
            if linux.u64_at(entry) != linux.original(entry):
                now = linux.u64_at(entry)
                self.caught("a changed system call", entry=entry, leads_to=now, name=linux.name_of(now))
        for target in linux.direct_calls("x64_sys_call"):
            if not linux.trusted_code(target):
                self.report("a system call leads out of the kernel", leads_to=target)


class Interrupts(Probe):
    """Functions behind interrupts and exceptions."""

    def scan(self) -> None:
        for handler in linux.gates():
            if not linux.trusted_code(handler):
                self.caught("an interrupt leads out of the kernel", leads_to=handler)


class Text(Probe):
    """The kernel's code, byte by byte, except for the places that it patches itself."""

    def scan(self) -> None:
        for at in linux.changed_text():
            now, before = linux.bytes_at(at, 8), linux.original_bytes(at, 8)
            self.report("changed code", at=at, name=linux.name_of(at), now=now, before=before)


class Pointers(Probe):
    """Pointers to functions in data that the kernel may write: operations of protocols, of drivers, of everything."""

    def scan(self) -> None:
        for at in linux.changed_pointers():
            now = linux.u64_at(at)
            self.report("a pointer leads to unknown code", at=at, table=linux.name_of(at), leads_to=now)


class Tables(Probe):
    """The kernel's constant tables: operations of files, of sequences in /proc, of everything."""

    def scan(self) -> None:
        for at in linux.changed_tables():
            now = linux.u64_at(at)
            self.caught("a changed table", at=at, table=linux.name_of(at), leads_to=linux.name_of(now))
