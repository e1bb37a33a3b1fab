# SPDX-License-Identifier: Apache-2.0
"""Outside facts for real chains: the counterpart of `runtime/given.h`, which reads what is written here."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.analysis.concrete import Facts
from transect.emit.artifact import Artifact
from transect.rpc.equivalence.streams import Event, Step

DRAWS = 8
ENTRY = struct.Struct(f"=qq{DRAWS}Q")


@dataclass(frozen=True)
class FactsFile:
    """A file of facts, for elements in this order."""

    path: Path
    elements: Sequence[str]

    def given(self, chain: Artifact, elements: Sequence[str]) -> Artifact:
        """An emitted chain of some of the elements, which reads the file."""
        places = ", ".join(str(self.elements.index(name)) for name in elements)
        defines = f"#define TS_GIVEN_FACTS {places}\n#define TS_GIVEN_FILE {json.dumps(str(self.path))}\n"
        return Artifact({**chain.files, "chain.c": defines.encode() + chain.files["chain.c"]})

    def write(self, event: Event, end: Event) -> None:
        """Write the facts which hold during an event of an RPC, and those for the RPC's end, should it come with that
        event."""
        parts = []
        for name in self.elements:
            now, later = event.tapes.get(name, Facts()), end.tapes.get(name, Facts())
            if event.step is Step.FINISH:
                later = now
            parts += [_entry(now, 0), _entry(now, 0), _entry(later, end.elapsed)]
        half = self.path.with_suffix(".new")
        half.write_bytes(b"".join(parts))
        half.replace(self.path)


def _entry(facts: Facts, elapsed: int) -> bytes:
    draws = (*facts.draws, *(0,) * DRAWS)[:DRAWS]
    return ENTRY.pack(facts.now, elapsed, *draws)
