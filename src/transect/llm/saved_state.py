# SPDX-License-Identifier: Apache-2.0
"""The state of a policy in a file, across restarts.

The file holds the schema beside the image, so that a newer version of the policy takes it over by the same rules as a
live upgrade, and the tenants' numbers, which the image is keyed by.  It is replaced whole, by a rename.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import glob
import json
import os
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from transect.base.bounded import all_of, opened
from transect.base.cache import in_other_hands
from transect.core.schema import Schema, schema
from transect.core.upgrade import Refused, upgrade
from transect.llm.native import image, restore

if TYPE_CHECKING:
    from transect.llm.service import Service

VERSION = 1
LARGEST = 256 << 20  # bytes of such a file


class NotKept(Exception):
    """A file whose state cannot be taken over; says why, and what to do."""


def claim(owner: object, path: Path) -> Callable[[], object]:
    """Be the only one that keeps its state there, until the owner goes or the result is called.
    What others have left half written is removed.

    The lock is a file beside it, since the file itself is replaced.  Raises `NotKept`.
    """
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError) as wrong:  # links that lead in a circle, a zero byte
        raise NotKept(f"{path} leads nowhere: {wrong}; name another file as `state`") from wrong
    beside = real.with_name(f".{real.name}.lock")
    try:
        held = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as wrong:
        raise NotKept(
            f"{beside} cannot be written: {wrong.strerror}; put `state` into a folder that this user may write to"
        ) from wrong
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as wrong:
        os.close(held)
        if isinstance(wrong, BlockingIOError):
            why = f"another gateway keeps its state in {path}; give each its own `state`, or wait until it has ended"
        else:
            why = f"{beside} cannot be locked: {wrong.strerror}; put `state` on a file system of this machine"
        raise NotKept(why) from wrong
    for left in real.parent.glob(f"{glob.escape(_half(real))}*"):  # by one that was killed as it wrote
        with contextlib.suppress(OSError):  # a folder of that name, or a file of another user's: no matter
            left.unlink()
    return weakref.finalize(owner, os.close, held)


def _half(path: Path) -> str:
    """What the name of a file begins with that is being written, to take the place of that one."""
    return f".{path.name}.half-"


def names_in(path: Path) -> list[str]:
    """The tenants of a file by number, to be given the same numbers again; none where there is no file."""
    kept = _read(path)
    return [] if kept is None else list(kept.tenants)


def load(service: Service, path: Path) -> bool:
    """Give the policy of a service the state of a file; whether there was one.  Raises `NotKept`."""
    kept = _read(path)
    if kept is None:
        return False
    try:
        old = Schema.from_json(kept.schema)
        state = upgrade(base64.b64decode(kept.state, validate=True), old, service.program)
        restore(service.policy, state)
    except (Refused, ValueError) as wrong:  # SchemaError and CodecError among them
        raise NotKept(f"the state in {path} cannot go over to {service.program.name}: {wrong}") from wrong
    return True


class _Kept(msgspec.Struct):
    """What a file holds."""

    policy: str
    schema: dict[str, Any]
    tenants: tuple[str, ...]  # by number
    state: str  # the image, in base64


def _read(path: Path) -> _Kept | None:
    try:
        if path.exists() and not path.is_file():
            raise NotKept(f"{path} is no file; name another one as `state`")
        with opened(path) as file:
            if why := in_other_hands(file.fileno()):
                who = f"{path}: {why}, who could have written there what tenants were served"
                raise NotKept(f"{who}; look at it, then `chown {os.geteuid()}` and `chmod 600` it")
            data = msgspec.json.decode(all_of(file, path, LARGEST))
        version = data.get("version") if isinstance(data, dict) else None
        if type(version) is not int or version != VERSION:  # True == 1, and 1.0 too
            raise NotKept(f"{path} is no state of this version; move it away to begin anew")
        return msgspec.convert(data, _Kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as wrong:
        raise NotKept(f"{path} cannot be read: {wrong}; move it away to begin anew") from wrong


def save(service: Service, path: Path) -> None:
    """Write the state as it is now, where a link leads, too.  Raises OSError, and then the old file is as it was."""
    path = path.resolve()
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
    text = json.dumps(data)
    if len(text) > LARGEST:  # it is ASCII
        raise OSError(errno.EFBIG, f"it would have more than {LARGEST:,} bytes", str(path))
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=_half(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
