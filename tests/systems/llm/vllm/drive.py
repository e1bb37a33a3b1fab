# SPDX-License-Identifier: Apache-2.0
"""Runs under the engine's own Python: drives a real vLLM engine with our scheduler in this process, step by step, and
prints what came of each scenario as a line of JSON.  The tests beside it start it and judge.

    drive.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.systems.llm.vllm import tiny

os.environ |= {**tiny.ENVIRONMENT, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}

from transect.base.shipped import path_of
from transect.llm.config import parse
from transect.llm.vllm.settings import TENANT, VARIABLE

VOCABULARY = 2000
BLOCK = 32  # the CPU's attention wants multiples of it
TENANTS = "[tenants.a]\n[tenants.b]\n[tenants.heavy]\nweight = 300\n"

Said = dict[str, Any]


class Driven:
    """One engine, and what its requests came to."""

    def __init__(self, folder: Path, **engine: Any) -> None:
        from vllm import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        self.folder = folder
        (folder / "llm.toml").write_text(TENANTS)
        os.environ[VARIABLE] = str(folder / "llm.toml")
        given: dict[str, Any] = {
            "model": str(tiny.write(folder / "model")),
            "load_format": "dummy",
            "skip_tokenizer_init": True,
            "dtype": "float32",
            "max_model_len": 512,
            "max_num_seqs": 8,
            "block_size": BLOCK,
            "enforce_eager": True,
            "disable_log_stats": True,
            "scheduler_cls": "transect.llm.vllm.FairScheduler",
            **engine,
        }
        self.engine = LLMEngine.from_engine_args(EngineArgs(**given))
        self.scheduler: Any = self.engine.engine_core.engine_core.scheduler
        self.number = 0
        self.begin("")

    def begin(self, settings: str) -> None:
        """Another policy, from nothing; no request is there."""
        text = f'bound = "enforce"\n{settings}\n{TENANTS}'
        self.scheduler.put_in_force(parse(text, self.folder / "llm.toml"), self.folder)
        self.tokens: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.owner: dict[str, str] = {}

    @property
    def fair(self) -> Any:
        return self.scheduler.fair

    def add(self, tenant: str, prompt: list[int], output: int) -> str:
        from vllm import SamplingParams

        self.number += 1
        name = f"r{self.number}"
        params = SamplingParams(
            max_tokens=output, ignore_eos=True, detokenize=False, extra_args={TENANT: tenant}
        )
        self.engine.add_request(name, {"prompt_token_ids": prompt}, params)
        self.owner[name] = tenant
        return name

    def prompt(self, size: int) -> list[int]:
        """Tokens that no other prompt begins with."""
        return [(self.number * 7919 + i * 31) % VOCABULARY + 3 for i in range(size)]

    def abort(self, name: str) -> None:
        self.engine.abort_request([name])

    def step(self) -> None:
        for output in self.engine.step():
            if output.finished:
                tenant = self.owner[output.request_id]
                self.tokens[tenant] += len(output.outputs[0].token_ids)
                self.ended[tenant] += 1

    def run(self, steps: int = 1_000_000) -> None:
        for _ in range(steps):
            if not self.engine.has_unfinished_requests():
                return
            self.step()

    def names(self, numbers: Iterable[int]) -> list[str]:
        return [self.fair.tenants.name_of(number) for number in numbers]

    def accounts(self) -> dict[str, dict[str, int]]:
        """What each tenant was charged for, and how its requests ended."""
        columns = ("prompt", "output", "preempted", "admitted", "finished", "cancelled")
        accounts = self.fair.queues.accounts
        rows = ({c: getattr(a, c) for c in columns} for a in accounts.values())
        return dict(zip(self.names(accounts), rows, strict=True))

    def counters(self) -> dict[str, int]:
        chooser, accounts = self.fair.queues.chooser, self.fair.queues.accounts
        return dict(zip(self.names(accounts), map(chooser.counter, accounts), strict=True))

    def service(self) -> dict[str, int]:
        """In tokens, output twice: the cost of the paper."""
        return {name: row["prompt"] + 2 * row["output"] for name, row in self.accounts().items()}

    def service_while_both_wait(self) -> dict[str, int]:
        """Run to the end; what was served when two tenants waited for the last time."""
        service: dict[str, int] = {}
        while self.engine.has_unfinished_requests():
            self.step()
            if self.fair.queues.clients_waiting == 2:
                service = self.service()
        return service

    def bound(self) -> Said:
        watcher = self.fair.watcher
        return {
            "worst": watcher.worst,
            "bound": watcher.bound,
            "looks": watcher.looks,
            "bounded": self.fair.bounded,
        }


# ---------------------------------------------------------------- scenarios


def contention(driven: Driven) -> Said:
    """Tenant b sends twice as many requests as a; both always have some waiting."""
    said: Said = {}
    for policy in ("fcfs", "vtc", "fair_share"):
        driven.begin(f'policy = "{policy}"')
        for i in range(48):
            driven.add("ab"[i % 3 > 0], driven.prompt(24), 8)
        service = driven.service_while_both_wait()
        said[policy] = {"service": service, "accounts": driven.accounts(), "tokens": dict(driven.tokens)}
        said[policy] |= driven.bound()
    return said


def weights(driven: Driven) -> Said:
    """One has three times the weight of the other."""
    driven.begin('policy = "vtc_weighted"')
    for i in range(64):
        driven.add(("a", "heavy")[i % 2], driven.prompt(16), 8)
    return {"service": driven.service_while_both_wait(), **driven.bound()}


def prefixes(driven: Driven) -> Said:
    """The same long prompt again and again: what the cache held is charged, or not."""
    said: Said = {}
    for cached in ("logical", "uncached"):
        driven.begin(f'cached = "{cached}"')
        prompt = driven.prompt(160)
        for _ in range(4):
            driven.add("a", prompt, 4)
            driven.run()
        said[cached] = driven.accounts()["a"]
    return said


def upgrades(driven: Driven) -> Said:
    """Another version, then another policy, takes over while requests wait and run, and all is recorded."""
    driven.begin('policy = "vtc"')
    log = driven.folder / "decisions.log"
    driven.fair.record(log, "driven")
    for i in range(40):
        driven.add("ab"[i % 3 > 0], driven.prompt(20), 12)
    driven.run(10)
    before = driven.counters()
    newer = driven.folder / "newer.py"
    newer.write_text(path_of("vtc").read_text() + "\n# newer\n")
    driven.fair.upgrade(newer)
    after = driven.counters()
    driven.run(10)
    driven.fair.upgrade(path_of("fcfs"))
    driven.run()
    trailer = driven.fair.end_record()
    ended = {"records": trailer.records, "dropped": trailer.dropped, "log": str(log)}
    return {"before": before, "after": after, "ended": dict(driven.ended), **ended}


def pressure(driven: Driven) -> Said:
    """So little memory that requests are preempted; prompts come in chunks, and some are aborted in between."""
    driven.begin('policy = "vtc"')
    prompts: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    for i in range(24):
        size = 40 + 5 * (i % 7)
        name = driven.add("ab"[i % 2], driven.prompt(size), 60)
        sizes[name] = size
        prompts["ab"[i % 2]] += size
    aborted: Counter[str] = Counter()
    produced: Counter[str] = Counter()
    for round in range(1_000_000):
        if not driven.engine.has_unfinished_requests():
            break
        driven.step()
        if round not in (20, 60):
            continue
        queue = driven.scheduler.waiting
        victims = [*driven.scheduler.running[:1], *list(queue)[-1:]]  # one that runs, one that waits
        for request in victims:
            name = request.request_id.rpartition("-")[0]  # the engine's own has a random end
            tenant, held = driven.owner[name], queue.held(request)
            prompts[tenant] -= 0 if held.admitted else sizes[name]
            produced[tenant] += request.num_output_tokens
            aborted[tenant] += 1
            driven.abort(name)
    left = len(driven.fair.queues) + len(list(driven.scheduler.waiting.running()))
    tokens = driven.tokens + produced
    said = {"prompts": dict(prompts), "tokens": dict(tokens), "aborted": dict(aborted), "left": left}
    return {"accounts": driven.accounts(), "counters": driven.counters(), **said, **driven.bound()}


def asynchronous(driven: Driven) -> Said:
    """The engine's asynchronous scheduler with our mixin, two steps in flight, as on a GPU: a step is scheduled before
    the one before it has come back.  The model's part is played, as the CPU build runs one step at a time."""
    from vllm import SamplingParams
    from vllm.v1.request import Request

    from transect.llm.vllm.scheduler import FairAsyncScheduler

    own = driven.scheduler
    scheduler = FairAsyncScheduler(
        vllm_config=own.vllm_config,
        kv_cache_config=own.kv_cache_config,
        structured_output_manager=own.structured_output_manager,
        block_size=own.block_size,
    )
    settings = f'bound = "enforce"\npolicy = "vtc"\n{TENANTS}'
    scheduler.put_in_force(parse(settings, driven.folder / "llm.toml"), driven.folder)
    for i in range(48):
        params = SamplingParams(
            max_tokens=8, ignore_eos=True, detokenize=False, extra_args={TENANT: "ab"[i % 3 > 0]}
        )
        scheduler.add_request(Request(f"q{i}", driven.prompt(24), params, None))
        driven.number += 1
    deepest, service = in_flight(scheduler)
    fair, names = scheduler.fair, scheduler.fair.tenants.name_of
    accounts = {
        names(n): vars_of(account) for n, account in fair.queues.accounts.items() if isinstance(n, int)
    }
    left = len(fair.queues) + len(list(scheduler.waiting.running()))
    scheduler._control.close()
    said = {"accounts": accounts, "deepest": deepest, "left": left, "service": service}
    return said | {"worst": fair.watcher.worst, "bound": fair.watcher.bound, "looks": fair.watcher.looks}


