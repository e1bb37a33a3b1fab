# SPDX-License-Identifier: Apache-2.0
"""The state of a policy in a file, across restarts.

The file holds the schema beside the image, so that a newer version of the policy takes it over by the same rules as a
live upgrade, and the tenants' numbers, which the image is keyed by.  It is replaced whole, by a rename.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.core.codec import CodecError
from transect.core.schema import Schema, schema
from transect.core.upgrade import Refused, upgrade
from transect.llm.native import image, restore

if TYPE_CHECKING:
    from transect.llm.service import Service

VERSION = 1


class NotKept(Exception):
    """A file whose state cannot be taken over; says why, and what to do."""


def names_in(path: Path) -> list[str]:
    """The tenants of a file by number, to be given the same numbers again; none where there is no file."""
    data = _read(path)
    return [] if data is None else list(data["tenants"])


def load(service: Service, path: Path) -> bool:
    """Give the policy of a service the state of a file; whether there was one.  Raises `NotKept`."""
    data = _read(path)
    if data is None:
        return False
    try:
        old = Schema.from_json(data["schema"])
        state = upgrade(base64.b64decode(data["state"], validate=True), old, service.program)
        restore(service.policy, state)
    except (Refused, CodecError, ValueError, KeyError) as wrong:
        raise NotKept(f"the state in {path} cannot go over to {service.program.name}: {wrong}") from wrong
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as wrong:
        raise NotKept(f"{path} cannot be read: {wrong}; move it away to begin anew") from wrong
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise NotKept(f"{path} is no state of this version; move it away to begin anew")
    return data


def save(service: Service, path: Path) -> None:
    """Write the state as it is now.  Raises OSError, and then the old file is as it was."""
    with service.lock:
        state = image(service.policy)
        names = list(service.tenants.names().values())
    data = {
        "version": VERSION,
        "policy": service.program.name,
        "schema": schema(service.program).to_json(),
        "tenants": names,
        "state": base64.b64encode(state).decode(),
    }
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
