# SPDX-License-Identifier: Apache-2.0
"""vLLM's scheduler with the waiting queue of a policy.  Batching, memory, chunking and preemption stay the engine's.

One mixin over the engine's two schedulers.  The contract with the engine, which the tests check:
admission takes requests from `self.waiting` by peek and pop, preemption gives them back; what `update_from_output`
returns has each request's new tokens, without those behind a stop; `_free_request` sees each request that ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from transect.base.request_id import Named
from transect.base.traced import to_stderr
from transect.control import Operated, Server
from transect.lang.functions import PolicyError
from transect.llm.bound import engine_bound
from transect.llm.config import Config
from transect.llm.host import LlmHost
from transect.llm.metrics import exposition
from transect.llm.request import Held
from transect.llm.service import Service
from transect.llm.tenants import Client
from transect.llm.vllm.queue import PolicyQueue
from transect.llm.vllm.settings import NAME, REQUEST_ID, TENANT, TRACEPARENT, configuration

if TYPE_CHECKING:
    from vllm.v1.request import Request

_Base: Any = object  # the scheduler that it is mixed into

logger = logging.getLogger("vllm.transect")


class FairMixin(_Base):
    """The part that knows the policy."""

    fair: Service
    waiting: PolicyQueue

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config, folder = configuration()
        self.put_in_force(config, folder)
        self._control = self._listen(config.name or NAME)
        logger.info(
            "transect: %s decides whose request is next; `transect llm status %s` shows it",
            self.fair.program.name,
            self._control.name,
        )

    def put_in_force(self, config: Config, folder: Path) -> None:
        """Begin with this configuration; the engine has no requests yet.  Raises `PolicyError`."""
        to_stderr()
        self.fair = Service(config, folder, bound=self._bound(config), running=self._running)
        _only_what_an_engine_can(self.fair)
        self.waiting = PolicyQueue(self.fair.queues, self._held_of)
        self._uncached = config.cached == "uncached"

    def _bound(self, config: Config) -> int:
        return engine_bound(
            capacity=self.cache_config.num_gpu_blocks * self.block_size,
            longest_input=self.max_model_len,
            step_tokens=self.max_num_scheduled_tokens,
            lightest=min((t.weight for t in config.tenants.values()), default=100),
        )

    def _running(self) -> Iterator[Held]:
        return self.waiting.running()

    def _listen(self, name: str) -> Server:
        from vllm import __version__

        operated = Operated("llm", name, LlmHost(self.fair, f"vLLM {__version__}"))
        # Every engine of a data-parallel deployment has its own.
        return operated.serve({"metrics": lambda: exposition(self.fair)}, numbered=True)

    # ---------------------------------------------------------------- whose request it is

    def _held_of(self, request: Request) -> Held:
        client = self._client_of(request)
        return Held(
            client.number,
            input=request.num_prompt_tokens,
            limit=request.max_tokens,
            weight=client.weight,
            lane=client.lane,
            group=client.group,
            named=Named(*(_said(request, key) or "" for key in (REQUEST_ID, TRACEPARENT))),
            own=request,
        )

    def _client_of(self, request: Request) -> Client:
        found = self.fair.tenants.by_name(_said(request, TENANT))
        # The middleware turns strangers away; who calls the engine itself, as offline inference does, is its operator.
        return found or self.fair.tenants.operator

    # ---------------------------------------------------------------- what the engine does, under one lock

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        with self.fair.lock:
            output = super().schedule(*args, **kwargs)
            if self._uncached:
                self._refund(output)
            self.fair.watch()
            return output

    def _refund(self, output: Any) -> None:
        """Give back what the prefix cache held of the prompts that were admitted in this step."""
        for new in output.scheduled_new_reqs:
            held = self.waiting.held(self.requests[new.req_id])
            if held is not None and not held.preemptions and new.num_computed_tokens:
                held.cached = new.num_computed_tokens
                self.fair.queues.refund(held, min(new.num_computed_tokens, held.charged))

    def update_from_output(self, *args: Any, **kwargs: Any) -> Any:
        with self.fair.lock:
            self.waiting.step()
            outputs = super().update_from_output(*args, **kwargs)
            self.waiting.stepped(outputs.values())
            return outputs

    def add_request(self, request: Request) -> None:
        with self.fair.lock:
            super().add_request(request)

    def finish_requests(self, *args: Any, **kwargs: Any) -> Any:
        with self.fair.lock:
            return super().finish_requests(*args, **kwargs)

    def _free_request(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        self.waiting.end(request)
        return super()._free_request(request, *args, **kwargs)

    def shutdown(self) -> None:
        self._control.close()
        super().shutdown()


def _said(request: Request, key: str) -> str | None:
    """What our middleware says of the request under that key; None: nothing."""
    sampling = request.sampling_params
    said = (sampling.extra_args or {}).get(key) if sampling is not None else None
    return said if isinstance(said, str) else None


def _only_what_an_engine_can(fair: Service) -> None:
    """Raises `PolicyError` for a policy that turns requests away: here nobody could answer 429."""
    if fair.queues.chooser.accept is not None:
        raise PolicyError(
            f"{fair.program.name} turns requests away (`accept`), which an engine's scheduler cannot; "
            f"run it in front of the engine: transect llm run {fair.program.path}"
        )


class FairSyncScheduler(FairMixin, Scheduler):
    """For engines that schedule a step after the one before has come back, as on CPUs."""


class FairAsyncScheduler(FairMixin, AsyncScheduler):
    """For engines that schedule a step while the one before runs, as on GPUs."""


def FairScheduler(vllm_config: Any, **kwargs: Any) -> FairMixin:
    """The scheduler for this engine: `--scheduler-cls transect.llm.vllm.FairScheduler`."""
    kind = FairAsyncScheduler if vllm_config.scheduler_config.async_scheduling else FairSyncScheduler
    return kind(vllm_config=vllm_config, **kwargs)


__all__ = ["FairAsyncScheduler", "FairMixin", "FairScheduler", "FairSyncScheduler"]
