# SPDX-License-Identifier: Apache-2.0
"""Views and functions of `hooks.py` in BPF: which function of `runtime/scx.h` each one is."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from transect.base.span import Span
from transect.core import ir
from transect.core.types import Type, ViewType
from transect.cpu.context import is_cpu
from transect.cpu.counters import ON, ON_NODE, counted, sites
from transect.cpu.hints.schema import BASE, TELL, message_of
from transect.emit.c import tree as c

CALL = c.Name("call")
MARK = c.Unary("&", c.arrow("own", "ran"))

SCOPES = {  # how many queues a field is: a number of `ts_many`
    "Fifo": 0, "Timeline": 0, "Fifos": 1, "Timelines": 1, "NodeFifos": 2, "NodeTimelines": 2,
    "Lanes": 3,
}  # fmt: skip

# The functions in the first column also take what belongs to the call.
WITH_CALL = {
    "cpu.Fifo.put": "ts_put",
    "cpu.Fifo.put_for": "ts_put_for",
    "cpu.Timeline.put": "ts_put_at",
    "cpu.Timeline.put_for": "ts_put_at_for",
    "cpu.start": "ts_start",
    "cpu.start_first": "ts_start_first",
    "cpu.idle_cpu": "ts_idle_cpu",
}
PLAIN = {
    "cpu.Fifo.take": "ts_take",
    "cpu.Timeline.take": "ts_take",
    "cpu.Fifo.length": "ts_length",
    "cpu.Timeline.length": "ts_length",
    "cpu.Timeline.first": "ts_first",
    "cpu.Fifos.on": "ts_on",
    "cpu.Timelines.on": "ts_on",
    "cpu.NodeFifos.on": "ts_on_node",
    "cpu.NodeTimelines.on": "ts_on_node",
    "cpu.Fifos.steal": "ts_steal",
    "cpu.Timelines.steal": "ts_steal",
    "cpu.NodeFifos.steal": "ts_steal_node",
    "cpu.NodeTimelines.steal": "ts_steal_node",
    "cpu.Lanes.on": "ts_lane",
    "cpu.Lanes.steal": "ts_steal_lane",
    "cpu.here": "bpf_get_smp_processor_id",
    "cpu.nodes": "scx_bpf_nr_node_ids",
    "cpu.node_of": "ts_node_of",
    "cpu.Task.time": "ts_time",
    "cpu.Task.set_time": "ts_set_time",
    "cpu.Task.may_run": "ts_may_run",
    "cpu.cpus": "scx_bpf_nr_cpu_ids",
    "cpu.preempt": "ts_preempt",
    "cpu.set_alarm": "ts_set_alarm",
    "cpu.wake_cpu": "ts_wake_cpu",
    "cpu.broken": "ts_broken",
}

# What each function needs of the kernel; the loader looks for it.
KERNEL = {
    "cpu.Fifo.put": "scx_bpf_dsq_insert",
    "cpu.Fifo.put_for": "scx_bpf_dsq_insert",
    "cpu.Fifo.take": "scx_bpf_dsq_move_to_local",
    "cpu.Timeline.put": "scx_bpf_dsq_insert_vtime",
    "cpu.Timeline.put_for": "scx_bpf_dsq_insert_vtime",
    "cpu.Timeline.take": "scx_bpf_dsq_move_to_local",
    "cpu.Timeline.first": "scx_bpf_dsq_peek",
    "cpu.Fifos.steal": "scx_bpf_dsq_move_to_local",
    "cpu.Timelines.steal": "scx_bpf_dsq_move_to_local",
    "cpu.Lanes.steal": "scx_bpf_dsq_move_to_local",
    "cpu.NodeFifos.on": "scx_bpf_nr_node_ids",
    "cpu.NodeTimelines.on": "scx_bpf_nr_node_ids",
    "cpu.NodeFifos.steal": "scx_bpf_nr_node_ids",
    "cpu.NodeTimelines.steal": "scx_bpf_nr_node_ids",
    "cpu.nodes": "scx_bpf_nr_node_ids",
    "cpu.node_of": "scx_bpf_cpu_node",
    "cpu.Fifo.length": "scx_bpf_dsq_nr_queued",
    "cpu.Timeline.length": "scx_bpf_dsq_nr_queued",
    "cpu.idle_cpu": "scx_bpf_select_cpu_dfl",
    "cpu.start": "scx_bpf_dsq_insert",
    "cpu.start_first": "scx_bpf_dsq_insert",
    "cpu.preempt": "scx_bpf_kick_cpu",
    "cpu.wake_cpu": "scx_bpf_kick_cpu",
}


def queue_number(name: str) -> int:
    """A number of 32 bits made from its name, so that a later version of the policy finds the same queue."""
    return zlib.crc32(name.encode())


def queue_of(field: ir.StateField) -> c.Expr:
    """The kernel's name of a queue; if the field is many queues, that of the first one."""
    return c.call("TS_QUEUE", c.Integer(queue_number(field.name), "u"), c.ZERO)


