# SPDX-License-Identifier: Apache-2.0
"""Processes and threads, what they may do, their memory and files."""

from __future__ import annotations

from collections.abc import Sequence

from transect.lang import i32, intrinsic, u32, u64
from transect.memory.hooks import Struct
from transect.memory.layout import at, hlist, idr, listed, maple, percpu, pointers, single


class File(Struct, of="file"):
    """An open file."""

    operations: u64 = at("f_op")
    name: bytes = at("f_path.dentry.d_name.name")
    inode: u64 = at("f_inode.i_ino")
    flags: u32 = at("f_flags")


class Area(Struct, of="vm_area_struct"):
    """A stretch of a process's memory."""

    start: u64 = at("vm_start")
    end: u64 = at("vm_end")
    flags: u64 = at("vm_flags")
    file: File | None = at("vm_file")


class Memory(Struct, of="mm_struct"):
    """The memory of a process."""

    areas: Sequence[Area] = maple("mm_mt")
    counted: i32 = at("map_count")
    code: u64 = at("start_code")


class Selinux(Struct, of="selinux_state"):
    """What SELinux does."""

    initialized: bool
    enforcing: bool


class Task(Struct, of="task_struct"):
    """A task: the first thread of a process, where a root says nothing else."""

    pid: i32
    tgid: i32
    comm: bytes
    flags: u32
    state: u32 = at("__state")
    cred: u64
    real_cred: u64
    uid: u32 = at("cred.uid.val")
    gid: u32 = at("cred.gid.val")
    euid: u32 = at("cred.euid.val")
    suid: u32 = at("cred.suid.val")
    account: u32 = at("cred.user.uid.val")
    counted_for: u32 = at("cred.ucounts.uid.val")
    capabilities: u64 = at("cred.cap_effective.val")
    parent: Task = at("real_parent")
    memory: Memory | None = at("mm")
    children: Sequence[Task] = listed("children", by="sibling")
    threads: Sequence[Task] = listed("signal.thread_head", by="thread_node", least=1)
    files: Sequence[File] = pointers("files.fdt.fd", count="files.fdt.max_fds", most=1048576)


@intrinsic(effect="outside-read")
def tasks() -> Sequence[Task]:
    """Every process, by the list of tasks."""
    return listed("task_struct init_task.tasks", by="tasks", least=1)


@intrinsic(effect="outside-read")
def selinux() -> Sequence[Selinux]:
    """The state of SELinux: one."""
    return single("selinux_state selinux_state")


@intrinsic(effect="outside-read")
def pid_table() -> Sequence[Task]:
    """Every process, by the table of process numbers."""
    return hlist(
        idr("pid_namespace init_pid_ns.idr", of="pid", least=1), "tasks[1]", by="pid_links[1]", least=1
    )


@intrinsic(effect="outside-read")
def all_threads() -> Sequence[Task]:
    """Every thread, by the table of process numbers."""
    return hlist(
        idr("pid_namespace init_pid_ns.idr", of="pid", least=1), "tasks[0]", by="pid_links[0]", least=1
    )


@intrinsic(effect="outside-read")
def running() -> Sequence[Task]:
    """What each processor runs now (an idle one: its idle task, pid 0)."""
    return percpu("rq runqueues.curr")


@intrinsic(effect="outside-read")
def runnable() -> Sequence[Task]:
    """The threads in each processor's run queue (the fair class)."""
    return listed(percpu("rq runqueues", of="rq"), "cfs_tasks", by="se.group_node")
