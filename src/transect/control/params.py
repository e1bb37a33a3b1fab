# SPDX-License-Identifier: Apache-2.0
"""Setting parameters of what runs: which one is meant, and the state with the new value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transect.base.diagnostic import closest
from transect.control.answers import Changed
from transect.control.protocol import Refused
from transect.core.codec import Reader, encode, stored
from transect.core.ir import FieldKind, Program, StateField
from transect.core.param_text import parse_value, show_value


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of one of the policies that run."""

    element: int
    program: Program
    field: StateField

    def parse(self, text: str) -> object:
        """The value that the text says.  Raises `Refused`."""
        try:
            return parse_value(text, self.field.type)
        except ValueError as wrong:
            raise Refused(
                str(wrong), f"`{self.field.name}` is `{show_value(self.default, self.field.type)}` at first"
            ) from wrong

    @property
    def default(self) -> Any:
        return getattr(self.field.default, "value", None)

    def put(self, value: object, seen: Callable[[object], None]) -> Callable[[bytes], bytes]:
        """A function from a state image to the same image with the new value; `seen` gets the value before."""

        def change(image: bytes) -> bytes:
            # No handler runs meanwhile.  Only the fields before this one are read, which are few if parameters come
            # first.
            reader = Reader(image)
            for f in stored(self.program.state):
                start = reader.at
                before = reader.value(f.type)
                if f.name == self.field.name:
                    seen(before)
                    return image[:start] + encode(f.type, value) + image[reader.at :]
                reader.integer(8)  # overflow
            raise AssertionError(f"{self.program.name} keeps no field {self.field.name}")

        return change

    def swapped(self, swap: Callable[[int, Callable[[bytes], bytes]], None], value: object) -> object:
        """Put the value in force, and return the value before.  `swap` replaces a policy's image by a function of
        it.
        """
        before: list[object] = []
        swap(self.element, self.put(value, before.append))
        return before[-1]

    def changed(self, before: object, after: object) -> Changed:
        """The answer of `set`."""
        t = self.field.type
        return {
            "param": f"{self.program.name}.{self.field.name}",
            "before": show_value(before, t),
            "after": show_value(after, t),
        }


def find(programs: Sequence[Program], name: str) -> Param:
    """The parameter `limit`, or `Acl.limit` where several policies have one.  Raises `Refused`."""
    owner, _, field = name.rpartition(".")
    params = [Param(i, p, f) for i, p in enumerate(programs) for f in p.state if f.kind is FieldKind.PARAM]
    found = [p for p in params if p.field.name == field and owner in ("", p.program.name)]
    names = [f"{p.program.name}.{p.field.name}" for p in params]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(
            f"several policies have `{field}`",
            f"say which: {', '.join(n for n in names if n.endswith('.' + field))}",
        )
    close = closest(name, [*names, *(p.field.name for p in params)])
    raise Refused(
        f"no parameter `{name}`",
        f"did you mean {close}?" if close else f"there are {', '.join(names) or 'none'}",
    )
