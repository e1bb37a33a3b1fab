# SPDX-License-Identifier: Apache-2.0
"""The arbiter, counting who runs on granted cores."""

from transect.cpu import Task
from transect.examples.cpu.arachne import Arachne


class Watched(Arachne):
    """`Arachne` with counts.  A task that may not run on core 0, the one never granted, cannot be moved off a granted
    core: it is counted apart, as `bound`."""

    own: int = 0
    foreign: int = 0
    bound: int = 0

    def running(self, task: Task) -> None:
        owner = self.owner[task.cpu % 64]
        if owner == task.process:
            self.own += 1
        elif owner != 0 and not task.may_run(0):
            self.bound += 1
        elif owner != 0:
            self.foreign += 1