def many_of(field: ir.StateField) -> c.Expr:
    """How many queues the field is: a number of `ts_many`."""
    assert isinstance(field.type, ViewType), f"no queue: {field}"
    return c.Integer(SCOPES[field.type.name])


LANES = 64  # TS_LANES


class Kernel:
    """The platform of schedulers, for a function of one of them."""

    def __init__(self, program: ir.Program, function: ir.Function) -> None:
        self.function = function
        self.counters = {site: n for n, site in enumerate(sites(program))}
        self.hints = {v.name: [m.name for m in v.members] for v in program.views if v.base == BASE}

    def view_type(self, t: Type) -> c.CType:
        if isinstance(t, ViewType) and t.name in SCOPES:
            return c.Named("u64")
        if isinstance(t, ViewType) and (t.name == "Said" or t.name in self.hints):
            return c.Pointer(c.Named("s64"))
        return c.pointer("task_struct")

    def view_field(self, view: str, name: str, base: c.Expr) -> c.Expr:
        if view == "Said":
            return base
        if view in self.hints:
            return c.Index(base, c.Integer(self.hints[view].index(name)))
        assert view == "Task", f"no view {view} in a scheduler"
        match name:
            case "cpu":
                return c.call("ts_cpu", base)
            case "weight":
                return c.Cast(c.Named("s64"), c.dot(c.Member(base, "scx", arrow=True), "weight"))
            case "movable":
                return c.call("ts_movable", base)
            case "process":
                return c.Cast(c.Named("s64"), c.Member(base, "tgid", arrow=True))
            case _:
                return c.Cast(c.Named("s64"), c.Member(base, name, arrow=True))

    def intrinsic(self, e: ir.Intrinsic, args: Sequence[c.Expr]) -> c.Expr:
        name = e.name
        if name == TELL:
            return c.call("TS_TELL", args[0], c.Integer(message_of(e).kind, "u"), *args[1:])
        if name == "cpu.Task.used":
            return c.call("ts_used", MARK, *args)
        if name == "cpu.idle_cpu" and not is_cpu(e.args[1], self.function):
            # The kernel would end a scheduler that asks for a CPU near one that does not exist.
            args = [args[0], c.call("ts_cpu_or", args[1], c.call("ts_cpu", args[0]))]
        what = counted(e, self.function)
        if name in (*ON, *ON_NODE) and not what:
            return c.call("ts_at", *args)
        if what in ("stolen", "beyond"):
            return c.call(PLAIN[name], *args, self.counter(what, e.span))
        if name in WITH_CALL:
            put = WITH_CALL[name]
            placed = (
                c.call("TS_PLACED", self.counter(what, e.span), c.Name(put), CALL, *args) if what else None
            )
            return placed or c.call(put, CALL, *args)
        return c.call(PLAIN[name], *args)

    def counter(self, what: str, span: Span) -> c.Expr:
        """The counter of that event on that line."""
        number = self.counters[what, span.path, span.line]
        return c.address(c.Index(c.Name("ts_counters"), c.Integer(number)))

    def given(self, field: ir.StateField) -> c.Expr:
        return queue_of(field)

    def now(self) -> c.Expr:
        return c.call("ts_now", CALL)
