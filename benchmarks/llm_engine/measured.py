# SPDX-License-Identifier: Apache-2.0
"""VTC in the real engine / the engine's own first-come-first-served scheduler, for `llm.throughput`.

vLLM's CPU build with a random model whose steps take about as long as the published engine's, in batches of 8.  Tokens
in a second of the process's processor time, which does not depend on who else uses the machine; by the clock they stand
beside it.  Engines take turns round by round, the baseline's twice, for the A/A control: in two processes, and all are
started anew several times, since the same engine is some percent faster in one process than in another.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from measuring import Control, Numbers, Samples, interleaved

from transect.base.unavailable import Unavailable

STARTS, ROUNDS = 5, 3  # of the engines; of each start
LIMIT_S = 500  # of one side
SIDE = Path(__file__).parent / "side.py"


class Side:
    """An engine in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        while self._line() != "ready":
            pass

    def _line(self) -> str:
        """Raises `Unavailable` when the engine is no more."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            why = f"it ended, or took longer than {LIMIT_S} s"
            raise Unavailable("the engine's side", why, "run it alone")
        return line.strip()

    def round(self) -> Numbers:
        found: Numbers = self.told("go")
        return found

    def told(self, word: str) -> Any:
        """What it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return json.loads(self._line())


@contextmanager
def side(python: Path, name: str, script: Path = SIDE) -> Iterator[Side]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [str(python), str(script), folder, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        late = threading.Timer(LIMIT_S, process.kill)
        late.start()
        try:
            yield Side(process)
        finally:
            late.cancel()
            process.kill()
            process.wait()


def engine_ratio(python: Path, into: Samples, rounds: int = ROUNDS) -> tuple[Control, dict[str, Any]]:
    """Adds `engine` to the samples; the control, and conditions of the measurement."""
    found, base = Samples(), 0.0
    for _ in range(STARTS):
        with ExitStack() as stack:
            ours, own, other = (stack.enter_context(side(python, name)) for name in ("vtc", "fcfs", "fcfs"))
            for each in (ours, own, other):
                each.round()
            turns = cycle((own, other))
            interleaved(ours.round, lambda turns=turns: next(turns).round(), rounds, into=found)
            base = own.round()["processor"]
    with side(python, "one") as one:
        one.round()
        alone = one.round()["processor"] / base
    into.values["engine"], into.aa["engine"] = found.values["processor"], found.aa["processor"]
    said = {
        "engine_by_the_clock": statistics.median(found.values["clock"]),
        "engine_with_a_batch_of_one": alone,
        "engine_conditions": "vLLM 0.32, CPU build, random model with steps of some 50 ms, processor time",
    }
    return Control("the engine with a batch of one request", alone < 0.99), said
