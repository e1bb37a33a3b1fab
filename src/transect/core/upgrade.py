# SPDX-License-Identifier: Apache-2.0
"""State across versions: what happens to each field, and how the image of the old version becomes one of the new.

The rules are those of the language ("State across versions"): the same name, type and options, or a wider type, are
kept; a smaller capacity or bound is kept if the content fits; anything else is refused unless the policy migrates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from transect.core.codec import Slot, decode_state, encode_state
from transect.core.conversion import Change, NotFitting, converted, relation
from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.schema import Schema, SchemaField, schema
from transect.core.types import TableType, Type
from transect.core.values import normal

State: TypeAlias = Mapping[str, Slot]
Migrate: TypeAlias = Callable[[State, State], State]
"""Makes the new state from the old one and from what of it could be kept."""


class Action(StrEnum):
    """What becomes of a field."""

    KEEP = "keep"
    WIDEN = "widen"
    FIT = "fit"  # less room than before: kept if the content fits
    RENAME = "rename"  # kept under a new name (`was=`)
    START = "default"  # new: it starts with its default
    MIGRATE = "migrate"  # the policy says
    DROP = "drop"  # the new version has no such field
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    field: str
    action: Action
    reason: str = ""
    old: str = ""  # the field that it comes from

    def __str__(self) -> str:
        return f"{self.action} ({self.reason})" if self.reason else str(self.action)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What becomes of all fields: those of the new version in its order, then those that are dropped."""

    decisions: tuple[Decision, ...]

    @property
    def refused(self) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if d.action is Action.REFUSE)

    @property
    def accepted(self) -> bool:
        """Whether the new version may take over, if the content fits."""
        return not self.refused

    def __str__(self) -> str:
        return "\n".join(f"{d.field}: {d}" for d in self.decisions)

    def of(self, policy: str) -> dict[str, str]:
        """In words, by the full names of the fields."""
        return {f"{policy}.{d.field}": str(d) for d in self.decisions}


class Refused(ValueError):
    """State that the other version cannot take over; the text says why."""


_ACTIONS = {Change.SAME: Action.KEEP, Change.WIDER: Action.WIDEN, Change.SMALLER: Action.FIT}


def compare(old: Schema, new: Schema, migrates: bool = False) -> Comparison:
    """What becomes of each field.  `migrates`: the new version has a `migrate`."""
    decisions = [_decide(old, new, f, migrates) for f in new.fields]
    used = {d.old for d in decisions if d.old}
    dropped = [
        Decision(f.name, Action.DROP, "the new version does not have it")
        for f in old.fields
        if f.name not in used
    ]
    return Comparison((*decisions, *dropped))


def _decide(old: Schema, new: Schema, f: SchemaField, migrates: bool) -> Decision:
    name = _origin(old, new, f)
    before = old.field(name) if name else None
    if before is None:
        return Decision(f.name, Action.MIGRATE if migrates else Action.START)
    change, reason = _changed(before, f)
    action = _ACTIONS.get(change)
    if action is None:
        return Decision(f.name, Action.MIGRATE if migrates else Action.REFUSE, reason, before.name)
    if before.name != f.name:
        fit = f"; {reason}" if reason else ""
        return Decision(f.name, Action.RENAME, f"it was `{before.name}`{fit}", before.name)
    return Decision(f.name, action, reason, before.name)


def _origin(old: Schema, new: Schema, f: SchemaField) -> str | None:
    """The name of the old field that this one continues: its own, else that of `was=`."""
    if old.field(f.name) is not None:
        return f.name
    was = f.options.was
    # A field that still exists under the old name keeps it.
    return was if was and old.field(was) is not None and new.field(was) is None else None


def _changed(old: SchemaField, new: SchemaField) -> tuple[Change, str]:
    if old.kind is not new.kind:
        return Change.OTHER, f"a {old.kind} became a {new.kind}"
    for option in ("scope", "sync", "merge", "persist", "exclusive"):
        before, after = getattr(old.options, option), getattr(new.options, option)
        if before != after:
            return Change.OTHER, f"{option}={before} became {option}={after}"
    found = relation(old.type, new.type)
    return found.change, found.reason


# ---------------------------------------------------------------- going over


def transfer(image: bytes, old: Schema, new: Schema, migrate: Migrate | None = None) -> bytes:
    """The image of the new version, made from one of the old.

    Raises `Refused` when a field is refused or its content does not fit, `CodecError` when it is no image of `old`.
    """
    comparison = compare(old, new, migrate is not None)
    if not comparison.accepted:
        raise Refused("; ".join(f"`{d.field}`: {d.reason}" for d in comparison.refused))
    before = decode_state(old.declared, image)
    state = {d.field: _kept(d, before, old, new) for d in comparison.decisions if d.action is not Action.DROP}
    if migrate is not None:
        state = dict(migrate(before, state))
    return encode_state(new.declared, state)


