# SPDX-License-Identifier: Apache-2.0
"""Who has which weight: a TOML file that every layer of a stack reads, and that may change while it runs.

[tenants]
alice = 400     # percent of an ordinary share
bob = 100
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from transect.base import toml
from transect.base.bounded import whole
from transect.base.followed import Followed

ORDINARY = 100  # percent: the weight of a tenant that is not named
MOST = 1_000_000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


class NoWeights(Exception):
    """A file that is no list of weights; the text says why, and is written after the file's name."""


def read_weights(path: Path) -> Mapping[str, int]:
    """By tenant, in percent.  Raises `NoWeights`."""
    try:
        found = toml.parsed(whole(path))
    except OSError as error:
        raise NoWeights(f"cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise NoWeights(f"is no TOML: {error}") from error
    tenants = found.get("tenants")
    if not isinstance(tenants, dict):
        raise NoWeights("has no table `[tenants]`")
    if others := sorted(found.keys() - {"tenants"}):
        raise NoWeights(f"has `{others[0]}`, which is not known here")
    for name, weight in tenants.items():
        if NAME.fullmatch(name) is None:
            raise NoWeights(f"has the tenant `{name}`: letters, digits, `_`, `.`, `@` and `-`, 64 at most")
        if type(weight) is not int or not 1 <= weight <= MOST:
            raise NoWeights(f"gives `{name}` no weight between 1 and {MOST:,}")
    return tenants


def written(weights: Mapping[str, int]) -> str:
    """The text of a file with these weights."""
    return "".join(["[tenants]\n", *(f'"{name}" = {weight}\n' for name, weight in weights.items())])


class Weights(Followed[Mapping[str, int]]):
    """The weights in a file, by tenant, as the file says now."""

    def __init__(self, path: Path) -> None:
        """Raises `NoWeights`."""
        super().__init__(path, read_weights, NoWeights)

    def of(self, name: str) -> int:
        """In percent of an ordinary share."""
        return self.now().get(name, ORDINARY)
