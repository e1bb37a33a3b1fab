# SPDX-License-Identifier: Apache-2.0
"""From one version of a stack to the next: what happens to each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from transect.stack.model import Part, StackFile


class What(StrEnum):
    """What happens to a part."""

    SAME = "same"
    UPGRADED = "upgraded"
    """Its policies are replaced while it runs, state kept."""
    ANEW = "begun anew"
    """What cannot change while it runs has changed."""
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Change:
    """A part of the old or the new version, or of both."""

    what: What
    old: Part | None
    new: Part | None

    @property
    def name(self) -> str:
        part = self.new or self.old
        assert part is not None, "a part of neither version"
        return part.name


def changes(old: StackFile, new: StackFile) -> Sequence[Change]:
    """The changes, by the names of parts: the parts of the new version in its order, then those that are removed."""
    before = {part.name: part for part in old.parts}
    after = {part.name for part in new.parts}
    found = [_change(before.get(part.name), part) for part in new.parts]
    return [*found, *(Change(What.GONE, part, None) for part in old.parts if part.name not in after)]


def _change(old: Part | None, new: Part) -> Change:
    if old is None:
        return Change(What.NEW, None, new)
    if (old.kind, old.fixed, old.ready, old.instances) != (new.kind, new.fixed, new.ready, new.instances):
        return Change(What.ANEW, old, new)
    return Change(What.SAME if old.texts == new.texts else What.UPGRADED, old, new)
