# SPDX-License-Identifier: Apache-2.0
"""`fair_share`, as it stands, shares what is read among targets, however many probes each of them has."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from transect.base.shipped import path_of
from transect.cli.memory.watching import Wrong, rates_of
from transect.control.stopping import Stop
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.emit.py.load import load_text
from transect.memory import watch
from transect.memory.machine import Counts, Machine
from transect.memory.sharing import Shared
from transect.memory.standard import standard
from transect.memory.watch import Watch

FAIR = path_of("fair_share").read_text(encoding="utf-8")


class Reading:
    """A probe whose rounds read so many bytes and find nothing."""

    def __init__(self, program: Program, size: int) -> None:
        self.program, self.instance, self.size = program, Instance(program), size

    def round(self, machine: Machine) -> tuple[tuple[()], tuple[()]]:
        machine.counts.bytes += self.size
        return (), ()


def watches(monkeypatch: pytest.MonkeyPatch, sizes: Mapping[str, Sequence[int]]) -> dict[str, Watch]:
    """By target: bytes that a round of each of its probes reads."""
    made = {}
    for target, reads in sizes.items():
        left = list(reads)
        monkeypatch.setattr(watch, "prepare", lambda program, *_, left=left: Reading(program, left.pop(0)))
        dump = SimpleNamespace(live=False)
        machine = SimpleNamespace(name=target, known=None, counts=Counts(), physical=dump)
        programs = list(standard().values())[: len(reads)]
        made[target] = Watch(
            cast(Machine, machine), programs, lambda _: None, every_s=0, draw=random.Random(1)
        )
    return made


class After:
    """Set after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def wait(self, seconds: float) -> bool:
        return False


def test_targets_share_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = watches(monkeypatch, {"few": [4000], "many": [500, 500, 500, 500], "large": [9000]})
    Shared(made, load_text(FAIR).FairShare()).run(cast(Any, After(2000)))
    read = {name: w.machine.counts.bytes for name, w in made.items()}
    assert min(read.values()) > 100_000
    assert max(read.values()) - min(read.values()) <= 2 * 9000, read


def test_a_target_alone_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    made = watches(monkeypatch, {"one": [100, 100]})
    Shared(made, load_text(FAIR).FairShare()).run(Stop(), rounds=3)
    assert [p.rounds for p in made["one"].probes.values()] == [3, 3]


def test_a_budget_makes_everyone_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    class Clock(After):
        def wait(self, seconds: float) -> bool:
            waited.append(seconds)
            return False

    made = watches(monkeypatch, {"one": [500], "other": [1500]})
    Shared(made, load_text(FAIR).FairShare(), budget=1000.0).run(cast(Any, Clock(9)), rounds=2)
    assert sorted(waited) == [0.5, 0.5, 1.5, 1.5]


def test_each_probe_has_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    made = watches(monkeypatch, {"one": [1, 1]})["one"]
    slow, fast = made.probes
    made.rates = {slow: 1000.0, fast: 10.0}
    now = [0.0]
    monkeypatch.setattr("transect.memory.watch.time.monotonic", lambda: now[0])
    for _ in range(1000):
        name, wait = made.next_of([slow, fast])
        now[0] += wait
        made.round(name)
    assert 60 <= made.probes[fast].rounds / made.probes[slow].rounds <= 160


@pytest.mark.parametrize("word", ["Text", "Text=", "=3", "Text=-1", "Text=soon"])
def test_a_rate_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(Wrong, match=r"is no rate"):
        rates_of([word])


def test_words_of_the_command_line() -> None:
    assert rates_of(["Text=60", "Ftrace=0.5"]) == {"Text": 60.0, "Ftrace": 0.5}
