# SPDX-License-Identifier: Apache-2.0
"""What of one version's queues the next one has to have."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.cpu.built import Built
from transect.cpu.handover import check_queues
from transect.cpu.version import Kept


def built(*queues: tuple[str, str]) -> Built:
    return Built(name="P", source="", object=Path(), schema={"hash": ""}, queues=queues)


READY = built(("ready", "Fifo"))


def test_a_version_may_have_more_queues() -> None:
    check_queues(READY, built(("late", "Timeline"), ("ready", "Fifo")))


@pytest.mark.parametrize(
    ("new", "why", "hint"),
    [
        (
            built(("waiting", "Fifo")),
            "tasks may wait in the queue `ready`, which the new version does not have",
            "declare `ready: Fifo = given()` there, and dispatch from it; or end this version, and run the new one",
        ),
        (
            built(("ready", "Timeline")),
            "tasks may wait in the queue `ready`, which is a Fifo, and a Timeline in the new version",
            "give the Timeline another name, declare `ready: Fifo = given()` beside it, and dispatch from both; "
            "or end this version, and run the new one",
        ),
    ],
)
def test_a_queue_in_which_tasks_may_wait_stays_what_it_is(new: Built, why: str, hint: str) -> None:
    with pytest.raises(Kept) as kept:
        check_queues(READY, new)
    assert (kept.value.why, kept.value.hint) == (why, hint)
