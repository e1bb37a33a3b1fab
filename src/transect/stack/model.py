# SPDX-License-Identifier: Apache-2.0
"""A stack file after it was read: its parts as commands, and the tenants that they serve."""

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
    """The stratum of its instances; empty if it has none."""
    command: tuple[str, ...]
    """The command: any program if there is no stratum, else the words after `transect`."""
    instances: tuple[str, ...]
    """The names of the instances that answer once it is ready."""
    policy: Path | None
    """The file that `upgrade` puts in force."""
    span: Span
    folder: Path
    """Its working folder, which is the stack file's."""
    texts: str = ""
    """A hash of the content of its policies' files."""
    programs: tuple[tuple[str, Program], ...] = ()
    """Its policies, each with the instance by which it is reached."""
    fixed: tuple[object, ...] = ()
    """The settings that cannot change while it runs."""
    ready: Endpoint | None = None
    """The address where a program listens once it is ready."""
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
    """The name of the stack, with which the names of its instances begin."""
    parts: tuple[Part, ...]
    """In the order in which they start."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """The weights of tenants, in percent of an ordinary share, when the file was read."""
    tenants: Path | None = None
    """The file with the weights, if the stack names one."""
    share: Path | None = None
    """The file of the policy for parts that name no policy of their own."""
