# SPDX-License-Identifier: Apache-2.0
"""The verbs: which there are, in which order and under which heading the help lists them, and where each one is.

A verb is a function in a file of its own: its signature is its options, its docstring its help, and it returns its exit
code.  A file is imported when its verb is wanted (and for the list in `--help`), so it must be cheap to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb is: a function of a module below `transect.cli`."""

    heading: str
    module: str
    settings: Mapping[str, object] = field(default_factory=dict)  # of the parser of command lines

    @property
    def function(self) -> str:
        return self.module.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Group:
    """Verbs under a name of their own, one group for each stratum; with the empty name, `transect` itself."""

    heading: str
    help: str
    verbs: Mapping[str, Verb | Group]


POLICIES, UNDERSTAND, STRATA, MACHINE = "Policies", "Look closer", "Strata", "This machine"

FORCE, LIVE = "In force", "While it runs"

RPC = Group(
    STRATA,
    "Application networks: policies which process RPCs, in gRPC libraries and in Envoy.",
    {
        "run": Verb(FORCE, "rpc.run"),
        "status": Verb(LIVE, "rpc.status"),
        "set": Verb(LIVE, "rpc.set"),
        "record": Verb(LIVE, "rpc.record"),
    },
)

TRANSECT = Group(
    "",
    "Write a policy once, in Python; run it in your RPCs, your LLM server, your CPU scheduler, and against another"
    " machine's memory.",
    {
        "new": Verb(POLICIES, "new"),
        "check": Verb(POLICIES, "check"),
        "compile": Verb(POLICIES, "compile"),
        "explain": Verb(UNDERSTAND, "explain"),
        "replay": Verb(UNDERSTAND, "replay"),
        "rpc": RPC,
        "doctor": Verb(MACHINE, "doctor"),
        "demo": Verb(MACHINE, "demo"),
        "bench": Verb(MACHINE, "bench"),
    },
)