def _kept(d: Decision, before: State, old: Schema, new: Schema) -> Slot:
    f = new.field(d.field)
    assert f is not None, f"a decision about no field: {d}"
    was = old.field(d.old) if d.old else None
    if was is None or d.action in (Action.START, Action.MIGRATE):
        return f.initial
    slot = before[was.name]
    if f.kind is FieldKind.PARAM and normal(slot.value) == normal(was.initial.value):
        return f.initial  # nobody has set it: it takes the new default
    try:
        return Slot(converted(slot.value, was.type, f.type), slot.overflow)
    except NotFitting as error:
        raise Refused(f"`{d.field}`: {error}") from error


# ---------------------------------------------------------------- and back


def returning(old: Schema, new: Schema, migrates_back: bool = False) -> tuple[str, ...]:
    """Why the old version could not take the state back; empty when it can, if the content fits.

    Fields which the new version adds are no obstacle: the old one never had them.
    """
    if migrates_back:
        return ()
    return tuple(_obstacles(old, new))


def _obstacles(old: Schema, new: Schema) -> Iterator[str]:
    for f, after in _pairs(old, new):
        if after is None:
            yield f"`{f.name}` is dropped by the new version"
            continue
        change, reason = _changed(after, f)
        if change is Change.OTHER:
            yield f"`{f.name}`: {reason}"


def _pairs(old: Schema, new: Schema) -> Iterator[tuple[SchemaField, SchemaField | None]]:
    """Each old field with the new one that continues it."""
    names = {d.old: d.field for d in compare(old, new, migrates=False).decisions if d.old}
    for f in old.fields:
        yield f, new.field(names[f.name]) if f.name in names else None


def transfer_back(image: bytes, old: Schema, new: Schema, migrate_back: Migrate | None = None) -> bytes:
    """The image of the old version, made from one of the new.  Raises as `transfer` does."""
    obstacles = returning(old, new, migrate_back is not None)
    if obstacles:
        raise Refused("; ".join(obstacles))
    after = decode_state(new.declared, image)
    state: dict[str, Slot] = {}
    for f, continued in _pairs(old, new):
        state[f.name] = f.initial
        if continued is not None and _changed(continued, f)[0] is not Change.OTHER:
            slot = after[continued.name]
            try:
                state[f.name] = Slot(converted(slot.value, continued.type, f.type), slot.overflow)
            except NotFitting as error:
                raise Refused(f"`{f.name}`: {error}") from error
    if migrate_back is not None:
        state = dict(migrate_back(after, state))
    return encode_state(old.declared, state)


def given_back(image: bytes, program: Program, old: Schema) -> bytes:
    """The image of the version before, made from one of the program's.  Raises as `transfer` does."""
    return transfer_back(image, old, schema(program), migration(program, "migrate_back"))


# ---------------------------------------------------------------- what the policy itself says


def migration(program: Program, hook: str = "migrate") -> Migrate | None:
    """`migrate` (or `migrate_back`) of a policy, run by the interpreter; None when it has none."""
    if program.handler(hook) is None:
        return None
    both = replace(
        program,
        state=(*program.state, *(replace(f, kind=FieldKind.STATE) for f in program.old_state)),
        old_state=(),
    )

    def run(old: State, new: State) -> State:
        instance = Instance(both)
        slots = dict(instance.slots())
        for f in program.old_state:
            slots[f.name] = old[f.name.removeprefix("old.")]
        slots.update(new)
        instance.load(encode_state(both.state, slots))
        instance.call(hook, [None])
        return {name: slot for name, slot in instance.slots().items() if name in new}

    return run


def old_state_faults(program: Program, old: Schema) -> tuple[str, ...]:
    """Where the old fields that `migrate` names are not those of the stored schema."""
    faults = []
    for f in program.old_state:
        name = f.name.removeprefix("old.")
        found = old.field(name)
        if found is None:
            faults.append(f"the stored state has no `{name}`")
        elif (is_now := relation(_with_room(found.type, f.type), f.type)).change is not Change.SAME:
            faults.append(
                f"the stored `{name}` is another than `old.{name}` in line {f.span.line}: {is_now.reason}"
            )
    return tuple(faults)


def _with_room(stored: Type, read: Type) -> Type:
    """The stored type, with the size of the one that is read: a table may have been smaller, and its size left out."""
    if isinstance(stored, TableType) and isinstance(read, TableType) and read.capacity > stored.capacity:
        return replace(stored, capacity=read.capacity)
    return stored


def upgrade(image: bytes, old: Schema, program: Program) -> bytes:
    """The image with which a new version of a policy goes on.  Raises `Refused`, `CodecError`."""
    faults = old_state_faults(program, old)
    if faults:
        raise Refused("; ".join(faults))
    return transfer(image, old, schema(program), migration(program))
