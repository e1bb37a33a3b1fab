# SPDX-License-Identifier: Apache-2.0
"""What each stratum does for its operator; `operating.Operated` makes the verbs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from transect.control.answers import Told
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.core.schema import Schema, schema
from transect.core.upgrade import migration, returning

NO_RETURN = "give `--no-return` if that will not be needed"


class Records(Refused):
    """Refused because a log is being written, and would not show it: a new version, or another value of a parameter.
    `hint`: how a caller from Python ends the log; an operator is told the command.
    """

    def __init__(self, hint: str = "") -> None:
        super().__init__("it records, and a log is of one version with its parameters", hint)


class Trailer(Protocol):
    """What is known of a log that is closed."""

    @property
    def records(self) -> int: ...

    @property
    def dropped(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an upgrade did: as `answers.Upgraded` has them."""

    fields: Mapping[str, str]
    details: Mapping[str, object] = field(default_factory=dict)


class Host(Protocol):
    """A running policy, or chain of them.

    Each method raises `Refused` for a no, `Unavailable` for what this host or machine lacks.
    """

    @property
    def programs(self) -> Sequence[Program]:
        """Those in force, in their order."""
        ...

    @property
    def version(self) -> int:
        """The number of the version in force, from 1."""
        ...

    @property
    def recording(self) -> Path | None:
        """The log that is being written."""
        ...

    def told(self) -> Told:
        """What runs, and what it did."""
        ...

    def change(self, param: Param, value: object) -> object:
        """Put the parameter's value in force between two handler calls; the value before."""
        ...

    def record(self, path: Path, name: str) -> int:
        """Write every handler call into a new log, under the instance's name.  Returns how much was under way.
        Requires that nothing is being recorded.  Raises FileExistsError, OSError.
        """
        ...

    def end_record(self) -> Trailer:
        """Close the log that is being written.  Raises OSError when it is not whole."""
        ...

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        """Put the policies of a file in the place of those that run, state kept.

        `automatic_return`: only if the old version could take the state back.  Raises `Records`.
        """
        ...

    def go_back(self) -> Outcome:
        """Put the version in force again that ran before the last upgrade, state given back.  Once for each upgrade."""
        ...


NOTHING_BEFORE = "there is no version to go back to", "put the one that you want in force: `upgrade FILE`"


def check_return(name: str, old: Schema, program: Program) -> None:
    """Raises `Refused` if the old version of that policy could not take back the state of the new one."""
    obstacles = returning(old, schema(program), migration(program, "migrate_back") is not None)
    if obstacles:
        why = f"the state of {name} could not go back: {'; '.join(obstacles)}"
        raise Refused(why, f"write `migrate_back`, or {NO_RETURN}")
