# SPDX-License-Identifier: Apache-2.0
"""What a policy adds to a step of the real engine's scheduler, under the engine's own Python: `cost.py FOLDER N…`.

vLLM's scheduler with ours and without, each with 32 running requests of as many tenants as there are, and one of every
other tenant waiting; requests end one after the other and the next ones are admitted.  The model's part is played, so
that a step is scheduling and nothing else.  Sides take turns step by step, the engine's own twice; a line of JSON for
each number N of tenants has the seconds of each step.
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

RUNNING, STEPS, PROMPT, SETTLE = 32, 300, 4, 64


def main() -> None:
    folder = Path(sys.argv[1])
    driven = Driven(folder, max_num_seqs=RUNNING, num_gpu_blocks_override=256, enable_prefix_caching=False)
    for tenants in map(int, sys.argv[2:]):
        sides = {name: scheduler(driven, name, tenants) for name in ("vtc", "fcfs", "again")}
        took: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(STEPS + SETTLE):
            order = [*sides][number % 3 :] + [*sides][: number % 3]
            for name in order:
                add(driven, sides[name], number % tenants, number)
                took[name].append(step(sides[name]))
        print(
            json.dumps({"tenants": tenants} | {n: values[SETTLE:] for n, values in took.items()}), flush=True
        )


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
    """Seconds of the scheduler's two halves of one step."""
    from vllm.v1.outputs import ModelRunnerOutput

    began = time.perf_counter()
    scheduled = made.schedule()
    first = time.perf_counter() - began
    names = list(scheduled.num_scheduled_tokens)
    answer = ModelRunnerOutput(
        req_ids=names,
        req_id_to_index={name: i for i, name in enumerate(names)},
        sampled_token_ids=[[7] for _ in names],
    )
    began = time.perf_counter()
    made.update_from_output(scheduled, answer)
    return first + time.perf_counter() - began


if __name__ == "__main__":
    main()
