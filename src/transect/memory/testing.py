# SPDX-License-Identifier: Apache-2.0
"""Probes without a machine: a test says what the roots and questions of `transect.memory.linux` answer.

shown, hidden = linux.Task(address=1, pid=1), linux.Task(address=2, pid=66)
assert reports("hidden.py", tasks=[shown], pid_table=[shown, hidden]) == [("hidden task", {"pid": 66})]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transect.core.interp import Instance
from transect.core.ir import FieldKind
from transect.memory.standard import of_file

Told = tuple[str, dict[str, Any]]
"""What was reported, and its evidence."""


def reports(path: Path | str, probe: str = "", **answers: Any) -> list[Told]:
    """What a probe reports in one round.

    `answers`: by the name of a function of `linux`, what it returns (or a function of its arguments); by the name of a
    `given()` field, the object.  A file with several probes needs the name
    of one.  Raises `Refused` when it has errors.
    """
    programs = of_file(Path(path))
    program = next((p for p in programs if p.name == (probe or programs[0].name)), None)
    if program is None:
        raise KeyError(f"there is no probe {probe} in {path}")
    instance, said = Instance(program), list[Told]()

    def say(what: str, *rest: Any) -> None:
        said.append((what, dict(zip(rest[::2], rest[1::2], strict=True))))

    functions: dict[str, Callable[..., Any]] = {
        "memory.Probe.report": say,
        "memory.Probe.caught": say,
        "memory.Probe.show": lambda *_: None,
    }
    for name, value in answers.items():
        functions[f"memory.{name}"] = value if callable(value) else lambda *_, value=value: value
    for f in program.state:
        if f.kind is FieldKind.GIVEN and f.name in answers:
            instance.state[f.name] = answers[f.name]
    instance.call("scan", [], functions=functions)
    return said
