# SPDX-License-Identifier: Apache-2.0
"""What the kernel says about a scheduler, in the policy's terms: why the verifier refuses it, and why it was ended."""

from __future__ import annotations

import re
from collections.abc import Mapping

from transect.base.counted import counted
from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.base.span import Span
from transect.core.ir import Program
from transect.cpu.calls import PUTS, STARTS, Calls
from transect.cpu.kernel import Ended, Missing
from transect.cpu.platform import queue_number
from transect.linux.libbpf import BpfError

LINE = re.compile(r"^; .* @ (?P<file>\S+):(?P<line>\d+)$")
MISSING = re.compile(r"extern '(?P<name>\w+)'.*(?:not found|unresolved)|kernel function '(?P<func>\w+)'")
STALL = re.compile(r"(?P<task>\S+)\[(?P<pid>\d+)\] failed to run for (?P<seconds>[\d.]+)s")
TASK = re.compile(
    r"^ .*\[(\d+)\] .*[+-]\d+ms$", re.MULTILINE
)  # the kernel's dump of a task begins with such a line
NOISE = (
    "processed ",
    "-- ",
    "libbpf:",
    "mark_",
    "; ",
    "verification time",
    "stack depth",
    "0: R1",
    "The sequence of",
)


def verifier(program: Program, refused: BpfError, sources: Mapping[str, str]) -> str:
    """The verifier's refusal, shown at the last line of the policy that it names before the reason."""
    where, reason = program.handlers[0].span, ""
    name = program.path.rpartition("/")[2]
    for line in refused.log.splitlines():
        if (at := LINE.match(line)) and at["file"].endswith(name):
            number = int(at["line"])
            where = Span(program.path, number, *_columns(sources.get(program.path, ""), number))
        elif (
            line
            and not line.startswith(NOISE)
            and not re.match(r"^(from )?\d+[ :]|^\s|^R\d+=|^caller|^callee", line)
        ):
            reason = line
    diagnostics = Diagnostics()
    diagnostics.error(
        "C006",
        "the kernel's verifier refuses this scheduler",
        where,
        label="what it looked at last",
        help="a table or loop may be too large for it; else please report it, with what follows",
        note=reason or str(refused),
    )
    return render_text(diagnostics, dict(sources))


def missing(program: Program, lacking: Missing, sources: Mapping[str, str]) -> str:
    """What the kernel lacks, shown at the policy's line that needs it."""
    diagnostics = Diagnostics()
    diagnostics.error(
        "C008",
        f"this kernel has no `{lacking.function}`",
        Span(program.path, lacking.line, *_columns(sources.get(program.path, ""), lacking.line)),
        label="needs it",
        help="take a newer kernel: `transect cpu run --vm` does; the documentation says which has what",
    )
    return render_text(diagnostics, dict(sources))


def _columns(text: str, number: int) -> tuple[int, int, int]:
    lines = text.splitlines()
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    indent = len(line) - len(line.lstrip())
    return indent, number, max(len(line), indent + 1)


def paragraph(program: Program, end: Ended) -> str:
    """Why the kernel ended the scheduler, in one paragraph."""
    if stalled := STALL.search(f"{end.reason} {end.message}"):
        who = f"`{stalled['task']}` (pid {stalled['pid']}) could run and did not for {float(stalled['seconds']):.0f} s"
        queue = _stalled_queue(program, end.dump, stalled["pid"])
        return f"{who}{queue}. All tasks are with the default scheduler again."
    if queues := _queues(program, end.dump):
        queue, count = max(queues.items(), key=lambda item: item[1])
        waited = f"{counted(count, 'task')} waited in the queue `{queue}`{_puts(program, queue)}"
        return f"{end.message or end.reason}: {waited}. All tasks are with the default scheduler again."
    said = end.message or end.reason
    return f"the kernel says: {said}. All tasks are with the default scheduler again."


def _stalled_queue(program: Program, dump: str, pid: str) -> str:
    """The queue in which the task waited, and where it was put there, from the kernel's dump."""
    _, *tasks = TASK.split(dump)
    text = next((after for found, after in zip(tasks[::2], tasks[1::2], strict=True) if found == pid), "")
    queues = _queues(program, text)
    return "".join(f": it waited in the queue `{name}`{_puts(program, name)}" for name in list(queues)[:1])


def _queues(program: Program, dump: str) -> dict[str, int]:
    """How many tasks in a dump wait in each queue of the policy."""
    numbers = {queue_number(f.name): f.name for f in program.state}
    found: dict[str, int] = {}
    for text in re.findall(r"dsq_id=(?:0x)?([0-9a-f]+)", dump):
        number = int(text, 16)
        name = numbers.get((number >> 12) & 0xFFFFFFFF)
        if name is not None and number >> 48 == 1:
            found[name] = found.get(name, 0) + 1
    return found


def _puts(program: Program, queue: str) -> str:
    """`, put there at line 12`."""
    lines = sorted({span.line for span in puts(program, queue)})
    dispatch = program.handler("dispatch")
    serve = f"; `dispatch`, line {dispatch.span.line}, did not take from it" if dispatch else ""
    return f", put there at line {', '.join(map(str, lines))}{serve}" if lines else serve


def puts(program: Program, queue: str) -> list[Span]:
    """The places at which tasks are put into a queue."""
    calls = Calls(program)
    found = (call for handler in program.handlers for call in calls.of(handler))
    return [call.span for call, queues in found if call.name in PUTS - STARTS and queue in queues]
