# SPDX-License-Identifier: Apache-2.0
"""Which files `transect check` reads: those named, and in folders those which declare a policy.  A TOML file that is
named is a configuration of an engine or gateway.

A folder of a project holds much that is no policy: services, tests, other people's packages.  Nothing is passed over
in silence: the summary counts what was left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transect.base.bounded import is_folder
from transect.cli.declarations import Declared, may_be_policy

STDIN = "-"

_CHAIN = re.compile(r"^(chain|edges)[ \t]*=", re.MULTILINE)
_STACK = re.compile(r"^stack[ \t]*=", re.MULTILINE)
_TEST = re.compile(r"(test_.*|.*_test|conftest)\.py")
_FOREIGN = {"__pycache__", "node_modules", "build", "dist"}


@dataclass
class Found:
    """What the paths of a command stand for."""

    policies: list[Path] = field(default_factory=list)
    configurations: list[Path] = field(default_factory=list)
    stdin: bool = False
    others: int = 0  # Python files without a policy
    missing: list[str] = field(default_factory=list)


def find(paths: Iterable[str]) -> Found:
    found = Found()
    seen: set[Path] = set()
    declared = Declared()
    for name in paths:
        path = Path(name)
        if name == STDIN:
            found.stdin = True
        elif is_folder(path):
            for file in _python_files(path):
                _sort(file, not _is_test(file) and declared.policy(file), found, seen)
        elif not os.path.exists(path):  # False also for a name that no file can have; `Path` raises
            found.missing.append(name)
        elif path.suffix == ".toml":
            if path not in seen:
                seen.add(path)
                found.configurations.append(path)
        else:
            _sort(path, not _is_test(path) and may_be_policy(path), found, seen)
    return found


def declares_chain(text: str) -> bool:
    """Whether a file's text has `chain = …` or `edges = …`: chains of the rpc stratum."""
    return bool(_CHAIN.search(text))


def declares_stack(text: str) -> bool:
    """Whether a file's text has `stack = …`."""
    return bool(_STACK.search(text))


def _is_test(path: Path) -> bool:
    return _TEST.fullmatch(path.name) is not None


def _sort(path: Path, policy: bool, found: Found, seen: set[Path]) -> None:
    if path in seen:
        return
    seen.add(path)
    if policy:
        found.policies.append(path)
    else:
        found.others += 1


def _python_files(folder: Path) -> Iterator[Path]:
    """Every Python file below the folder, in order, except in hidden folders, environments and build outputs.  Only
    regular files count: no pipe, no link to a device."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _FOREIGN
            and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        )
        named = (Path(place, name) for name in sorted(files) if name.endswith(".py"))
        yield from (path for path in named if path.is_file())
