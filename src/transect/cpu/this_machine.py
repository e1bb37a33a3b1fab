# SPDX-License-Identifier: Apache-2.0
"""A scheduler in force in the kernel that we run on ourselves.  It needs root; a command runs as the user who called
`sudo`.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transect.base.temporary import Temporary
from transect.base.unavailable import Unavailable
from transect.core.ir import Program
from transect.cpu.build import build, build_shim
from transect.cpu.built import Built
from transect.cpu.guest import fields, status
from transect.cpu.kernel import WATCH_S, Force, state
from transect.cpu.partial import opted_in
from transect.cpu.record import Recording
from transect.cpu.ring import possible
from transect.replay.log import Trailer

IN_A_MACHINE = "run it in a machine of its own: --vm"


class Here:
    """The same as `machine.Bench`, for this kernel."""

    def __init__(self, *, partial: bool = False) -> None:
        self.partial = partial
        if not state():
            release = os.uname().release
            raise Unavailable(
                "schedulers", f"this kernel ({release}) is built without sched_ext", IN_A_MACHINE
            )
        if os.geteuid() != 0:
            raise Unavailable(
                "schedulers", "the kernel takes them from root only", f"sudo …, or {IN_A_MACHINE}"
            )
        if state() != "disabled":
            raise Unavailable("schedulers", "another scheduler is in force already", "end it first")
        self._work = Temporary("transect-cpu-")
        self.folder = Path(self._work.name)
        self._force: Force | None = None
        self._built = 0
        self._recording: Recording | None = None

    @property
    def carrier(self) -> str:
        return f"this kernel, {os.uname().release}"

    def build(self, program: Program) -> Built:
        self._built += 1
        return build(program, self.folder, f"version{self._built}")

    def force(self, program: Program) -> Built:
        built = self.build(program)
        self._force = Force(build_shim(self.folder, partial=self.partial, hears_all=built.hears_all))
        self._force.activate(self._force.load(built))
        return built

    def upgrade(
        self, program: Program, /, *, watch_s: float = WATCH_S, watching: Program | None = None
    ) -> dict[str, str]:
        assert self._force is not None, "an upgrade of nothing"
        looks = None if watching is None else self.build(watching)
        return self._force.upgrade(self.build(program), watch_s=watch_s, watching=looks)

    def record(self, program: Program, sources: Mapping[str, str], path: Path, name: str) -> None:
        """As `machine.Bench.record`."""
        assert self._force is not None, "a recording of nothing"
        self._built += 1
        built = build(program, self.folder, f"version{self._built}", recording=True)
        recording = Recording(
            path, name, real=True, cpus=possible("cpu"), nodes=possible("node"), tape=built.tape
        )
        recording.policy(program, sources, fields(self._force))
        try:
            self._force.record(built, recording.take)
        except BaseException:
            recording.close(0)
            path.unlink()
            raise
        self._recording = recording

    def end_record(self) -> Trailer:
        """As `machine.Bench.end_record`."""
        assert self._force is not None and self._recording is not None, "the end of no recording"
        recording, self._recording = self._recording, None
        drain = self._force.end_record()
        return recording.close(drain.lost)

    def status(self) -> dict[str, Any]:
        assert self._force is not None, "the status of nothing"
        return status(self._force)

    def set(self, field: str, words: Sequence[int]) -> list[int]:
        assert self._force is not None, "a parameter of nothing"
        return self._force.set(field, words)

    def check(self) -> None:
        """Raises `Ended` once the kernel has ended it."""
        if self._force is not None:
            self._force.check()

    def command(self, words: Sequence[str], write: Callable[[bytes], None]) -> int:
        """Run a command as the user who called `sudo`, if there is one; return its exit code."""
        user: dict[str, Any] = {}
        if "SUDO_UID" in os.environ:
            uid, gid = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
            groups = os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
            user = {"user": uid, "group": gid, "extra_groups": groups}
        command = opted_in(Path(sys.executable), words) if self.partial else list(words)
        code = subprocess.run(command, **user).returncode
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        if self._force is not None:
            self._force.close()
        self._work.cleanup()
