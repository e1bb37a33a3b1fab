# SPDX-License-Identifier: Apache-2.0
"""The eleven policies of RDMI (USENIX Security'23, table 2), written here: at most eleven lines each."""

from transect.memory import Probe, linux


class ProcessList(Probe):
    """1. Every process."""

    def scan(self) -> None:
        for task in linux.tasks():
            self.show("process", pid=task.pid, comm=task.comm)


class Credentials(Probe):
    """2. Whom processes act for."""

    def scan(self) -> None:
        for task in linux.tasks():
            self.show("credentials", pid=task.pid, uid=task.uid, gid=task.gid, euid=task.euid)


class ProcOperations(Probe):
    """3. The operations of /proc."""

    def scan(self) -> None:
        for entry in linux.proc_operations():
            if not linux.trusted_code(linux.u64_at(entry)):
                self.report("an operation of /proc leads out of the kernel", entry=linux.name_of(entry))


class SystemCallTable(Probe):
    """4. The table of system calls."""

    def scan(self) -> None:
        for entry in linux.system_calls():
            if not linux.trusted_code(linux.u64_at(entry)):
                self.report("a system call leads out of the kernel", entry=entry)


class ModuleList(Probe):
    """5. Every module."""

    def scan(self) -> None:
        for module in linux.modules():
            self.show("module", name=module.name, text=module.text, size=module.text_size)


class KeyboardNotifiers(Probe):
    """6. Who is told of keys."""

    def scan(self) -> None:
        for block in linux.keyboard_notifiers():
            if not linux.trusted_code(block.function):
                self.report("someone outside listens to the keyboard", function=block.function)


class SequenceOperations(Probe):
    """7. What shows TCP and UDP sockets in /proc."""

    def scan(self) -> None:
        for operations in linux.socket_lists():
            if not linux.trusted_code(operations.show):
                self.report("sockets are shown by unknown code", function=operations.show)


class NetfilterHooks(Probe):
    """8. Functions that see packets."""

    def scan(self) -> None:
        for place in linux.net_hooks():
            for hook in place.hooks:
                self.show("sees packets", function=hook.function, name=linux.name_of(hook.function))


class MemoryAreas(Probe):
    """9. The memory of processes."""

    def scan(self) -> None:
        for task in linux.tasks():
            if task.memory is not None:
                for area in task.memory.areas:
                    self.show("memory", pid=task.pid, start=area.start, end=area.end, flags=area.flags)


class TerminalDrivers(Probe):
    """10. Terminals, their drivers, and who receives what is typed."""

    def scan(self) -> None:
        for driver in linux.terminal_drivers():
            for terminal in driver.terminals:
                receive = linux.name_of(terminal.discipline.receive)
                self.show("terminal", driver=driver.name, terminal=terminal.name, receive=receive)


class OpenFiles(Probe):
    """11. The open files of processes."""

    def scan(self) -> None:
        for task in linux.tasks():
            if task.memory is not None:
                for file in task.files:
                    self.show("open", pid=task.pid, name=file.name, inode=file.inode)
