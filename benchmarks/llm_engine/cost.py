# SPDX-License-Identifier: Apache-2.0
"""One side of what a policy adds to a step of the engine's scheduler, under the engine's own Python:
`cost.py FOLDER vtc|fcfs`.

A number N on standard input begins anew with N tenants: 32 running requests, and one of every other tenant waiting.
Any other line is a round of steps, whose seconds come back as a line of JSON.  Requests end one after the other and the
next ones are admitted.  No model runs: its outputs are made up, so that a step is scheduling and nothing else.

Each side is a process of its own, as engines are.  In one process, two classes of schedulers would take turns in the
same code; its attribute caches hold for one class, and the other would pay for that.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

from tests.systems.llm.vllm.drive import Driven
from transect.llm.config import parse
from transect.llm.vllm.settings import TENANT

RUNNING, STEPS, PROMPT, SETTLE = 32, 20, 4, 64


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    driven = Driven(folder, max_num_seqs=RUNNING, num_gpu_blocks_override=256, enable_prefix_caching=False)
    print("ready", flush=True)
    tenants, made, arrived = 1, None, 0
    for line in sys.stdin:
        count = STEPS
        if line.strip().isdigit():
            tenants, count, arrived = int(line), SETTLE, 0
            made = scheduler(driven, name, tenants)
        took = []
        for _ in range(count):
            add(driven, made, arrived % tenants, arrived)
            arrived += 1
            took.append(step(made))
        print(json.dumps(took), flush=True)


def scheduler(driven: Driven, name: str, tenants: int) -> Any:
    """The engine's own, or ours, with a request of every tenant."""
    from vllm.v1.core.sched.scheduler import Scheduler

    from transect.llm.vllm.scheduler import FairSyncScheduler

    own = driven.scheduler
    made = (FairSyncScheduler if name == "vtc" else Scheduler)(
        vllm_config=own.vllm_config,
        kv_cache_config=own.kv_cache_config,
        structured_output_manager=own.structured_output_manager,
        block_size=own.block_size,
    )
    if name == "vtc":
        rows = "".join(f"[tenants.t{i}]\n" for i in range(tenants))
        made.put_in_force(parse(f'policy = "vtc"\n{rows}', driven.folder / "llm.toml"), driven.folder)
    for number in range(max(tenants, 2 * RUNNING)):
        add(driven, made, number % tenants, number)
    return made


def add(driven: Driven, made: Any, tenant: int, number: int) -> None:
    from vllm import SamplingParams
    from vllm.v1.request import Request

    driven.number += 1
    output = 1 + number % RUNNING + RUNNING // 2  # they end one after the other
    params = SamplingParams(
        max_tokens=output, ignore_eos=True, detokenize=False, extra_args={TENANT: f"t{tenant}"}
    )
    made.add_request(Request(f"c{driven.number}", driven.prompt(PROMPT), params, None))


def step(made: Any) -> float:
    """Seconds of processor time (so that other programs do not count) of a step's two halves."""
    from vllm.v1.outputs import ModelRunnerOutput

    began = time.thread_time()
    scheduled = made.schedule()
    first = time.thread_time() - began
    names = list(scheduled.num_scheduled_tokens)
    answer = ModelRunnerOutput(
        req_ids=names,
        req_id_to_index={name: i for i, name in enumerate(names)},
        sampled_token_ids=[[7] for _ in names],
    )
    began = time.thread_time()
    made.update_from_output(scheduled, answer)
    return first + time.thread_time() - began


if __name__ == "__main__":
    main()
