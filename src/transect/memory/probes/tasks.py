# SPDX-License-Identifier: Apache-2.0
"""Processes that hide, and privileges that nobody gave them."""

from typing import Final

from transect.lang import as_u64
from transect.memory import Probe, linux

UNUSED_FLAGS: Final = 0x41800000  # bits of `task->flags` that kernels 6.12 to 7.3 give no meaning


class HiddenTasks(Probe):
    """Processes which the list of tasks or the table of process numbers does not know."""

    def scan(self) -> None:
        listed = {task.address for task in linux.tasks()}
        numbered = {task.address for task in linux.pid_table()}
        for task in linux.pid_table():
            if task.address not in listed:
                self.report("not in the list of tasks", pid=task.pid, comm=task.comm, task=task.address)
        for task in linux.tasks():
            if task.address not in numbered:
                self.report("not in the table of pids", pid=task.pid, comm=task.comm, task=task.address)


class HiddenThreads(Probe):
    """Threads that the table of process numbers does not know: of processes, and those that run or are about to."""

    def scan(self) -> None:
        known = {task.address for task in linux.all_threads()}
        for task in linux.running():
            if task.pid != 0 and task.address not in known:
                self.report("runs without a number", pid=task.pid, comm=task.comm, task=task.address)
        for task in linux.runnable():
            if task.address not in known:
                self.report("is runnable without a number", pid=task.pid, comm=task.comm, task=task.address)
        for process in linux.tasks():
            for task in process.threads:
                if task.address not in known:
                    self.report("a thread without a number", pid=task.pid, comm=task.comm, task=task.address)


class HiddenChildren(Probe):
    """Children of processes which the table of process numbers does not know."""

    def scan(self) -> None:
        numbered = {task.address for task in linux.pid_table()}
        for parent in linux.tasks():
            for child in parent.children:
                if child.address not in numbered:
                    self.report("a child without a number", pid=child.pid, comm=child.comm, parent=parent.pid)


class MissingAreas(Probe):
    """Areas of a process's memory that the kernel counts and that its tree does not have."""

    def scan(self) -> None:
        for task in linux.tasks():
            if task.memory is not None:
                found = sum(1 for area in task.memory.areas)
                if found != task.memory.counted:
                    self.report("areas are missing", pid=task.pid, found=found, counted=task.memory.counted)


class TaskFlags(Probe):
    """Bits of `task->flags` which no kernel uses, and which hide a process for those who know."""

    def scan(self) -> None:
        for task in linux.tasks():
            if as_u64(task.flags) & UNUSED_FLAGS != 0:
                self.caught("a private flag", pid=task.pid, comm=task.comm, flags=task.flags)


class BorrowedCredentials(Probe):
    """Processes with the kernel's own credentials, and kernel threads without."""

    def scan(self) -> None:
        kernels = linux.symbol("init_cred")
        for task in linux.tasks():
            if task.memory is not None and (task.cred == kernels or task.real_cred == kernels):
                self.caught("has the kernel's credentials", pid=task.pid, comm=task.comm, cred=task.cred)


class ForgedCredentials(Probe):
    """Credentials that were written by hand: their account is not that of `uid`, or what the user holds is not counted
    for `euid`."""

    def scan(self) -> None:
        for task in linux.tasks():
            if task.uid != task.account or task.euid != task.counted_for:
                user = task.account
                self.caught("forged credentials", pid=task.pid, comm=task.comm, uid=task.uid, account=user)


class SharedCredentials(Probe):
    """Processes whose credentials are those of another program that is not their parent."""

    def scan(self) -> None:
        for task in linux.tasks():
            if task.uid == 0 and task.parent.uid != 0 and task.cred == task.parent.parent.cred:
                self.report("took credentials over its parent", pid=task.pid, comm=task.comm, cred=task.cred)


class PrivilegeLineage(Probe):
    """Root processes under parents that are not root: shown, since setuid programs are that, too."""

    def scan(self) -> None:
        for task in linux.tasks():
            if task.uid == 0 and task.parent.uid != 0:
                self.show("root under another user", pid=task.pid, comm=task.comm, parent=task.parent.uid)
