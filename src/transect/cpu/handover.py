# SPDX-License-Identifier: Apache-2.0
"""Which state of one version the next version continues with, and what comes back when that one is taken out of force.

Versions of one layout share all of their state, and a table that is the same in both is shared, too.  Everything else
is converted by the rules of the language, just before the other version takes over: changes that calls under way make
after that are lost.  (This needs the compiler, whose modules take seconds to import in emulation: the loader imports it
when it is needed.)
"""

from __future__ import annotations

from collections.abc import Callable

from transect.core.codec import CodecError
from transect.core.ir import FieldKind
from transect.core.schema import Schema
from transect.core.types import TableType
from transect.core.upgrade import Refused, compare, returning, transfer, transfer_back
from transect.cpu.built import Built
from transect.cpu.state_words import from_image, image_of
from transect.cpu.version import Kept, Version, common

Transfer = Callable[[bytes, Schema, Schema], bytes]


def check_queues(old: Built, new: Built) -> None:
    """Raises `Kept` if the new version lacks a queue of the old version, in which tasks may wait."""
    kinds = dict(new.queues)
    anew = "or end this version, and run the new one"
    for name, kind in old.queues:
        if name not in kinds:
            why = f"tasks may wait in the queue `{name}`, which the new version does not have"
            raise Kept(why, f"declare `{name}: {kind} = given()` there, and dispatch from it; {anew}")
        if (other := kinds[name]) != kind:
            why = f"tasks may wait in the queue `{name}`, which is a {kind}, and a {other} in the new version"
            apart = f"give the {other} another name, declare `{name}: {kind} = given()` beside it"
            raise Kept(why, f"{apart}, and dispatch from both; {anew}")


def compared(old: Built, new: Built, *, watched: bool) -> dict[str, str]:
    """What becomes of each field.  Raises `Kept` if something cannot go over or, if `watched`, not back."""
    if old.layout == new.layout:
        return {place.field: "keep" for place in new.places}
    before, after = Schema.from_json(old.schema), Schema.from_json(new.schema)
    comparison = compare(before, after)
    if comparison.refused:
        why = "; ".join(f"`{d.field}`: {d.reason}" for d in comparison.refused)
        raise Kept(f"its state does not go over: {why}", "give the field another name")
    if watched and (obstacles := returning(before, after)):
        why = f"its state could not go back: {'; '.join(obstacles)}"
        raise Kept(why, "give `--no-return` if that will not be needed")
    return {d.field: str(d.action) for d in comparison.decisions}


def shared(old: Built, new: Built) -> dict[str, str]:
    """Maps that both versions have: the name of each in the new version, and in the old one."""
    tables = {place.field: place.table for place in old.places if place.table}
    if old.layout == new.layout:
        return common(old, new)
    before, after = Schema.from_json(old.schema), Schema.from_json(new.schema)
    origins = {d.field: d.old for d in compare(before, after).decisions if d.old}
    found: dict[str, str] = {}
    for place in new.places:
        origin, f = before.field(origins.get(place.field, "")), after.field(place.field)
        if place.table and origin is not None and f is not None and origin.type == f.type:
            found[place.table] = tables[origin.name]
    return found


def hand_over(old: Version, new: Version) -> None:
    """Give the new version the state of the old one.  Raises `Kept` if the content does not fit."""
    if old.built.layout == new.built.layout:
        _defaults(old.built, new)
        return
    try:
        _moved(old, new, transfer, shared(old.built, new.built))
    except Refused as no:
        raise Kept(f"its state does not go over: {no}", "make room for it") from None


def hand_back(old: Version, new: Version) -> str:
    """Give the old version the state as it is now; if it does not fit, say why: the old version then continues with its
    own.
    """
    if old.built.layout == new.built.layout:
        _defaults(new.built, old)
        return ""
    turned = {there: here for here, there in shared(old.built, new.built).items()}

    def back(image: bytes, after: Schema, before: Schema) -> bytes:
        return transfer_back(image, before, after)

    try:
        _moved(new, old, back, turned)
    except Refused as no:
        return f", with the state that it had then ({no})"
    return ""


def _moved(old: Version, new: Version, rules: Transfer, in_common: dict[str, str]) -> None:
    """`in_common`: the maps that the new version shares with the old one."""
    before, after = Schema.from_json(old.built.schema), Schema.from_json(new.built.schema)
    ours, theirs = set(in_common), set(in_common.values())
    tables = {p.field: old.entries(p.field) for p in old.built.places if p.table and p.table not in theirs}
    try:
        fields, moved = from_image(after, rules(image_of(before, old.fields(), tables), before, after))
    except CodecError as error:
        raise Refused(str(error)) from None
    words = list(new.built.start)
    for place in new.built.places:
        words[place.word : place.word + place.words] = fields.get(place.field, [])
    new.fill(words)
    for place in new.built.places:
        if place.table and place.table not in ours:
            new.write_entries(place.field, moved[place.field])


def _defaults(before: Built, version: Version) -> None:
    """A parameter that nobody has set takes the default of the version that takes over with the shared state."""
    fields = version.fields()
    for f in Schema.from_json(version.built.schema).fields:
        if f.kind is not FieldKind.PARAM or isinstance(f.type, TableType):
            continue
        was, place = before.first(f.name), version.built.first(f.name)
        if fields[f.name] == was != place:
            version.set(f.name, place)
