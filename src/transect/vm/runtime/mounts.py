# SPDX-License-Identifier: Apache-2.0
"""File systems of the machine, mounted by process 1 itself: in emulation, starting a program costs a tenth of a
second.
"""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
NOSUID, NODEV, NOEXEC, BIND, RECURSIVE = 0x2, 0x4, 0x8, 0x1000, 0x4000

KERNEL = (
    ("proc", "/proc", NOSUID | NODEV | NOEXEC, ""),
    ("sysfs", "/sys", NOSUID | NODEV | NOEXEC, ""),
    ("devtmpfs", "/dev", NOSUID, ""),
    ("devpts", "/dev/pts", NOSUID | NOEXEC, ""),
    ("tmpfs", "/dev/shm", NOSUID | NODEV, "mode=1777"),
    ("tmpfs", "/run", NOSUID | NODEV, "mode=755"),
    ("bpf", "/sys/fs/bpf", NOSUID | NODEV | NOEXEC, ""),
    ("debugfs", "/sys/kernel/debug", NOSUID | NODEV | NOEXEC, ""),
    ("tracefs", "/sys/kernel/tracing", NOSUID | NODEV | NOEXEC, ""),
    ("cgroup2", "/sys/fs/cgroup", NOSUID | NODEV | NOEXEC, ""),
)


def mount(kind: str, target: str, flags: int = 0, options: str = "", source: str = "") -> None:
    words = ((source or kind).encode(), target.encode(), kind.encode())
    if LIBC.mount(*words, ctypes.c_ulong(flags), options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def mount_all(job: str) -> None:
    """Mount what any program expects, a fresh /tmp, and the host's folder `job` for writing."""
    for kind, target, flags, options in KERNEL:
        if target.startswith("/dev/"):
            os.makedirs(target, exist_ok=True)
        try:
            mount(kind, target, flags, options)
        except OSError as error:  # a kernel without BPF or tracing runs other programs well
            print(f"transect: {error}", flush=True)
    _console()
    _temporary(job)
    mount("virtiofs", job, source="job")


def _console() -> None:
    """Process 1 begins without a console when the host's /dev is empty."""
    console = os.open("/dev/console", os.O_RDWR)
    for descriptor in range(3):
        os.dup2(console, descriptor)
    if console > 2:
        os.close(console)


def _temporary(job: str) -> None:
    """Programs write to /tmp: a fresh one, in which the host's files are seen through links."""
    os.mkdir("/run/host-tmp")
    mount("none", "/run/host-tmp", BIND | RECURSIVE, source="/tmp")
    mount("tmpfs", "/tmp", NOSUID | NODEV, "mode=1777")
    for name in os.listdir("/run/host-tmp"):
        host, here = f"/run/host-tmp/{name}", f"/tmp/{name}"
        if f"{job}/".startswith(
            f"{here}/"
        ):  # not a link: the job's folder has the same name inside and outside
            os.mkdir(here)
            mount("none", here, BIND | RECURSIVE, source=host)
        else:
            os.symlink(host, here)
