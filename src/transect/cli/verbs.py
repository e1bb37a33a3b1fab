# SPDX-License-Identifier: Apache-2.0
"""All verbs: in which order and under which heading the help lists them, and which module each one is in.

A verb is a function in a file of its own: its signature is its options, its docstring its help, and it returns its exit
code.  A file is imported when its verb is wanted (and for the list in `--help`), so it must be cheap to import.  Verbs
that are the same in every stratum are made for each by `live/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb is: a function of a module below `transect.cli`."""

    heading: str
    module: str
    stratum: str = ""  # if set, the function makes the verb for this stratum; else it is the verb
    settings: Mapping[str, object] = field(default_factory=dict)  # for the parser of command lines

    @property
    def function(self) -> str:
        return self.module.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Group:
    """Verbs under a common name, such as a stratum's; the one with the empty heading is `transect` itself."""

    heading: str
    help: str
    verbs: Mapping[str, Verb | Group]


POLICIES, UNDERSTAND, STRATA, MACHINE = "Policies", "Look closer", "Strata", "This machine"
STACK = "A whole stack"

FORCE, LIVE, TRY = "In force", "While it runs", "Simulated"
LOOK = "A target"
PLACES = "Where elements stand"


def _live(stratum: str, *names: str, heading: str = LIVE) -> dict[str, Verb | Group]:
    """Verbs that reach a running instance."""
    return {name: Verb(heading, f"live.{name}", stratum) for name in names}


RPC = Group(
    STRATA,
    "Application networks: policies which process RPCs, in gRPC libraries and in Envoy.",
    {
        "run": Verb(FORCE, "rpc.run"),
        "plan": Verb(PLACES, "rpc.plan"),
        "calibrate": Verb(PLACES, "rpc.calibrate"),
        **_live("rpc", "status", "set", "record"),
        "upgrade": Verb(LIVE, "rpc.upgrade"),
        **_live("rpc", "back"),
        "try": Verb(UNDERSTAND, "rpc.try_"),
    },
)

LLM = Group(
    STRATA,
    "Fair serving of many clients by LLM engines.",
    {
        "run": Verb(FORCE, "llm.run"),
        "config": Verb(FORCE, "llm.config"),
        "key": Group(FORCE, "API keys of tenants.", {"new": Verb(FORCE, "llm.key.new")}),
        **_live("llm", "status", "set", "record", "upgrade", "back"),
        "simulate": Verb(TRY, "llm.simulate"),
        "calibrate": Verb(TRY, "llm.calibrate"),
    },
)

CPU = Group(
    STRATA,
    "Linux schedulers: in the running kernel, or in a virtual machine.",
    {
        "run": Verb(FORCE, "cpu.run"),
        **_live("cpu", "status", "set"),
        "record": Verb(LIVE, "cpu.record"),
        **_live("cpu", "upgrade", "back"),
        "simulate": Verb(TRY, "cpu.simulate"),
    },
)

MEMORY = Group(
    STRATA,
    "Introspection of another machine's kernel memory, without software on its CPU.",
    {
        "scan": Verb(LOOK, "memory.scan"),
        "ps": Verb(LOOK, "memory.ps"),
        "lsmod": Verb(LOOK, "memory.lsmod"),
        "plan": Verb(LOOK, "memory.plan"),
        "run": Verb(FORCE, "memory.run"),
        **_live("memory", "status", "set", "record", "upgrade", "back"),
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
        "why": Verb(UNDERSTAND, "why"),
        "decisions": Verb(UNDERSTAND, "decisions"),
        "prove": Verb(UNDERSTAND, "prove"),
        "diff": Verb(UNDERSTAND, "diff"),
        "run": Verb(STACK, "run"),
        "top": Verb(STACK, "top"),
        **_live("stack", "status", "set", "record", "upgrade", heading=STACK),
        "rpc": RPC,
        "llm": LLM,
        "cpu": CPU,
        "memory": MEMORY,
        "doctor": Verb(MACHINE, "doctor"),
        "demo": Verb(MACHINE, "demo"),
        "bench": Verb(MACHINE, "bench"),
        "vm": Verb(MACHINE, "vm"),
    },
)
