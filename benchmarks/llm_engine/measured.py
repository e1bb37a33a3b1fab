# SPDX-License-Identifier: Apache-2.0
"""VTC in the real engine / the engine's own first-come-first-served scheduler, for `llm.throughput`.

vLLM's CPU build with a random model whose steps take about as long as the published engine's, in batches of 8.  Tokens
in a second of the process's processor time, which does not depend on who else uses the machine; by the clock they stand
beside it.  The schedulers take turns in one engine, the baseline's twice a round, for the A/A control; the engine is
started anew several times, since the same model is some percent faster in one process than in another.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from measuring import Control, Samples, interleaved

from transect.base.unavailable import Unavailable

STARTS, ROUNDS = 3, 12  # of the engines; of each start
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

    def told(self, word: str) -> Any:
        """What it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return json.loads(self._line())


@contextmanager
def side(python: Path, *words: str, script: Path = SIDE) -> Iterator[Side]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [str(python), str(script), folder, *words],
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
    found = Samples()
    for _ in range(STARTS):
        with side(python) as engine:
            for name in ("vtc", "fcfs", "fcfs"):
                engine.told(name)
            interleaved(partial(engine.told, "vtc"), partial(engine.told, "fcfs"), rounds, into=found)
            alone = engine.told("one")["processor"] / engine.told("fcfs")["processor"]
    into.values["engine"], into.aa["engine"] = found.values["processor"], found.aa["processor"]
    said = {
        "engine_by_the_clock": statistics.median(found.values["clock"]),
        "engine_with_a_batch_of_one": alone,
        "engine_conditions": "vLLM 0.32, CPU build, random model with steps of some 50 ms, processor time",
    }
    return Control("the engine with a batch of one request", alone < 0.99), said
