# SPDX-License-Identifier: Apache-2.0
"""The schema of a policy's state: names, types, sizes, options, and a hash of them.

Two programs with the same hash have the same layout: an image of one is an image of the other.  The schema also has the
value that a field starts with, which is not part of the hash.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from transect.base.span import NOWHERE
from transect.core.codec import Slot, decode, encode, stored
from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program, StateField
from transect.core.type_json import SchemaError, type_from_json, type_json
from transect.core.types import DEFAULT_OPTIONS, Options, Sync, TableType, Type

VERSION = 1


@dataclass(frozen=True)
class SchemaField:
    """One field of the state."""

    name: str
    type: Type
    kind: FieldKind  # STATE or PARAM
    options: Options = DEFAULT_OPTIONS
    start: bytes = b""  # the value that it starts with, as codec.py encodes it

    @property
    def initial(self) -> Slot:
        """The value that it starts with."""
        return Slot(decode(self.type, self.start))

    @property
    def declared(self) -> StateField:
        """The field as `codec.py` wants it."""
        return StateField(self.name, self.type, self.kind, None, self.options, span=NOWHERE)


@dataclass(frozen=True)
class Schema:
    """The state of one version of a policy."""

    policy: str
    fields: tuple[SchemaField, ...]

    @cached_property
    def hash(self) -> str:
        """Of everything that decides the layout and the meaning of an image: 32 hexadecimal digits."""
        layout = [{k: v for k, v in _field_json(_laid_out(f)).items() if k != "start"} for f in self.fields]
        return hashlib.sha256(json.dumps(layout, sort_keys=True).encode()).hexdigest()[:32]

    def field(self, name: str) -> SchemaField | None:
        return next((f for f in self.fields if f.name == name), None)

    @property
    def declared(self) -> tuple[StateField, ...]:
        """The fields as `codec.py` wants them."""
        return tuple(f.declared for f in self.fields)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "version": VERSION,
            "policy": self.policy,
            "hash": self.hash,
            "fields": [_field_json(f) for f in self.fields],
        }

    @staticmethod
    def from_json(data: Any) -> Schema:
        """Raises `SchemaError` when these values are no schema, or their hash is another."""
        try:
            if type(data["version"]) is not int or data["version"] != VERSION:  # True == 1, and 1.0 too
                raise SchemaError(
                    f"schema version {data['version']!r} is not known; this is version {VERSION}"
                )
            if not isinstance(data["policy"], str):
                raise SchemaError(f"the name of a policy that is no text: {data['policy']!r:.40}")
            found = Schema(data["policy"], tuple(map(_field, data["fields"])))
        except SchemaError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SchemaError("no schema") from error
        if found.hash != data.get("hash"):
            raise SchemaError(f"the schema of {found.policy} does not have the hash that it says")
        return found


def schema(program: Program) -> Schema:
    """The schema of a checked program."""
    start = Instance(program).slots()
    return Schema(
        program.name,
        tuple(
            SchemaField(f.name, f.type, f.kind, f.options, encode(f.type, start[f.name].value))
            for f in stored(program.state)
        ),
    )


def _laid_out(f: SchemaField) -> SchemaField:
    """The field without the size hint of a table kept by client, which does not affect the layout."""
    if isinstance(f.type, TableType) and f.type.most is None:
        return replace(f, type=replace(f.type, capacity=0))
    return f


def _field_json(f: SchemaField) -> dict[str, Any]:
    changed = {k: v for k, v in asdict(f.options).items() if v != getattr(DEFAULT_OPTIONS, k)}
    made: dict[str, Any] = {"name": f.name, "type": type_json(f.type), "kind": str(f.kind)}
    if changed:
        made["options"] = {k: str(v) if isinstance(v, Sync) else v for k, v in changed.items()}
    made["start"] = f.start.hex()
    return made


def _field(data: Any) -> SchemaField:
    if not isinstance(data["name"], str):
        raise SchemaError(f"a field's name that is no text: {data['name']!r:.40}")
    start = bytes.fromhex(data["start"])
    t = type_from_json(data["type"])
    decode(t, start)
    return SchemaField(data["name"], t, FieldKind(data["kind"]), _options(data.get("options", {})), start)


def _options(data: Any) -> Options:
    """Raises ValueError, or TypeError, where they are none."""
    made = Options(**data)  # TypeError for a name that is no option's
    right = (
        isinstance(made.scope, str),
        made.merge is None or isinstance(made.merge, str),
        type(made.persist) is bool,
        type(made.exclusive) is bool,
        made.was is None or isinstance(made.was, str),
    )
    if not all(right):
        raise SchemaError(f"no options of a field: {data!r:.80}")
    return replace(made, sync=Sync(made.sync))
