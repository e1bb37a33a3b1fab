# SPDX-License-Identifier: Apache-2.0
"""The other versions of a log's policies, from a file: its policies, or the elements of its chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transect.base.render import render_text
from transect.cli.compiling import Refused, is_chain, read
from transect.replay.beside import Version


def versions(path: Path, stratum: str) -> list[Version]:
    """Raises `Refused` with the diagnostics."""
    if stratum == "rpc" and is_chain(path):
        return _elements(path)
    return [Version(program) for program in read(path).programs]


def standing_for(found: list[Version], recorded: list[str]) -> list[Version]:
    """If the file has one policy and one was recorded, they are versions of each other, whatever their names."""
    if len(found) == len(recorded) == 1:
        return [replace(found[0], stands_for=recorded[0])]
    return found


def _elements(path: Path) -> list[Version]:
    from transect.rpc.chain.file import first_state, read_chain

    chain = read_chain(path)
    if chain.chain is None:
        raise Refused(render_text(chain.diagnostics, chain.sources))
    return [
        Version(use.program, first_state(use.program, use.values), frozenset(use.values))
        for use in chain.chain.elements
    ]
