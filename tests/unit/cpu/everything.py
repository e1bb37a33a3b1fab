# SPDX-License-Identifier: Apache-2.0
"""A scheduler that has every hook and calls every function that schedulers have."""

from __future__ import annotations

from transect.cpu import (
    Fifo,
    Fifos,
    Hint,
    Lanes,
    NodeFifos,
    NodeTimelines,
    Said,
    Scheduler,
    Task,
    Timeline,
    Timelines,
    cpus,
    here,
    idle_cpu,
    node_of,
    nodes,
    preempt,
    set_alarm,
    start,
    start_first,
    wake_cpu,
)
from transect.lang import Local, as_int, as_u64, given, hash64, local, ms, now, rand_below, us


class Wish(Hint):
    level: int


class Everything(Scheduler):
    fifo: Fifo = given()
    line: Timeline = given()
    fifos: Fifos = given()
    lines: Timelines = given()
    near: NodeFifos = given()
    nearer: NodeTimelines = given()
    lanes: Lanes = given()
    turn: int = 0
    heard: int = 0
    since: int = 0
    level: Local[int] = local(0)

    def enter(self, task: Task) -> None:
        task.set_time(task.weight + task.movable)

    def select(self, task: Task, cpu: int) -> int:
        idle = idle_cpu(task, cpu)
        if idle is not None:
            start(task)
            return idle
        return cpu if task.may_run(cpu) else task.cpu

    def enqueue(self, task: Task) -> None:
        self.turn += 1
        which = (rand_below(10) + as_int(hash64(self.turn, as_u64(task.cpu)) % 3)) % 10
        if which == 0:
            self.fifo.put(task)
        elif which == 1:
            self.fifo.put_for(task, ms(2))
        elif which == 2:
            self.line.put(task, task.time() + task.used())
        elif which == 3:
            self.line.put_for(task, task.time(), ms(3))
        elif which == 4:
            self.fifos.on(task.cpu).put(task)
        elif which == 5:
            self.lines.on(here() + self.turn % 2).put(task, task.pid)
        elif which == 6:
            self.near.on(node_of(task.cpu)).put(task)
        elif which == 7:
            self.nearer.on(self.turn % nodes()).put_for(task, task.process, us(700))
        elif which == 8:
            self.lanes.on(self.turn).put(task, task.pid)
        else:
            start_first(task)
        wake_cpu(task.cpu)

    def dequeue(self, task: Task) -> None:
        self.turn += 1

    def keep(self, task: Task, cpu: int) -> bool:
        return self.fifo.length() + self.line.length() == 0 and rand_below(2) == 0

    def dispatch(self, cpu: int) -> None:
        if self.line.first(1 << 60) < 1 << 60 and self.line.take():
            return
        if self.fifo.take() or self.fifos.on(cpu).take() or self.lines.on(cpu).take():
            return
        if self.near.on(node_of(cpu)).take() or self.nearer.on(node_of(cpu)).take():
            return
        if self.fifos.steal(cpu) or self.lines.steal(cpu):
            return
        if self.lanes.on(self.turn - 1).take() or self.lanes.steal(self.turn):
            return
        if not self.near.steal(node_of(cpu)):
            self.nearer.steal(node_of(cpu))

    def running(self, task: Task) -> None:
        self.since = as_int(now())
        set_alarm(ms(1))

    def stopping(self, task: Task, runnable: bool) -> None:
        self.heard += 1 if runnable else 0

    def tick(self, task: Task) -> None:
        self.level += 1

    def alarm(self, cpu: int) -> None:
        preempt((cpu + 1) % cpus())

    def wake(self, task: Task) -> None:
        self.turn += 1

    def sleep(self, task: Task) -> None:
        self.turn += 1

    def weight(self, task: Task) -> None:
        self.level = task.weight

    def affinity(self, task: Task) -> None:
        self.level = task.movable

    def hint(self, task: Task, said: Said[Wish]) -> None:
        self.level = said.hint.level
        self.tell(task.process, "taken", level=said.hint.level)

    def detach(self, process: int) -> None:
        self.heard = process

    def leave(self, task: Task) -> None:
        self.turn += 1
