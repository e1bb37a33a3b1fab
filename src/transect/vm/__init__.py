# SPDX-License-Identifier: Apache-2.0
"""A throw-away virtual machine with a recent kernel, for the cpu and memory strata, for tests, and for `transect vm`.

    with Vm(Setup(find())) as vm:
        print(vm.run(["uname", "-r"]).text)

The host's files are there for reading; one job folder may be written.  No root is needed.
"""

from transect.vm.kernel import Kernel, find, own
from transect.vm.machine import Setup, VmError
from transect.vm.vm import EmulatorFault, Finished, NotStarted, Running, TimeLimit, Vm

__all__ = [
    "EmulatorFault",
    "Finished",
    "Kernel",
    "NotStarted",
    "Running",
    "Setup",
    "TimeLimit",
    "Vm",
    "VmError",
    "find",
    "own",
]
