# SPDX-License-Identifier: Apache-2.0
"""What of a probe's walks and conditions runs in the network, and what does not."""

from __future__ import annotations

import pytest

from transect.core.frontend import compile_text
from transect.memory.chaser.walk_sites import WORD, Compared, Filter, Site, sites
from transect.memory.standard import standard

HEAD = (
    "from typing import Final\nfrom transect.lang import as_u64\nfrom transect.memory import Probe, linux\n"
)


def of(body: str) -> tuple[Site, ...]:
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    text = f"{HEAD}class P(Probe):\n    def scan(self) -> None:\n{lines}"
    return sites(compile_text(text).program("P"))


def condition(text: str) -> Filter:
    (site,) = of(f"for t in linux.tasks():\n    if {text}:\n        self.show('x', pid=t.pid)")
    return site.filter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t.uid == 0", Filter((Compared("uid", 0, 0),))),
        ("t.uid != 7", Filter((Compared("uid", 7, 7, True),))),
        ("t.uid < 10", Filter((Compared("uid", 0, 9),))),
        ("t.uid >= 10", Filter((Compared("uid", 10, WORD),))),
        ("t.pid == -1", Filter((Compared("pid", WORD, WORD),))),
        ("t.pid < 10", Filter(rest=1)),  # signed
        ("t.uid < 0", Filter(rest=1)),
        ("t.memory is not None", Filter((Compared("memory", 1, WORD),))),
        ("as_u64(t.flags) & 6 != 0", Filter((Compared("flags", 0, 0, True, 6),))),
        ("t.uid == 0 and t.comm == b'init'", Filter((Compared("uid", 0, 0),), rest=1)),
        ("t.uid == 0 or t.gid == 0", Filter(rest=1)),
        ("t.parent.uid != 0", Filter(rest=1)),
    ],
)
def test_a_condition_is_tested_on_the_way_or_left_to_the_observer(text: str, expected: Filter) -> None:
    assert condition(text) == expected


def test_a_loop_that_does_more_than_one_condition_keeps_all_elements() -> None:
    (site,) = of(
        "for t in linux.tasks():\n    if t.uid == 0:\n        self.show('x')\n    else:\n        self.show('y')"
    )
    assert site.filter == Filter()


def test_sets_are_filled_by_one_walk_and_asked_by_another() -> None:
    modules, objects, _ = sites(standard()["HiddenModules"])
    assert modules.fills == ("listed", "address")
    assert objects.filter == Filter((Compared("module", 1, WORD),), ("module", "listed"))


def test_a_walk_that_runs_any_number_of_times_is_no_site() -> None:
    assert (
        of("for t in linux.tasks():\n    for m in linux.modules():\n        self.show('x')")[0].text
        == "tasks()"
    )
    assert len(of("for t in linux.tasks():\n    for m in linux.modules():\n        self.show('x')")) == 1
    assert of("if True:\n    for t in linux.tasks():\n        self.show('x')") == ()


def test_walks_of_one_container_are_counted() -> None:
    found = of("for t in linux.tasks():\n    self.show('x')\nfor t in linux.tasks():\n    self.show('y')")
    assert [(s.text, s.number) for s in found] == [("tasks()", 0), ("tasks()", 1)]
