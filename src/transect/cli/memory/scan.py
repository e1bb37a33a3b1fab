# SPDX-License-Identifier: Apache-2.0
"""`transect memory scan`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.memory.opening import Engine, running, with_target
from transect.cli.memory.options import Engines, Kernel, Target, Via

if TYPE_CHECKING:
    from transect.memory.machine import Machine


class Form(StrEnum):
    """How a scan is printed."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"


def scan(
    target: Target,
    probes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROBE",
            show_default=False,
            help="Names of probes, or files with probes; else all that come with transect.",
        ),
    ] = None,
    kernel: Kernel = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format", metavar="FORMAT", help="table for people, json for programs, sarif for viewers."
        ),
    ] = Form.TABLE,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=2, help="Rounds until a probe counts as unstable.")
    ] = 6,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="LOG",
            show_default=False,
            help="Keep all reads in LOG, for `transect replay`.",
        ),
    ] = None,
    engine: Engines = Engine.PYTHON,
    via: Via = None,
    values: Annotated[bool, typer.Option("--values", help="Also print what probes show.")] = False,
) -> int:
    """Look at a target's kernel once: what is hidden, what was changed, what hooks into it.

    What a probe reports is a finding if it reports it again after the target's kernel has gone on. Nothing is written
    to the target. The exit code is 1 when something was found, and 4 when nothing was found and something could not be
    checked.
    """

    if record is not None and via is not None:
        return usage("--record and --via do not go together", "what is recorded is read by the observer")

    def work(machine: Machine) -> int:
        from transect.memory import report
        from transect.memory import scan as scanning
        from transect.memory.standard import chosen

        recorder = None
        if record is not None:
            from transect.memory.record import LogRecorder
            from transect.memory.replay import notes_of

            recorder = LogRecorder(machine, record, notes_of(machine, kernel))
        try:
            with running(machine, engine, via) as runs:
                made = scanning.scan(machine, chosen(probes or ()), rounds, recorder, runs)
        finally:
            if recorder is not None:
                recorder.close()
        match form:
            case Form.JSON:
                print(report.to_json(made))
            case Form.SARIF:
                print(report.to_sarif(made))
            case Form.TABLE:
                print(report.table(made, values))
        return Exit.NO if made.findings else Exit.UNKNOWN if made.unchecked else Exit.DONE

    return with_target(target, kernel, work)
