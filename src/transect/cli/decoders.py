# SPDX-License-Identifier: Apache-2.0
"""What reads the records of each stratum, by its name."""

from __future__ import annotations

import importlib

from transect.replay import Log, LogError, Teller

DECODERS = {
    "rpc": ("transect.rpc.chain.replay", "RpcDecoder"),
    "llm": ("transect.llm.replay", "LlmDecoder"),
    "memory": ("transect.memory.replay", "MemoryDecoder"),
    "cpu": ("transect.cpu.replay", "CpuDecoder"),
}
"""By stratum: a module, imported when a log asks for it, and a class made from the log."""
QUEUE = ("transect.replay.queues", "QueueDecoder")
"""Likewise, of the queue of a stratum that records other things, too."""


def decoder(log: Log) -> Teller:
    """What the log's stratum knows of its records."""
    stratum = log.header.stratum
    if stratum not in DECODERS:
        raise LogError(f"the log is of {stratum!r:.40}, which is no stratum")
    module, name = QUEUE if log.header.notes.get("kind") == "queue" else DECODERS[stratum]
    made: Teller = getattr(importlib.import_module(module), name)(log)
    return made
