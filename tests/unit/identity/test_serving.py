# SPDX-License-Identifier: Apache-2.0
"""Threads say whom they work for where a scheduler listens, and say nothing elsewhere."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from tests.unit.cpu.policies import example
from tests.unit.identity.door import Scheduler, attached, until
from transect.base.tenant import number_of
from transect.cpu.hints.schema import heard
from transect.identity import speaking as module
from transect.identity.speaking import KIND, Speaker

ALICE, BOB = number_of("alice"), number_of("bob")


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSECT_HINTS", str(tmp_path / "hints"))
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    return tmp_path / "hints"


@pytest.fixture
def scheduler(door: Path) -> Iterator[Scheduler]:
    found = Scheduler(door)
    yield found
    found.close()


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    found = Speaker()
    yield found
    until(lambda: not math.isinf(found._look_at))
    found.close()


def test_it_is_the_hint_that_the_scheduler_takes() -> None:
    form = heard(example("by_tenant"))
    assert form is not None and form.kind == KIND


def test_a_thread_says_whom_it_works_for_until_when_and_since_when(
    scheduler: Scheduler, speaker: Speaker
) -> None:
    attached(speaker)
    before, began = len(scheduler.said()), time.monotonic_ns()
    with speaker.serving("alice", 12.5):
        with speaker.serving("bob", None):
            pass
        with speaker.serving("alice", 12.5):
            pass  # nothing new
    said = scheduler.said()[before:]
    assert [(tenant, end) for _, tenant, end, _ in said] == [
        (ALICE, 12_500_000_000),
        (BOB, 0),
        (ALICE, 12_500_000_000),
        (0, 0),
    ]
    assert {thread for thread, *_ in said} == {threading.get_native_id()}
    times = [began, *(since for *_, since in said), time.monotonic_ns()]
    assert times == sorted(times)


def test_it_ends_with_its_block_also_by_an_exception(scheduler: Scheduler, speaker: Speaker) -> None:
    attached(speaker)
    with pytest.raises(ValueError), speaker.serving("alice", None):
        raise ValueError
    assert scheduler.said()[-1][1] == 0


def test_threads_speak_for_themselves_and_anonymous_is_nobody(scheduler: Scheduler, speaker: Speaker) -> None:
    attached(speaker)
    before = len(scheduler.said())

    def work(tenant: str) -> None:
        for _ in range(50):
            with speaker.serving(tenant, None):
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in ("alice", "bob", "anonymous")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = scheduler.said()[before:]
    for thread, number in zip(threads, (ALICE, BOB), strict=False):
        assert [tenant for t, tenant, *_ in said if t == thread.native_id] == [number, 0] * 50
    assert len(said) == 200


def test_tasks_of_one_thread_say_at_each_step_whom_it_works_for(
    scheduler: Scheduler, speaker: Speaker
) -> None:
    attached(speaker)
    before = len(scheduler.said())

    async def work(name: str) -> str:
        await asyncio.sleep(0)
        return name

    async def main() -> list[str]:
        tasks = [speaker.serving_task(name, 7.0, work(name)) for name in ("alice", "bob", "anonymous")]
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ["alice", "bob", "anonymous"]
    said = [(tenant, end) for _, tenant, end, _ in scheduler.said()[before:]]
    assert (
        said == [(ALICE, 7_000_000_000), (0, 0), (BOB, 7_000_000_000), (0, 0), (0, 7_000_000_000), (0, 0)] * 2
    )


def test_a_task_hears_of_what_happens_while_it_waits(scheduler: Scheduler, speaker: Speaker) -> None:
    attached(speaker)
    ended = []

    async def work() -> str:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        finally:
            ended.append("ended")
        raise AssertionError

    async def cancelled() -> None:
        task = asyncio.ensure_future(speaker.serving_task("alice", None, work()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def refused() -> None:
        async def wrong() -> None:
            await asyncio.sleep(0)
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await speaker.serving_task("alice", None, wrong())

    asyncio.run(cancelled())
    asyncio.run(refused())
    assert ended == ["cancelled", "ended"] and scheduler.said()[-1][1] == 0


def test_a_task_that_is_closed_ends_what_it_runs(scheduler: Scheduler, speaker: Speaker) -> None:
    attached(speaker)
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            ended.append(True)

    async def begin() -> None:
        steps = speaker.serving_task("alice", None, work()).__await__()
        next(steps)
        steps.close()

    asyncio.run(begin())
    assert ended == [True]


def test_replies_of_a_generator_are_steps_too(scheduler: Scheduler, speaker: Speaker) -> None:
    attached(speaker)

    async def replies() -> AsyncGenerator[int, None]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    async def main() -> list[int]:
        found: list[int] = []
        they = replies()
        while True:
            try:
                found.append(await speaker.serving_task("bob", None, they.__anext__()))
            except StopAsyncIteration:
                return found

    before = len(scheduler.said())
    assert asyncio.run(main()) == [1, 2]
    assert [tenant for _, tenant, *_ in scheduler.said()[before:]] == [BOB, 0] * 4


def test_a_task_runs_unchanged_where_no_scheduler_listens(speaker: Speaker, door: Path) -> None:
    async def work() -> int:
        return 3

    same = work()
    assert speaker.serving_task("alice", None, same) is same
    assert asyncio.run(same) == 3


def test_where_no_scheduler_listens_nothing_is_said_until_one_does(door: Path, speaker: Speaker) -> None:
    for _ in range(100):
        with speaker.serving("alice", None):
            time.sleep(0.0005)
    assert speaker._scheduler is None
    first = Scheduler(door)
    attached(speaker)
    first.close()
    door.unlink()
    second = Scheduler(door)

    def heard_again() -> bool:
        with speaker.serving("alice", None):
            return bool(second.said())

    until(heard_again)
    assert {tenant for _, tenant, *_ in second.said()} <= {ALICE, 0}
    second.close()


def test_a_child_has_a_place_of_its_own(scheduler: Scheduler) -> None:
    attached(module._speaker)
    pid = os.fork()
    if not pid:
        os._exit(0 if module._speaker._scheduler is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert module._speaker._scheduler is not None
    module._speaker.close()


def test_a_scheduler_that_does_not_answer_holds_up_nobody(door: Path, speaker: Speaker) -> None:
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    deaf.bind(str(door))
    deaf.listen()
    began = time.monotonic()
    for _ in range(20):
        with speaker.serving("alice", None):
            pass
    assert time.monotonic() - began < 5 and speaker._scheduler is None
    deaf.close()
