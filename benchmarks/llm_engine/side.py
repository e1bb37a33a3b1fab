# SPDX-License-Identifier: Apache-2.0
"""One side of the engine's throughput, under the engine's own Python: `side.py FOLDER vtc|fcfs|one`.

vtc    our scheduler with VTC
fcfs   the engine's own scheduler, first come, first served
one    the same, with a batch of one request: it must fall short

Each line on standard input is one round; what it took comes back as a line of JSON.

The model is as large as it takes for steps of some 50 ms, about as long as those of the published engine: beside one
of a millisecond, as a tiny model has, a scheduler weighs fifty times as much.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

from tests.systems.llm.vllm import tiny
from tests.systems.llm.vllm.drive import Driven

REQUESTS, PROMPT, OUTPUT = 16, 24, 24
LIKE_A_GPU = {
    "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 12, "num_key_value_heads": 12,
}  # fmt: skip


class Own(Driven):
    """The engine with its own scheduler: there is no policy to put in force."""

    def begin(self, settings: str) -> None:
        self.tokens, self.ended, self.owner = Counter(), Counter(), {}


def main() -> None:
    folder, side = Path(sys.argv[1]), sys.argv[2]
    tiny.CONFIG.update(LIKE_A_GPU)
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
