# SPDX-License-Identifier: Apache-2.0
"""Replaces a running stack by a new version: all of it, or nothing.

Everything is read and checked before anything changes.  Then parts change in their order; if one refuses, those that
have changed go back, the last one first, and the stack is as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import assert_never

from transect.base.render import render_text
from transect.base.unavailable import Unavailable
from transect.control import Client, ControlError, Refused
from transect.stack.changes import Change, What, changes
from transect.stack.file import read_stack
from transect.stack.model import Part, StackFile
from transect.stack.running import NotBegun, Running

PATIENCE_S = 60.0  # for a part to change: it compiles, and tries itself


def read_next(path: Path, name: str) -> StackFile:
    """The next version.  Raises `Refused` with the diagnostics."""
    read = read_stack(path, name)
    if read.stack is None:
        shown = render_text(read.diagnostics, read.sources)
        raise Refused(f"the new version is not understood\n{shown}", f"transect check {path}")
    return read.stack


class Undo:
    """The steps that put the stack back, which run from the last to the first."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def add(self, what: str, step: Callable[[], object]) -> None:
        self._steps.append((what, step))

    def run(self) -> list[str]:
        """Run every step, even after one has failed.  Returns what could not be undone."""
        failed = []
        for what, step in reversed(self._steps):
            try:
                step()
            except (Refused, Unavailable, ControlError, NotBegun) as wrong:
                failed.append(f"{what}: {wrong}")
        return failed


@dataclass
class Upgrade:
    """One upgrade of the whole, under way."""

    running: Running
    new: StackFile
    automatic_return: bool
    fields: dict[str, str] = field(default_factory=dict)  # what became of each field of the state
    undo: Undo = field(default_factory=Undo)

    def run(self) -> Mapping[str, str]:
        """Upgrade all parts.  Returns what happened to each.  Raises `Refused`: then the stack is as it was, or the
        text says which parts are not.
        """
        with self.running.lock:
            found = changes(self.running.stack, self.new)
            try:
                self._put(found)
            except (Refused, Unavailable, ControlError, NotBegun) as wrong:
                raise self._refused(wrong, self.undo.run()) from wrong
            for change in found:
                if change.what is What.GONE:
                    self.running.remove(change.name)
            self.running.stack = self.new
            return {change.name: change.what.value for change in found}

    def _refused(self, wrong: Exception, left: Sequence[str]) -> Refused:
        why, hint = (wrong.why, wrong.hint) if isinstance(wrong, Refused) else (str(wrong), "")
        if left:
            return Refused(f"{why}\nwhat could not go back: {'; '.join(left)}", "look at `transect status`")
        return Refused(f"{why}\nall parts are as they were", hint)

    def _put(self, found: Sequence[Change]) -> None:
        """Change the parts; first those that change while they run, which refuse most often and are cheapest to
        undo.
        """
        for change in sorted(found, key=lambda change: change.what is not What.UPGRADED):
            old, new = change.old, change.new
            match change.what:
                case What.UPGRADED:
                    assert old is not None and new is not None, "a part of both versions"
                    self._upgrade(old, new)
                case What.NEW | What.ANEW:
                    assert new is not None, "a part of the new version"
                    gone = partial(self.running.remove, new.name)
                    self.undo.add(new.name, gone if old is None else partial(self.running.put, old))
                    self.running.put(new)
                case What.SAME:
                    assert old is not None and new is not None, "a part of both versions"
                    self._adopt(old, new)
                case What.GONE:
                    continue  # when all others have changed
                case _:
                    assert_never(change.what)
        self.undo.add("weights", partial(self.running.put_weights, self.running.stack))
        self.running.put_weights(self.new)
        for change in found:
            if change.what is What.UPGRADED and change.new is not None and change.new.reloads:
                self._reload(change.new)

    def _upgrade(self, old: Part, new: Part) -> None:
        for name in new.instances:
            client = Client(new.stratum, name, PATIENCE_S)
            if new.policy is not None:
                told = client.upgrade(new.policy, self.automatic_return)
                self.undo.add(name, client.go_back)
                self.fields |= {f"{new.name}.{of}": what for of, what in told["fields"].items()}
        self._adopt(old, new)

    def _reload(self, part: Part) -> None:
        """Have a gateway read its configuration again, which was checked with the stack.  This cannot be undone, so it
        comes last.
        """
        for name in part.instances:
            Client(part.stratum, name, PATIENCE_S).ask("reload")
            self.undo.add(name, partial(_stays, name))

    def _adopt(self, old: Part, new: Part) -> None:
        self.undo.add(new.name, partial(self.running.adopt, old))
        self.running.adopt(new)


def _stays(name: str) -> None:
    raise Refused("its configuration stays as its file says now", f"transect llm status {name}")
