# SPDX-License-Identifier: Apache-2.0
"""Applications of `test_by_tenant.py`: hogs of tenants, and a thread that works for one tenant 1 ms at a time.

serving.py hogs say|mute NUMBER…
serving.py requests NAME COUNT
"""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.environ["TRANSECT_JOB"] + "/py")
from by_tenant_hints import Serving, attach  # type: ignore[import-not-found]


def hogs(says: bool, tenants: list[int]) -> None:
    """A process for each, all on CPU 1 and at the same time; what it ran is printed."""
    os.sched_setaffinity(0, {1})
    begin = time.monotonic() + 2
    for tenant in tenants:
        if not os.fork():
            if says:
                scheduler = attach()
                scheduler.say(Serving(tenant, 0, time.monotonic_ns()))
            time.sleep(max(0.0, begin - time.monotonic()))
            before = time.process_time()
            while time.monotonic() < begin + 4:
                pass
            print(tenant, time.process_time() - before, flush=True)
            os._exit(0)
    for _ in tenants:
        os.wait()


def requests(tenant: str, count: int) -> None:
    """What it ran for the tenant is printed, without and with what it takes to say so, once the scheduler listens."""
    from transect.identity import serving, speaking

    while speaking._speaker._scheduler is None:
        with serving("somebody", None):
            time.sleep(0.01)
    least = most = 0.0
    for _ in range(count):
        outside = time.thread_time()
        with serving(tenant, time.monotonic() + 1):
            before = time.thread_time()
            while (inside := time.thread_time() - before) < 0.001:
                pass
        least += inside
        most += time.thread_time() - outside
        time.sleep(0.003)
    print(least, most)


match sys.argv[1:]:
    case ["hogs", says, *numbers]:
        hogs(says == "say", list(map(int, numbers)))
    case ["requests", tenant, count]:
        requests(tenant, int(count))
