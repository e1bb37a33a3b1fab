# SPDX-License-Identifier: Apache-2.0
"""A test whose machine QEMU's emulation killed is run again, in a new machine: `docs/design/emulation.md`.

Nothing else is: what fails for another reason has failed.  The summary says how often it happened.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest
from _pytest.runner import runtestprotocol

from transect.vm import EmulatorFault

TIMES = 2
KILLED = pytest.StashKey[bool]()
PROPERTY = "machines killed by QEMU"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    killed = 0
    while True:
        item.stash[KILLED] = False
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        killed += item.stash[KILLED]
        if not item.stash[KILLED] or killed > TIMES:
            break
        item.session._setupstate.teardown_exact(None)  # of all that tests share: the dead machine is among it
    for report in reports:
        if report.when == "teardown" and killed:
            report.user_properties.append((PROPERTY, killed))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.excinfo is not None and call.excinfo.errisinstance(EmulatorFault):
        item.stash[KILLED] = True
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in [one for kind in terminalreporter.stats.values() for one in kind]:
        times = dict(getattr(report, "user_properties", ())).get(PROPERTY)
        if times is not None:
            machines = "1 machine" if times == 1 else f"{times} machines"
            terminalreporter.write_line(
                f"QEMU's emulation killed {machines} under {report.nodeid}; it ran again"
            )
