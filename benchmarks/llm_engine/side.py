# SPDX-License-Identifier: Apache-2.0
"""One side of the engine's throughput, under the engine's own Python: `side.py FOLDER vtc|fcfs|one`.

vtc    our scheduler with VTC
fcfs   the engine's own scheduler, first come, first served
one    the same, with a batch of one request: it must fall short

Each line on standard input is one round; what it took comes back as a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

from tests.systems.llm.vllm.drive import Driven

REQUESTS, PROMPT, OUTPUT = 32, 24, 24


class Own(Driven):
    """The engine with its own scheduler: there is no policy to put in force."""

    def begin(self, settings: str) -> None:
        self.tokens, self.ended, self.owner = Counter(), Counter(), {}


def main() -> None:
    folder, side = Path(sys.argv[1]), sys.argv[2]
    if side == "vtc":
        driven = Driven(folder)
        driven.begin('policy = "vtc"')
    else:
        batch = 1 if side == "one" else 8
        driven = Own(folder, scheduler_cls="vllm.v1.core.sched.scheduler.Scheduler", max_num_seqs=batch)
    print("ready", flush=True)
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        for i in range(REQUESTS):
            driven.add("ab"[i % 3 > 0], driven.prompt(PROMPT), OUTPUT)
        driven.run()
        took = time.perf_counter() - clock, time.process_time() - processor
        tokens = REQUESTS * (PROMPT + OUTPUT)
        assert sum(driven.ended.values()) % REQUESTS == 0, driven.ended
        print(json.dumps({"clock": tokens / took[0], "processor": tokens / took[1]}), flush=True)


if __name__ == "__main__":
    main()
