# SPDX-License-Identifier: Apache-2.0
"""One engine, and the schedulers that take turns in it, under the engine's own Python: `side.py FOLDER`.

vtc    our scheduler with VTC
fcfs   the engine's own scheduler, first come, first served
one    the same, with a batch of one request: it must fall short

Each line on standard input names the scheduler of the next round; what the round took comes back as a line of JSON.
Between rounds there are no requests, so that a scheduler leaves nothing to the next one.  All share one engine, since
the same model is some percent faster in one process than in another.

The model is so large that a step takes some 50 ms, about as long as in the published engine: beside a tiny model, with
steps of a millisecond, a scheduler would weigh fifty times as much.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

from tests.systems.llm.vllm import tiny
from tests.systems.llm.vllm.drive import Driven

REQUESTS, PROMPT, OUTPUT = 16, 24, 24
LIKE_A_GPU = {
    "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 12, "num_key_value_heads": 12,
}  # fmt: skip


def main() -> None:
    tiny.CONFIG.update(LIKE_A_GPU)
    driven = Driven(Path(sys.argv[1]))
    driven.begin('policy = "vtc"')
    schedulers = {"vtc": driven.scheduler, "fcfs": engines_own(driven), "one": engines_own(driven, batch=1)}
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(round_of(driven, schedulers[line.strip()])), flush=True)


def engines_own(driven: Driven, batch: int = 8) -> Any:
    """The engine's own scheduler, made as the engine made ours."""
    from vllm.v1.core.sched.scheduler import Scheduler

    ours = driven.scheduler
    config = copy.copy(ours.vllm_config)
    config.scheduler_config = copy.copy(config.scheduler_config)
    config.scheduler_config.max_num_seqs = batch
    return Scheduler(
        vllm_config=config,
        kv_cache_config=ours.kv_cache_config,
        structured_output_manager=ours.structured_output_manager,
        block_size=ours.block_size,
    )


def round_of(driven: Driven, scheduler: Any) -> dict[str, float]:
    """Seconds of the process's processor time, for the model and for everything else; steps and tokens."""
    core = driven.engine.engine_core.engine_core
    core.scheduler = scheduler
    driven.ended.clear()
    model = Timed(core.model_executor.execute_model)
    core.model_executor.execute_model = model
    began = time.process_time()
    for i in range(REQUESTS):
        driven.add("ab"[i % 3 > 0], driven.prompt(PROMPT), OUTPUT)
    driven.run()
    took = time.process_time() - began
    core.model_executor.execute_model = model.run
    assert sum(driven.ended.values()) == REQUESTS, driven.ended
    tokens = REQUESTS * (PROMPT + OUTPUT)
    return {"model": model.took, "besides": took - model.took, "steps": model.calls, "tokens": tokens}


class Timed:
    """A function, with the processor time that it took."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run, self.took, self.calls = run, 0.0, 0

    def __call__(self, *args: Any, **named: Any) -> Any:
        began = time.process_time()
        answer = self.run(*args, **named)
        self.took += time.process_time() - began
        self.calls += 1
        return answer


if __name__ == "__main__":
    main()
