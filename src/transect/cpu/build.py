# SPDX-License-Identifier: Apache-2.0
"""From a checked scheduler to an object that a kernel loads, and a file with what its loader must know.

`NAME.o` and `NAME.json` are all that is needed where the scheduler runs: no compiler, no source.
"""

from __future__ import annotations

import json
from pathlib import Path

from transect.core import ir
from transect.core.frontend.contracts import contracted
from transect.core.ir import FieldKind, Program
from transect.core.schema import schema
from transect.core.types import ArrayType, KeyType, OptionType, TableType, spell
from transect.cpu import arbiter
from transect.cpu.built import Built, Place
from transect.cpu.program import PREFIX, emit
from transect.cpu.scheduler import Scheduler
from transect.emit.bpf.recording import words_at_most
from transect.emit.bpf.toolchain import BuildError, clang, compiled
from transect.emit.bpf.unit import Unit
from transect.emit.bpf.values import words

SWITCH_PARTIAL = 1 << 3  # SCX_OPS_SWITCH_PARTIAL

__all__ = ["BuildError", "build", "build_shim", "clang", "compiled", "layout"]


def build(program: Program, folder: Path, stem: str = PREFIX, *, recording: bool = False) -> Built:
    """Compile into the folder.  Raises `Unavailable` without clang, `BuildError`.

    `recording`: make an object that records its every call.
    """
    scheduler = Scheduler.of(program, recording=recording)
    emit(scheduler).write(folder)
    tape = max(1, words_at_most(scheduler.flat)) if recording else 0
    defines = {"TS_TAPE": tape} if recording else {}
    target = compiled(folder / f"{PREFIX}.bpf.c", folder / f"{stem}.o", **defines)
    places, start = layout(program)
    waiting = ((arbiter.WAITING, "Timeline"),) if program.base == arbiter.BASE else ()
    built = Built(
        name=program.name,
        source=program.source_hash,
        object=target,
        schema=schema(program).to_json(),
        places=places,
        start=start,
        ops=scheduler.ops,
        queues=(*waiting, *((f.name, getattr(f.type, "name", "")) for f in scheduler.queues)),
        own=_kept(scheduler),
        needs=scheduler.needs,
        tape=tape,
        hears=tuple((m.name, m.numbers) for m in [scheduler.hears] if m),
        tells=tuple((m.name, m.numbers) for m in scheduler.tells),
        counts=scheduler.counts,
        conditions=tuple(
            (c.hook, c.function.span.path, c.function.span.line) for c in contracted(program).contracts
        ),
    )
    (folder / f"{stem}.json").write_text(json.dumps(built.to_json()))
    return built


def _kept(scheduler: Scheduler) -> str:
    """What is kept for each task.  A policy that asks how much tasks have used keeps this, too, since what another
    version kept would be out of date.
    """
    fields = [f"{f.name}: {spell(f.type)}" for f in scheduler.program.state if f.kind is FieldKind.LOCAL]
    return ", ".join([*fields, *(["used"] if "enable" in scheduler.ops else [])])


def build_shim(folder: Path, *, partial: bool = False, hears_all: bool = False) -> Path:
    """Compile the shim, which stays attached; the folder has the runtime's files already.

    `hears_all`: it passes `dequeue`, `wake` and `sleep` on, too, which slows down every policy behind it.  `partial`:
    it has only the tasks that opted in, those of the class SCHED_EXT; the others stay with the default scheduler.
    """
    defines = {"TS_FLAGS": SWITCH_PARTIAL if partial else 0} | ({"TS_ALL": 1} if hears_all else {})
    name = "shim" + "-partial" * partial + "-all" * hears_all
    return compiled(folder / "shim.bpf.c", folder / f"{name}.o", **defines)


def layout(program: Program) -> tuple[tuple[Place, ...], tuple[int, ...]]:
    """The place of each field, as `emit.bpf.unit` declares it, and the state's words at first."""
    places: list[Place] = []
    start = [1]  # `ready`
    unit = Unit(program, PREFIX)
    unit.structs()  # this gives names to all members
    stored = [f for f in program.state if f.kind in (FieldKind.STATE, FieldKind.PARAM)]
    for f in stored:
        match f.type:
            case TableType(key=KeyType()):
                continue  # it is a word of each task
            case TableType():
                places.append(Place(f.name, 0, 0, unit.table_name(f.name)))
                continue
            case ArrayType(item=item, length=length):
                values = [_word(f.default)] * length * words(item)
            case OptionType():
                values = [0, 0] if _is_none(f.default) else [1, _word(f.default)]
            case _:
                values = [_word(f.default)]
        places.append(Place(f.name, len(start), len(values)))
        start += values
    return tuple(places), tuple(start) + (0,) * sum(place.words == 0 for place in places)


def _is_none(default: ir.Expr | None) -> bool:
    return default is None or (isinstance(default, ir.Const) and default.value is None)


def _word(default: ir.Expr | None) -> int:
    value = getattr(default, "value", 0)
    if isinstance(value, ir.Const):  # Some(constant)
        value = value.value
    return int(value) % 2**64 if isinstance(value, int) else 0
