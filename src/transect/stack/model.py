# SPDX-License-Identifier: Apache-2.0
"""A stack file, understood: its parts as commands, and whom they serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transect.base.span import Span
from transect.core.ir import Program
from transect.rpc.chain.address import Endpoint


@dataclass(frozen=True, slots=True)
class Part:
    """Something that runs as a process of its own."""

    name: str
    kind: str
    """The word of the stack file: `Front`, `Gateway` …"""
    stratum: str
    """Under which its instances are reached; empty: it has none."""
    command: tuple[str, ...]
    """What is run; without a stratum any program, else the words after `transect`."""
    instances: tuple[str, ...]
    """Names of what answers once it is ready."""
    policy: Path | None
    """The file that `upgrade` puts in force."""
    span: Span
    folder: Path
    """In which it runs: the stack file's."""
    texts: str = ""
    """A hash of all that its policies' files say."""
    programs: tuple[tuple[str, Program], ...] = ()
    """Its policies, each with the instance by which it is reached."""
    fixed: tuple[object, ...] = ()
    """What cannot change while it runs."""
    ready: Endpoint | None = None
    """Where a program listens once it is ready."""
    weighted: bool = False
    """Whether its command takes the file of weights."""
    called: str = ""
    """The name of instance of a program, which may listen under it, and under `NAME-2` … in several processes."""
    identity: Path | None = None
    """The file of keys of the stack, where it has one."""
    reloads: bool = False
    """Whether it reads its configuration anew when it is asked to."""


@dataclass(frozen=True, slots=True)
class StackFile:
    """What a stack file declares."""

    path: Path
    name: str
    """How the operator calls it; its instances are called after it."""
    parts: tuple[Part, ...]
    """In the order in which they start."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """Of tenants, in percent of an ordinary share, as they are when the file is read."""
    tenants: Path | None = None
    """The file that says them instead."""
    share: Path | None = None
    """The policy's file by which parts share that name no other."""