def vars_of(account: Any) -> dict[str, int]:
    return {name: getattr(account, name) for name in ("prompt", "output", "admitted", "finished")}


def in_flight(scheduler: Any) -> tuple[int, dict[str, int]]:
    """Schedule and answer, two steps at a time, until nothing is left: the most steps that were in flight, and what was
    served when two tenants waited for the last time."""
    from vllm.v1.outputs import ModelRunnerOutput

    flying: list[Any] = []
    deepest, service = 0, dict[str, int]()
    while scheduler.has_unfinished_requests() or flying:
        step = scheduler.schedule()
        if step.total_num_scheduled_tokens:
            # A request answers unless this step leaves some of its prompt to the next.
            asked = {
                name: not scheduler.requests[name].is_prefill_chunk for name in step.num_scheduled_tokens
            }
            flying.append((step, asked))
        deepest = max(deepest, len(flying))
        if len(flying) == 2 or not step.total_num_scheduled_tokens:
            done, asked = flying.pop(0)
            names = list(asked)
            answer = ModelRunnerOutput(
                req_ids=names,
                req_id_to_index={name: i for i, name in enumerate(names)},
                sampled_token_ids=[[7] if asked[name] else [] for name in names],
            )
            scheduler.update_from_output(done, answer)
        if scheduler.fair.queues.clients_waiting == 2:
            accounts, names_of = scheduler.fair.queues.accounts, scheduler.fair.tenants.name_of
            service = {names_of(n): a.prompt + 2 * a.output for n, a in accounts.items()}
    return deepest, service


ROOMY: tuple[Callable[[Driven], Said], ...] = (contention, weights, prefixes, upgrades, asynchronous)
TIGHT: tuple[Callable[[Driven], Said], ...] = (pressure,)


def main() -> None:
    folder = Path(sys.argv[1])
    roomy = Driven(folder, num_gpu_blocks_override=128, enable_prefix_caching=True)
    play(roomy, ROOMY)
    tight = Driven(
        folder,
        num_gpu_blocks_override=15,
        max_num_batched_tokens=48,
        max_model_len=256,
        enable_prefix_caching=False,
    )
    play(tight, TIGHT)


def play(driven: Driven, scenarios: Iterable[Callable[[Driven], Said]]) -> None:
    for scenario in scenarios:
        started = time.monotonic()
        said = scenario(driven)
        seconds = round(time.monotonic() - started, 1)
        print(json.dumps({"scenario": scenario.__name__, "seconds": seconds, **said}), flush=True)


if __name__ == "__main__":
    main()
