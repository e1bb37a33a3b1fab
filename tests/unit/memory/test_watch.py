# SPDX-License-Identifier: Apache-2.0
"""A watch tells what is confirmed, once; when it is gone; and when it cannot look, or the target stands still."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from tests.unit.memory.test_confirmation import Target, strides
from transect.control import Operated, Refused
from transect.control.stopping import Stop
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.lang.tape import Tape
from transect.linux import KernelDataError
from transect.memory import confirmation, metrics, watch
from transect.memory.findings import Said
from transect.memory.machine import Counts, Machine
from transect.memory.standard import of_file, standard
from transect.memory.watch import Event, Watch

HIDDEN = Said("hidden", (("pid", 66),))
OTHER = Said("hidden", (("pid", 67),))


class Scripted:
    """A probe whose rounds are written down: what each says, or why it cannot look."""

    runs_as: ClassVar = "a test"

    def __init__(self, program: Program, rounds: Sequence[Sequence[Said] | str]) -> None:
        self.program = program
        self.instance = Instance(program)
        self.rounds = list(rounds)

    def round(self, machine: Machine, tape: Tape | None = None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        now = self.rounds.pop(0) if self.rounds else ()
        if isinstance(now, str):
            raise KernelDataError(now)
        return tuple(now), ()


def watched(
    monkeypatch: pytest.MonkeyPatch,
    *rounds: Sequence[Said] | str,
    programs: Sequence[Program] = (),
    target: Target | None = None,
) -> tuple[Watch, list[Event]]:
    events: list[Event] = []
    machine = target or Target(strides)
    machine.counts = Counts(5, 9)
    monkeypatch.setattr(watch, "prepare", lambda program, *_: Scripted(program, rounds))
    chosen = programs or [standard()["HiddenTasks"]]
    made = Watch(cast(Machine, machine), chosen, events.append, every_s=0, draw=random.Random(1))
    made.run(Stop(), rounds=len(rounds) or 1)
    return made, events


def told(events: Sequence[Event]) -> list[tuple[str, Any]]:
    return [(e.kind, e.evidence.get("pid", e.what)) for e in events]


def test_one_round_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    made, events = watched(monkeypatch, [HIDDEN], [], [OTHER], [])
    assert told(events) == [] and made.findings == 0


def test_two_rounds_are_one_finding_and_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    made, events = watched(monkeypatch, [HIDDEN], [HIDDEN, OTHER], [HIDDEN], [], [])
    assert told(events) == [("found", 66), ("gone", 66)]
    assert made.findings == 0


def test_a_finding_that_flickers_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, events = watched(monkeypatch, [HIDDEN], [HIDDEN], [], [HIDDEN], [HIDDEN])
    assert told(events) == [("found", 66)] and made.findings == 1


def test_a_probe_that_cannot_look_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made, events = watched(monkeypatch, [], "no memory", "no memory", [HIDDEN], [HIDDEN])
    assert told(events) == [("unchecked", "no memory"), ("checked", "it can look again"), ("found", 66)]
    assert made.probes["HiddenTasks"].unchecked == 2


def test_what_is_found_stays_found_while_nobody_can_look(monkeypatch: pytest.MonkeyPatch) -> None:
    made, events = watched(monkeypatch, [HIDDEN], [HIDDEN], "gone away")
    assert made.findings == 1 and told(events)[-1] == ("unchecked", "gone away")


def test_a_target_that_stands_still_is_told_and_what_it_says_then_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confirmation, "PATIENCE_S", 0.0)
    made, events = watched(monkeypatch, [HIDDEN], [HIDDEN], [HIDDEN], target=(target := Target()))
    assert told(events) == [("unchecked", confirmation.STANDS_STILL)] and made.findings == 0
    made.probes["HiddenTasks"].runs = Scripted(made.probes["HiddenTasks"].program, [[HIDDEN], [HIDDEN]])
    target.grace += confirmation.GRACE << confirmation.STATE_BITS
    made.run(Stop(), rounds=2)
    assert told(events)[1:] == [("checked", "it can look again"), ("found", 66)]


def test_metrics_have_every_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = watched(monkeypatch, [HIDDEN], [HIDDEN])
    lines = metrics.text([made]).splitlines()
    assert 'transect_memory_findings{target="ram:x",probe="HiddenTasks"} 1' in lines
    assert 'transect_memory_rounds_total{target="ram:x",probe="HiddenTasks"} 2' in lines
    assert 'transect_memory_reads_total{target="ram:x"} 5' in lines


COUNTING = """
from transect.lang import Counter, counter
from transect.memory import Probe, linux
class Counting(Probe):
    seen: Counter = counter()
    def scan(self) -> None:
        self.seen.add()
"""


def test_what_a_probe_counts_is_in_status_and_metrics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    made, _ = watched(monkeypatch, [], programs=of_file(tmp_path / "counting.py"))
    made.probes["Counting"].prepared.instance.call("scan", [])
    (row,) = made.told()["state"]
    assert (row["element"], row["field"], row["value"]) == ("Counting", "seen", 1)
    lines = metrics.text([made]).splitlines()
    assert 'transect_memory_probe_counter_total{target="ram:x",probe="Counting",field="seen"} 1' in lines


PROBE = """
from transect.lang import Param, param
from transect.memory import Probe, linux
class Many(Probe):
    {field}
    def scan(self) -> None:
        if len({{t.address for t in linux.tasks()}}) > self.limit:
            self.report("many", limit=self.limit)
"""


def probe(tmp_path: Path, field: str) -> Path:
    path = tmp_path / "many.py"
    path.write_text(PROBE.format(field=field))
    return path


def test_parameters_are_set_and_live_through_an_upgrade(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = probe(tmp_path, "limit: Param[int] = param(5)")
    made, _ = watched(monkeypatch, programs=of_file(path))
    operated = Operated("memory", "watch", made)
    assert operated.set("limit", "9") == {"param": "Many.limit", "before": "5", "after": "9"}
    upgraded = operated.upgrade(str(probe(tmp_path, "limit: Param[int] = param(7)")))
    assert (upgraded["version"], upgraded["fields"]) == (2, {"Many.limit": "keep"})
    assert made.probes["Many"].prepared.instance.state["limit"] == 9


def test_a_version_with_errors_does_not_get_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, _ = watched(monkeypatch, programs=of_file(probe(tmp_path, "limit: Param[int] = param(5)")))
    before = made.probes["Many"]
    with pytest.raises(Refused, match="no state field"):
        made.upgrade(probe(tmp_path, ""), True)
    assert made.probes["Many"] is before


def test_status_names_target_and_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = watched(monkeypatch, [HIDDEN], [HIDDEN])
    told = made.told()
    assert told["details"] == {"target": "ram:x", "kernel": "9.9", "anchored": True}
    (row,) = told["policies"]
    assert (row["name"], row["counts"]) == ("HiddenTasks", {"rounds": 2, "found": 1, "unchecked": 0})


def test_state_that_could_not_go_back_is_refused_unless_that_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = probe(tmp_path, "limit: Param[int] = param(5)\n    seen: int = 0")
    made, _ = watched(monkeypatch, programs=of_file(path))
    newer = probe(tmp_path, "limit: Param[int] = param(5)")
    with pytest.raises(Refused, match="`seen` is dropped by the new version") as refused:
        made.upgrade(newer, True)
    assert "--no-return" in refused.value.hint and made.version == 1
    assert made.upgrade(newer, False).fields["Many.seen"] == "drop (the new version does not have it)"
