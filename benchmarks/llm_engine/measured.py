# SPDX-License-Identifier: Apache-2.0
"""VTC in the real engine / the engine's own first-come-first-served scheduler, for `llm.throughput`.

vLLM's CPU build with a random model whose steps take about as long as the published engine's, in batches of 8.  The
schedulers take turns in one engine, the baseline's twice a round, for the A/A control; the engine is started anew
several times, since the same model is some percent faster in one process than in another.

The model takes 99 % of a round, and some percent more or less from one round to the next, whichever scheduler runs.
Both schedulers make the same number of the model's steps.  So `engine` counts the model's average time in that engine,
and the round's own time for everything else; `whole` is the round as it was, but no machine so far was quiet enough to
decide by it.  Seconds are of the process's processor time, which does not depend on who else uses the machine.
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

from measuring import Control, Numbers, Samples, interleaved, spread

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
        """The engine's next line.  Raises `Unavailable` when the engine has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            why = f"it ended, or took longer than {LIMIT_S} s"
            raise Unavailable("the engine's side", why, "run it alone")
        return line.strip()

    def told(self, word: str) -> Any:
        """Send a word; the engine's answer."""
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


class Turns:
    """Rounds of one engine: tokens per second, with `model` seconds for the model, and as they were."""

    def __init__(self, engine: Side, model: float) -> None:
        self._engine = engine
        self._model = model
        self.steps: set[int] = set()

    def round(self, scheduler: str) -> Numbers:
        said = self._engine.told(scheduler)
        if scheduler != "one":
            self.steps.add(said["steps"])
        return {
            "engine": said["tokens"] / (said["besides"] + self._model),
            "whole": said["tokens"] / (said["besides"] + said["model"]),
        }


def engine_ratio(python: Path, into: Samples, rounds: int = ROUNDS) -> tuple[Control, dict[str, Any]]:
    """Adds `engine` to the samples; the control, and conditions of the measurement."""
    found = Samples()
    steps: set[int] = set()
    for _ in range(STARTS):
        with side(python) as engine:
            warm = [engine.told(name)["model"] for name in ("vtc", "fcfs", "fcfs")]
            turns = Turns(engine, statistics.mean(warm))
            interleaved(partial(turns.round, "vtc"), partial(turns.round, "fcfs"), rounds, into=found)
            steps |= turns.steps
            alone = turns.round("one")["whole"] / turns.round("fcfs")["whole"]
    assert len(steps) == 1, f"the schedulers make other numbers of steps: {steps}"
    into.values["engine"], into.aa["engine"] = found.values["engine"], found.aa["engine"]
    low, high = spread(found.values["whole"])
    said = {
        "engine_whole_rounds": {"median": statistics.median(found.values["whole"]), "low": low, "high": high},
        "engine_with_a_batch_of_one": alone,
        "engine_conditions": "vLLM 0.32, CPU build, random model with steps of some 50 ms, processor time",
    }
    return Control("the engine with a batch of one request", alone < 0.99), said
