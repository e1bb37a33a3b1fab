# SPDX-License-Identifier: Apache-2.0
"""Every run ends with a table: what ran, what could not run here, why, and the one command that helps.

A test that raises `Unavailable` is skipped and told apart from other skips; with REQUIRE=all it fails, and so does a
part that takes half as much again as its share of the CI budget.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import again
from tests.parts import PARTS, ROOT, need, part_of, required
from transect.base.unavailable import Unavailable

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile("deep", max_examples=100_000, deadline=None, print_blob=True)

# --- what tests use -----------------------------------------------------------------------------------------------


@pytest.fixture
def needs() -> Callable[[str], Any]:
    """`path = needs("envoy")`: what the machine has under that name, or the test becomes unavailable."""
    return need


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """`golden("acl.c", text)`: compares with tests/golden/acl.c; `make golden` writes the file."""

    def check(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        if os.environ.get("TRANSECT_GOLDEN") == "update":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.is_file(), f"{path.relative_to(ROOT)} is missing: make golden"
        assert text == path.read_text(), f"{path.relative_to(ROOT)} differs; if that is wanted: make golden"

    return check


@pytest.fixture
def fuzz_seconds() -> float:
    """How long `make fuzz` told each test to go on; 0 in `make test`."""
    return float(os.environ.get("FUZZ_SECONDS", "0"))


# --- the ledger ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    ran: int = 0
    seconds: float = 0.0
    processor: float = 0.0  # seconds, its own and those of who it waited for: alike on a loaded machine
    lacking: Counter[tuple[str, str]] = field(default_factory=Counter)  # (reason, command) → tests


def _file(node: pytest.Item | pytest.TestReport) -> Path:
    return Path(node.nodeid.partition("::")[0])


def _part(item: pytest.Item) -> str:
    mark = item.get_closest_marker("part")
    return mark.args[0] if mark else part_of(_file(item))


class Ledger:
    """Counts reports by part and prints the table."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.spent = 0.0  # processor seconds up to the last report
        self.refused = False  # something happened at collection that REQUIRE=all does not accept

    def row(self, part: str) -> Row:
        return self.rows.setdefault(part, Row())

    def over(self) -> list[str]:
        """Parts which took half as much again as their share: of processor time, whoever else runs here."""
        return [name for name, row in self.rows.items() if row.processor > PARTS[name].minutes * 60 * 1.5]

    def pytest_runtest_logstart(self) -> None:
        self.spent = sum(os.times()[:4])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        before, self.spent = self.spent, sum(os.times()[:4])
        report.user_properties += [("part", _part(item)), ("processor", self.spent - before)]
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, Unavailable):
            reason, command = f"{error.what}: {error.why}", error.hint
        elif report.skipped and not hasattr(report, "wasxfail"):
            reason, command = str(error), ""
        else:
            return report
        report.user_properties.append(("lacking", (reason, command)))
        where = item.location
        if required():
            report.outcome = "failed"
            report.longrepr = f"{where[0]}: unavailable: {reason}" + (f"   →  {command}" if command else "")
        else:
            report.outcome = "skipped"
            report.longrepr = (where[0], (where[1] or 0) + 1, f"unavailable: {reason}")
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties: dict[str, Any] = dict(report.user_properties)
        # A worker that died says nothing more of its test.
        row = self.row(properties.get("part") or part_of(_file(report)))
        row.seconds += report.duration
        row.processor += properties.get("processor", 0.0)
        if "lacking" in properties:
            row.lacking[properties["lacking"]] += 1
        elif report.when == "call":
            row.ran += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.row(part_of(Path(report.nodeid))).lacking[
                "a whole file skips itself: " + report.nodeid, ""
            ] += 1
            self.refused |= required()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.OK and (self.refused or (required() and self.over())):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.rows:
            return
        write = terminalreporter.write_line
        terminalreporter.section("what ran here")
        write(f"{'part':8}{'ran':>8}{'unavailable':>13}{'seconds':>10}{'processor':>11}{'share':>8}")
        for name in PARTS:
            if name not in self.rows:
                continue
            row, budget = self.rows[name], PARTS[name].minutes * 60
            line = f"{name:8}{row.ran:>8}{row.lacking.total():>13}{row.seconds:>10.1f}"
            line += f"{row.processor:>11.1f}{row.processor / budget:>8.0%}"
            if name in self.over():
                write(f"{line}   over its share of {budget:.0f} s by more than half", red=True)
            else:
                write(line)
            for (reason, command), count in row.lacking.most_common():
                write(f"        {count} × {reason}" + (f"   →  {command}" if command else ""), yellow=True)


# --- several workers ----------------------------------------------------------------------------------------------


def _group(path: Path) -> str:
    """What one worker runs, in order: the systems tests of a folder share machines and servers, else a file.

    What the README starts is to be the only chain that runs, so it waits for the chains of rpc.
    """
    parts = path.parts
    if parts[:2] != ("tests", "systems"):
        return str(path)
    return {"docs": "rpc"}.get(parts[2], parts[2])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups in the order in which their tests are collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return _group(Path(nodeid.partition("::")[0]))

    return Groups(config, log)


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts its background jobs with SIGINT ignored, and so would be all that tests start and then interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "part(name): the part a test belongs to, where its path does not say")
    config.addinivalue_line("markers", "needs(name, …): what the test needs from the machine; tests/parts.py")
    config.pluginmanager.register(Ledger(), "ledger")
    config.pluginmanager.register(again)
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            need(name)
