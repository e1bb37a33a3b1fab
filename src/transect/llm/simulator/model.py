# SPDX-License-Identifier: Apache-2.0
"""An engine as the simulator knows it: how long a step takes, how much memory there is, when a request is admitted.

The models are data files in `llm/engines/`, written by `transect llm calibrate` from a measured profile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from transect.base import toml
from transect.base.bounded import is_file, whole
from transect.base.diagnostic import closest
from transect.base.unavailable import Unavailable

ENGINES = Path(__file__).parents[1] / "engines"
UNLIMITED = 1 << 40


class Reserve(StrEnum):
    """What admission asks memory for."""

    PEAK = "peak"  # the most that all running ones use at any one time, if each produces all it reserved
    SUM = "sum"  # the prompt and all reserved output of each running one, at once (the paper's proof assumes this)
    NONE = "none"  # the prompt only; who finds no memory for its next token is preempted and computed again


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one iteration.

    A decode step takes the longer of two: few sequences wait for the weights to be read, many for the arithmetic.  Each
    has a constant, and a part for each sequence and for each token of context.
    """

    step_small: float
    step_small_per_sequence: float
    step_small_per_token: float
    step_large: float
    step_large_per_sequence: float
    step_large_per_token: float
    prefill: float
    prefill_per_token: float
    prefill_per_request: float

    def scaled(self, by: float) -> Times:
        return Times(*(getattr(self, name) * by for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Model:
    """One engine."""

    name: str
    times: Times
    memory: int  # M: tokens that the key-value cache holds
    sequences: int  # most that run at once
    quiet_steps: int  # decode steps after an admission before the next one is tried
    reserve: Reserve
    longest_input: int  # L, tokens
    longest_output: int
    batch_tokens: int = UNLIMITED  # of prompts, in one prefill
    prompt_extra: int = 0  # tokens that the engine adds to each prompt
    client_tokens: int = 0  # of memory that each client takes while a request of it runs: its adapter
    source: str = ""

    def but(self, **changes: Any) -> Model:
        return replace(self, **changes)


@cache
def engine(name: str) -> Model:
    """The model of that name, or of a file.  Raises `Unavailable`, naming the models that exist."""
    path = Path(name) if name.endswith(".toml") else ENGINES / f"{name}.toml"
    if not is_file(path):
        near = closest(name, engines())
        hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(engines())}"
        raise Unavailable(f"the engine model {name}", "there is no such file", hint)
    try:
        return of(toml.parsed(whole(path)))
    except (KeyError, TypeError, ValueError, OSError) as wrong:  # ValueError: no TOML, too
        hint = "`transect llm calibrate` writes one"
        raise Unavailable(f"the engine model {name}", f"{path} is none: {wrong!r}", hint) from wrong


def engines() -> list[str]:
    """The names of the models that come with transect."""
    return sorted(p.stem for p in ENGINES.glob("*.toml"))


def of(data: dict[str, Any]) -> Model:
    """A model from the content of its file.  Raises `ValueError` for a content that cannot be one."""
    times = Times(**{name: data["seconds"][name] for name in Times.__slots__}).scaled(data["scale"]["value"])
    held = data["engine"]
    if held.get("client_tokens") and held["reserve"] != Reserve.PEAK:
        raise ValueError(f'{data["name"]}: `client_tokens` goes with `reserve = "{Reserve.PEAK}"` only')
    return Model(
        name=data["name"],
        times=times,
        memory=held["memory_tokens"],
        sequences=held["sequences"],
        quiet_steps=held["quiet_steps"],
        reserve=Reserve(held["reserve"]),
        longest_input=held["longest_input"],
        longest_output=held["longest_output"],
        batch_tokens=held.get("batch_tokens", UNLIMITED),
        prompt_extra=held.get("prompt_extra", 0),
        client_tokens=held.get("client_tokens", 0),
        source=data["source"],
    )
