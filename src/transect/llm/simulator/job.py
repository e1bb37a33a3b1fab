# SPDX-License-Identifier: Apache-2.0
"""A request in the simulator: what its client asks for, what it will really produce, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from transect.llm.request import Held


@dataclass(slots=True, eq=False)
class Job(Held):
    """Times in seconds since the beginning of the trace; steps are those of its engine."""

    prompt: int = 0  # tokens of the prompt as the engine has them: `input`, and what it adds; 0: nothing
    arrival: float = 0.0
    output: int = 1  # tokens that it will produce; no policy sees it
    booked: int = 1  # output tokens that admission reserves memory for; no policy sees it
    refused: bool = False  # by the policy, or as too large
    too_large: bool = False  # no engine has the memory for it
    first: float = -1.0  # when its first token came
    done: float = -1.0  # when its last token came
    born: int = 0  # the step at which it would have produced nothing
    end: int = 0  # the step at which it has produced all
    until: int = 0  # the step at which it would have produced all that is booked
    marked: int = 0  # the step up to which its client has been charged

    def __post_init__(self) -> None:
        Held.__post_init__(self)
        self.prompt = self.prompt or self.input
