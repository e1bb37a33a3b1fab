# SPDX-License-Identifier: Apache-2.0
"""Random handlers mean in the kernel what the interpreter says: 20,480 calls of 40 programs, by their state."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.systems.cpu.random_handlers import arguments, handler
from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.types import ArrayType, OptionType, TableType
from transect.cpu.build import compiled, layout
from transect.cpu.check import check
from transect.cpu.machine import Bench
from transect.cpu.program import emit
from transect.cpu.scheduler import Scheduler

HERE = Path(__file__).parent
PROGRAMS, BATCHES, CALLS = 40, 8, 64


def program(seed: int) -> Program:
    made = compile_text(handler(seed), "p.py")
    assert not made.diagnostics.failed, render_text(made.diagnostics, made.sources)
    (found,) = made.programs
    assert not check(found)
    return found


def words(policy: Program, instance: Instance) -> list[int]:
    """The interpreter's state as the words that BPF keeps."""
    found: list[int] = [1]
    for f in policy.state:
        value: Any = instance.state[f.name]
        match f.type:
            case TableType():
                continue
            case _ if f.kind is FieldKind.GIVEN:
                continue
            case ArrayType(length=length):
                found += [int(value[n]) for n in range(length)]
            case OptionType():
                found += [0] if value is None else [1, int(value)]
            case _:
                found.append(int(value))
    return found


def kept(policy: Program, raw: list[int]) -> list[int]:
    """What BPF keeps, read as the language reads it: narrow words are cut, an empty option has no value."""
    places, _ = layout(policy)
    found = [1]
    for place in places:
        f = policy.field(place.field)
        own = raw[place.word : place.word + place.words]
        if isinstance(f.type, OptionType):
            found += own if own[0] else [0]
        elif place.words:
            t = f.type.item if isinstance(f.type, ArrayType) else f.type
            found += [cut(word, t) for word in own]
    return found


def cut(word: int, t: object) -> int:
    bits, signed = getattr(t, "bits", 64), getattr(t, "signed", True)
    value = word % 2**bits
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value


def objects(folder: Path) -> list[tuple[int, Program, Path]]:
    """Each program's object, with the calls in place of the kernel's operations."""
    found = []
    for seed in range(PROGRAMS):
        policy = program(seed)
        emit(Scheduler.of(policy)).write(folder)
        source = folder / "policy.bpf.c"
        lines = [
            line
            for line in source.read_text().splitlines()
            if not line.startswith(('#include "ops/', "TS_SCHEDULER"))
        ]
        source.write_text("\n".join([*lines, (HERE / "calls.h").read_text()]))
        found.append((seed, policy, compiled(source, folder / f"p{seed}.o")))
    return found


def test_handlers_mean_in_the_kernel_what_the_interpreter_says(machine: Bench) -> None:
    folder = machine.folder / "meaning"
    made = objects(folder)
    batches = {seed: [arguments(seed * 100 + n, CALLS) for n in range(BATCHES)] for seed, _, _ in made}
    requests = folder / "requests"
    requests.write_text(
        "\n".join(
            json.dumps({"object": str(path), "start": layout(policy)[1], "batches": batches[seed]})
            for seed, policy, path in made
        )
    )
    source = str(HERE.parents[2] / "src")
    command = [str(machine.vm.setup.python), "-s", "-S", str(HERE / "calls.py"), str(requests)]
    done = machine.vm.run(command, env={"PYTHONPATH": source}, limit_s=480)
    answers = [json.loads(line) for line in done.text.splitlines()]
    assert len(answers) == PROGRAMS, done.stderr.decode()
    wrong = [
        seed
        for (seed, policy, _), answer in zip(made, answers, strict=True)
        if differs(seed, policy, answer, batches[seed])
    ]
    assert wrong == []


def differs(seed: int, policy: Program, answer: dict[str, list[int]], batches: list[list[int]]) -> bool:
    assert "error" not in answer, f"seed {seed}: {answer['error']}"
    instance = Instance(policy)
    for batch in batches:
        for argument in batch:
            instance.call("alarm", [argument])
    expected, got = words(policy, instance), kept(policy, answer["words"])
    if expected != got and os.environ.get("SHOW"):
        print(seed, expected, got, sep="\n")
    return expected != got


def test_the_comparison_sees_one_wrong_word() -> None:
    policy = program(1)
    instance = Instance(policy)
    right = words(policy, instance)
    _, start = layout(policy)
    raw = [word for (word,) in struct.iter_unpack("=q", b"".join(struct.pack("=Q", w) for w in start))]
    assert kept(policy, raw) == right
    raw[1] += 1
    assert kept(policy, raw) != right


@pytest.mark.parametrize("seed", range(100, 160))
def test_random_handlers_are_legal(seed: int) -> None:
    program(seed)
