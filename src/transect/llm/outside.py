# SPDX-License-Identifier: Apache-2.0
"""Who waits at an engine while something is proved of an admission policy."""

from __future__ import annotations

from collections.abc import Mapping

from transect.analysis.concrete import Reader, other
from transect.analysis.world import World
from transect.core.ir import Program
from transect.core.types import SeqType

WAITING, PICK = "waiting", "pick"


class Engine(World):
    """One call of a hook of an admission policy, or of two versions of one."""

    def kept(self, reader: Reader, program: Program, name: str) -> Mapping[str, object]:
        """Somebody waits whenever `pick` is called."""
        found = dict(super().kept(reader, program, name))
        waiting = program.field(WAITING).type
        assert isinstance(waiting, SeqType), "clients wait"
        if self.tape.split()[0] == PICK and not found[WAITING]:
            found[WAITING] = [other(waiting.item, 1)]
        return found
