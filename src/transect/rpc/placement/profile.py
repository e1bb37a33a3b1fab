# SPDX-License-Identifier: Apache-2.0
"""What calls, processors and elements cost on a machine, as `transect rpc calibrate` measured it: µs a call."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from transect.base import cache
from transect.base.bounded import is_folder, whole
from transect.base.places import place
from transect.base.room import put
from transect.base.unavailable import Unavailable
from transect.core.ir import Program

VERSION = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call costs, in µs."""

    latency: float = 0.0  # as the client sees it, median
    cpu: float = 0.0  # of all processes together

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.latency + other.latency, self.cpu + other.cpu)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.latency - other.latency, self.cpu - other.cpu)

    def times(self, share: float) -> Cost:
        return Cost(self.latency * share, self.cpu * share)


@dataclass(frozen=True, slots=True)
class ElementCost:
    name: str
    native: float  # µs of its own code, compiled natively: all its hooks for a unary call


@dataclass(frozen=True, slots=True)
class Profile:
    version: int
    machine: Mapping[str, str]
    measured: str  # when
    direct: Cost  # a call without any processor
    # What a chain in a library adds, without its elements; by side: client, server
    library: Mapping[str, Cost]
    proxy: Mapping[str, Cost]  # what one proxy adds, without its elements: bare, native, wasm
    second: Cost  # what a second proxy in the path costs beyond the first
    plugin: Cost  # what each further WASM plugin of a proxy adds
    wasm: float  # time of an element's code as WASM / time of its native code
    elements: Mapping[str, ElementCost] = field(default_factory=dict)  # by `content`
    filters: Mapping[str, Cost] = field(default_factory=dict)  # what one of Envoy's own adds, by its kind

    def native(self, program: Program, key: str) -> float:
        """µs of an element's code, by its `content`.  Raises Unavailable when it was not measured."""
        found = self.elements.get(key)
        if found is None:
            raise Unavailable(f"what {program.name} costs", "it was not measured as it is now", HINT)
        return found.native

    def filter(self, kind: str) -> Cost:
        """Raises Unavailable when it was not measured."""
        found = self.filters.get(kind)
        if found is None:
            raise Unavailable(f"what Envoy's `{kind}` costs", "it was not measured", HINT)
        return found


def content(text: str) -> str:
    """The key to an element's costs: a hash of its code (`core.text.dump`), wherever that was read from."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def default_path() -> Path:
    """Raises Unavailable for a user without a home."""
    return place("rpc-profile.json")


def load(path: Path | None = None) -> Profile:
    """Raises Unavailable when there is none, or it is of another version."""
    at = path or default_path()
    data = _ours(at) if path is None else _anybodys(at)
    if data is None:
        raise Unavailable("what calls cost here", f"no profile at {at}", HINT)
    try:
        found = msgspec.json.decode(data, type=Profile)
    except (msgspec.DecodeError, msgspec.ValidationError) as wrong:
        raise Unavailable("what calls cost here", f"{at} is no profile: {wrong}", HINT) from wrong
    if found.version != VERSION:
        raise Unavailable("what calls cost here", f"{at} is of another version", HINT)
    return found


def _ours(path: Path) -> bytes | None:
    """What is at the usual place; nobody else can have put it there."""
    if not is_folder(path.parent):
        return None
    with cache.opened(path.parent) as folder:
        return folder.plain(path.name)


def _anybodys(path: Path) -> bytes | None:
    """The file that the user names.  Raises Unavailable."""
    try:
        return whole(path)
    except FileNotFoundError:
        return None
    except OSError as wrong:
        raise Unavailable("what calls cost here", f"{path} cannot be read: {wrong.strerror}", HINT) from wrong


HINT = "transect rpc calibrate CHAIN"


def save(profile: Profile, path: Path | None = None) -> Path:
    """Write it, whole or not at all.  Raises OSError, and Unavailable where the usual place is not ours alone."""
    data = msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n"
    if path is None:
        with cache.opened(default_path().parent, make=True) as folder:
            folder.put(default_path().name, data)
        return default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}")
    put(half, data)
    half.replace(path)
    return path
