# SPDX-License-Identifier: Apache-2.0
"""The C implementation: many programs a compilation, with sanitizers, in one process that never forks.

When a sanitizer stops the process, the program at fault is known by what has been written, and the rest goes on.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.fuzz.calls import Call
from tests.fuzz.machines import Observed, Step
from tests.fuzz.sharing import lowered_all, shared_driver
from transect.core.codec import CodecError, Reader
from transect.core.ir import Program
from transect.core.values import normal
from transect.emit.c import Lowered
from transect.emit.c.driver import MAIN, Requests, answer

FLAGS = (
    "-std=c11",
    "-O0",
    "-w",
    "-ffp-contract=off",
    "-fsanitize=undefined,address",
    "-fno-sanitize-recover=all",
)
QUICK = ("-fsanitize-undefined-trap-on-error", "--param", "asan-instrumentation-with-call-threshold=0")
"""The same checks, compiled in half the time: what stops a program is told by a signal, and by compiling it again."""

Work = tuple[Program, Sequence[Call]]


def in_c(work: Sequence[Work], *, loads: bool = True) -> list[Observed]:
    """What emitted C shows of each program; `loads`: a second state takes the last image, and gives it back."""
    found = _in_c(work, (*FLAGS, *QUICK), loads)
    return [
        _in_c([one], FLAGS, loads)[0] if seen.error else seen for one, seen in zip(work, found, strict=True)
    ]


def _in_c(work: Sequence[Work], flags: Iterable[str], loads: bool) -> list[Observed]:
    lowered = lowered_all([program for program, _ in work])
    good = [(one, done) for one, done in zip(work, lowered, strict=True) if not isinstance(done, str)]
    found: list[Observed] = []
    if good:
        with tempfile.TemporaryDirectory(prefix="transect-fuzz-") as folder:
            binary = compiled([done for _, done in good], Path(folder), flags, loads)
            while len(found) < len(good):
                found += _run(binary, [one for one, _ in good], len(found), loads)
    rest = iter(found)
    return [Observed((), "", done) if isinstance(done, str) else next(rest) for done in lowered]


def compiled(
    programs: Sequence[Lowered], folder: Path, flags: Iterable[str] = FLAGS, loads: bool = True
) -> Path:
    """A driver of the programs."""
    shared_driver(programs, loads=loads).write(folder)
    asked = ["gcc", *flags, "-o", "batch", MAIN]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"gcc refuses emitted C:\n{done.stderr[:4000]}"
    return folder / "batch"


def _run(binary: Path, work: Sequence[Work], start: int, loads: bool) -> list[Observed]:
    """Of the programs from that one on: up to the end, or to the first that fails."""
    seen = _once(binary, work, start)
    if not loads:
        return seen
    requests = Requests([program for program, _ in work])
    good = [(start + i, bytes.fromhex(one.image)) for i, one in enumerate(seen) if not one.error]
    for index, image in good:
        requests.start(index)
        requests.load(image)
        requests.show()
    done = subprocess.run([binary], input=bytes(requests.data), capture_output=True, timeout=600)
    reader = Reader(done.stdout)
    for index, image in good:
        took = reader.left >= 5 and reader.integer(1) == 1
        if not took or reader.sized() != image:
            said = done.stderr.decode(errors="replace")[:3000]
            seen[index - start] = Observed(
                (), "", f"its own image is {'changed' if took else 'refused'}: {said}"
            )
            break
    return seen


def _once(binary: Path, work: Sequence[Work], start: int) -> list[Observed]:
    requests = Requests([program for program, _ in work])
    for index in range(start, len(work)):
        _ask(requests, index, work[index][1])
    done = subprocess.run([binary], input=bytes(requests.data), capture_output=True, timeout=600)
    error = (
        f"exit {done.returncode}: {done.stderr.decode(errors='replace')[:3000]}" if done.returncode else ""
    )
    reader = Reader(done.stdout)
    found: list[Observed] = []
    for program, calls in work[start:]:
        try:
            found.append(_observed(reader, program, calls))
        except CodecError:  # cut short
            return [*found, Observed((), "", error)]
    if error:  # a leak, found at the end
        found[-1] = found[-1]._replace(error=error)
    return found


def _ask(requests: Requests, index: int, calls: Sequence[Call]) -> None:
    requests.start(index)
    for call in calls:
        requests.waiting(call.waiting)
        requests.call(call.hook, call.args, now=call.now, seed=call.seed)
    requests.show()


def _observed(reader: Reader, program: Program, calls: Sequence[Call]) -> Observed:
    steps = []
    for call in calls:
        shown = answer(reader, program, call.hook)
        steps.append(Step(repr(normal(shown.result)), shown.checksum, shown.traces))
    return Observed(tuple(steps), reader.sized().hex())
