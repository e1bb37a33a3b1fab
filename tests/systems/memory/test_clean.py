# SPDX-License-Identifier: Apache-2.0
"""A clean machine that works, traces itself and filters packets is clean: no probe raises a false alarm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.test_detection import QUICK
from transect.memory.native.probes import native

TRACING = "/sys/kernel/tracing"
ON = f"""
mount -t tracefs tracefs {TRACING} 2>/dev/null
cd {TRACING}
echo 'vfs_*' > set_ftrace_filter && echo function > current_tracer
echo 'p:transect do_sys_openat2' > kprobe_events && echo 1 > events/kprobes/transect/enable
echo 'r:transect_back do_sys_openat2' >> kprobe_events && echo 1 > events/kprobes/transect_back/enable
echo 1 > events/sched/sched_switch/enable
echo 1 > events/syscalls/enable
"""
OFF = f"""
cd {TRACING}
echo 0 > events/enable; echo nop > current_tracer; echo > kprobe_events; echo > set_ftrace_filter; echo > trace
"""
FILTER = (
    "import socket,struct,ctypes,time;"
    "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
    "code=ctypes.create_string_buffer(struct.pack('HBBI',0x28,0,0,0)+struct.pack('HBBI',6,0,0,65535));"
    "s.setsockopt(socket.SOL_SOCKET,26,struct.pack('HL',2,ctypes.addressof(code)));"
    "time.sleep(300)"
)


@pytest.fixture
def busy(guest: Guest) -> Iterator[Guest]:
    """Traced by functions, kprobes, tracepoints; a socket has a BPF filter; processes come and go."""
    guest.shell(ON)
    python = guest.vm.setup.python
    filtered = guest.process(f'{python} -S -E -c "{FILTER}"')
    working = guest.process("sh -c 'while :; do /bin/true; done'")
    yield guest
    guest.shell(f"kill -9 {filtered} {working}; {OFF}")


def test_no_probe_complains_of_a_machine_that_is_traced_and_busy(busy: Guest) -> None:
    for _ in range(5):
        results = busy.scan(*QUICK)
        assert {p: [(f.what, f.evidence) for f in r.findings] for p, r in results.items() if r.findings} == {}
        assert {p: r.problem for p, r in results.items() if r.problem} == {}


def test_code_that_the_kernel_patches_for_tracing_is_no_change(busy: Guest) -> None:
    result = busy.scan("Text", engine=native)["Text"]
    assert [(f.what, f.evidence) for f in result.findings] == [] and not result.problem
