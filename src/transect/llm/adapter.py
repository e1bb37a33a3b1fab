# SPDX-License-Identifier: Apache-2.0
"""A policy as a queue drives it: `Admission` policies directly, any `Arbiter` through the same hooks.

A server (a simulated engine, vLLM, the gateway) owns a `queue.TenantQueues`, which owns one `Chooser`:

    chooser = chooser_of(policy)            # a policy object, of Admission or Arbiter queues = TenantQueues(chooser)
    refused = queues.add(request)           # accept, arrive, head        -> None, or the Refuse of the policy request =
    queues.peek()                 # pick: stable until the next call of anything else; None: nobody waits queues.pop()
    # it fits: leave or head, admit, charge(prompt) queues.produced(request, tokens)        # output came:
    charge(output) queues.produced_in_step(…)              # the same, of all requests of an engine's step
    queues.put_back(request)                # preempted: arrive, head; free, and never charged for its prompt again
    queues.undo(request)                    # popped, then not run after all: refund, retract, arrive, head
    queues.refund(request, tokens)          # prompt tokens that the prefix cache held queues.finish(request)
    # ended after it was admitted, also while preempted queues.cancel(request)                  # ended while it waited
    queues.forget_idle(keep)                # memory stays bounded: clients without work are forgotten if they hold no
    state

What a client is charged: an `Arbiter` gets weighted integer micro-tokens, `tokens × (rate × 100 // weight)`, so that
charges add up exactly however they are divided; an `Admission` policy gets tokens and computes their cost itself.  Not
thread-safe: an engine has one scheduler, a gateway one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol

from transect.base.unavailable import Unavailable
from transect.core import ir
from transect.core.effects import Facts
from transect.core.passes.ordered_pick import heaps, ordered_pick
from transect.llm.policies import program_behind
from transect.llm.request import Held

MICRO = 1_000_000
INPUT, OUTPUT = (
    1 * MICRO,
    2 * MICRO,
)  # w_p = 1, w_q = 2: what an Arbiter's clients are charged, in micro-tokens

Hook = Callable[..., Any]


class Waiting(Protocol):
    """The waiting clients, oldest first."""

    def append(self, client: Any, /) -> None: ...
    def remove(self, client: Any, /) -> None: ...


class Chooser:
    """The hooks of a policy.  A hook that the policy does not override is None, so that no time is spent on a call."""

    def __init__(self, policy: Any, program: ir.Program) -> None:
        self.policy = policy
        self.program = program
        self.waiting: Waiting = policy.waiting
        self.pick: Callable[[], Hashable] = policy.pick
        self.forget: Callable[[Hashable], object] = policy.forget
        self.came: Callable[[Held], object] | None = None  # who records is told of each request before all
        self.accept = self._defined("accept")
        self.arrive = self._defined("arrive")
        self.head = self._defined("head")
        self.admit = self._defined("admit")
        self.charge = self._defined("charge")
        self.retract = self._defined("retract")
        self.leave = self._defined("leave")
        self.finish = self._defined("finish")
        self.counter_field = counter_field(program)
        native = "gap" in vars(type(policy)) and self.counter_field is not None
        # Machine code asks its heap, and charges a whole step in one call.
        self._quick_gap: Callable[[], int] | None = policy.gap if native else None
        self._quick_step: Callable[[Sequence[tuple[Held, int]]], None] | None = None
        if "produced" in vars(type(policy)) and program.base != "Arbiter":
            self._quick_step = policy.produced

    def _defined(self, hook: str) -> Hook | None:
        handler = self.program.handler(hook)
        if handler is None or handler.default:
            return None
        found: Hook = getattr(self.policy, hook)
        return found

    def produced(self, step: Sequence[tuple[Held, int]]) -> None:
        """Charge the output tokens that one step of an engine produced for each request."""
        if self._quick_step is not None:
            self._quick_step(step)
            return
        for request, tokens in step:
            request.produced += tokens
            if self.charge is not None:
                self.charge(request, 0, tokens)

    def counter(self, client: Hashable) -> int:
        """What `pick` orders the clients by, in micro-tokens.  Raises `Unavailable` when that is no tally."""
        if self.counter_field is None:
            raise Unavailable(
                f"the gap of {self.program.name}",
                "its `pick` does not order clients by one tally",
                "write `min(self.waiting, key=self.served.get)`",
            )
        return int(getattr(self.policy, self.counter_field)[client])

    def gap(self, clients: Iterable[Hashable]) -> int:
        """The difference between the largest and the smallest counter of the clients, who must be all that wait."""
        if self._quick_gap is not None:
            return self._quick_gap()
        values = list(map(self.counter, clients))
        return max(values) - min(values) if values else 0


class ArbiterChooser(Chooser):
    """An `Arbiter`: clients become waiting and leave; requests, prompts and outputs become costs."""

    def __init__(self, policy: Any, program: ir.Program) -> None:
        super().__init__(policy, program)
        self._arrive, self._charge = self.arrive, self.charge
        self.accept = self.head = self.admit = self.retract = self.finish = None
        self.arrive = self._arriving if self._arrive else None
        self.charge = self._charging if self._charge else None

    def _arriving(self, request: Held) -> None:
        assert self._arrive is not None
        if request.client not in self.policy.waiting:
            self._arrive(request.client)

    def _charging(self, request: Held, prompt: int, output: int) -> None:
        assert self._charge is not None
        self._charge(request.client, cost(request.weight, prompt, output))


def cost(weight: int, prompt: int, output: int) -> int:
    """Weighted micro-tokens; linear in the tokens, so that dividing a charge loses nothing."""
    return prompt * (INPUT * 100 // weight) + output * (OUTPUT * 100 // weight)


def counter_field(program: ir.Program) -> str | None:
    """The tally of service whose least entry `pick` looks for; None if it looks for something else, such as the order
    of arrival: a field that `charge` never changes is not a counter.
    """
    asked, charge = heaps(ordered_pick(program)), program.handler("charge")
    if len(asked) != 1 or charge is None:
        return None
    return asked[0] if asked[0] in Facts(program).of(charge).written_fields else None


def chooser_of(policy: Any, program: ir.Program | None = None) -> Chooser:
    """The chooser of a policy object.  `program`: what it was built from, where that is known."""
    program = program_behind(policy) if program is None else program
    if program.base == "Arbiter":
        return ArbiterChooser(policy, program)
    assert program.stratum == "llm", f"{program.name} is a policy of {program.stratum}"
    return Chooser(policy, program)
