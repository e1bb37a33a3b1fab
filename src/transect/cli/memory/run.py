# SPDX-License-Identifier: Apache-2.0
"""`transect memory run`."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.memory.opening import Kernel, Target, with_target

if TYPE_CHECKING:
    from transect.memory.machine import Machine
    from transect.memory.watch import Event


def run(
    target: Target,
    probes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROBE]...", show_default=False, help="Names or files; else all but Text."),
    ] = None,
    kernel: Kernel = None,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.0, help="Between two rounds of a probe.")
    ] = 1.0,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", metavar="N", min=1, show_default=False, help="Stop after so many."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics", metavar="HOST:PORT", show_default=False, help="Serve /metrics for Prometheus."
        ),
    ] = None,
    alert: Annotated[
        str | None,
        typer.Option(
            "--alert",
            metavar="COMMAND",
            show_default=False,
            help="Run for each event; the event is on its stdin.",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="For status, record, upgrade.")
    ] = "scan",
) -> int:
    """Watch a target until Ctrl-C: rounds in an order and with gaps drawn by chance.

    Prints what is found when two rounds in a row say it, when it is gone, and when a probe cannot look. The exit code
    is 1 when something is found at the end, 4 when something could not be checked then.
    """

    def work(machine: Machine) -> int:
        from transect.control import Server, Taken, verbs_of
        from transect.memory import metrics as counters
        from transect.memory.standard import chosen
        from transect.memory.watch import Watch

        wanted = chosen(probes or ())
        watch = Watch(
            machine,
            wanted if probes else [p for p in wanted if p.name != "Text"],
            lambda event: _tell(event, as_json, alert),
            every_s=every,
        )
        served = None
        try:
            if metrics is not None:
                host, _, port = metrics.rpartition(":")
                if not port.isdecimal() or int(port) > 65535:
                    return usage(f"`{metrics}` is no address", "write 127.0.0.1:9110")
                served = counters.serve(watch, host or "127.0.0.1", int(port))
            with Server("memory", name, verbs_of(watch)):
                print(f"watching {machine.name}: {len(watch.probes)} probes", file=sys.stderr, flush=True)
                watch.run(_stopped(), rounds)
        except Taken as taken:
            return usage(str(taken))
        finally:
            if served is not None:
                served.shutdown()
                served.server_close()
        blind = any(w.problem for w in watch.probes.values())
        return Exit.NO if watch.findings else Exit.UNKNOWN if blind else Exit.DONE

    return with_target(target, kernel, work)


def _stopped() -> threading.Event:
    """Set by Ctrl-C and by `kill`."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _tell(event: Event, as_json: bool, alert: str | None) -> None:
    from transect.memory.findings import shown

    line = json.dumps(event.plain(), ensure_ascii=False)
    if as_json:
        print(line, flush=True)
    else:
        evidence = "  ".join(f"{name}={shown(name, value)}" for name, value in event.evidence.items())
        clock = time.strftime("%H:%M:%S", time.localtime(event.time))
        print(f"{clock}  {event.kind:9}  {event.probe}: {event.what}  {evidence}".rstrip(), flush=True)
    if alert is not None:
        done = subprocess.run(shlex.split(alert), input=line.encode(), timeout=30)
        if done.returncode:
            print(f"transect: the alert command ended with {done.returncode}", file=sys.stderr)
