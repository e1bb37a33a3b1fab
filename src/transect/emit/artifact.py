# SPDX-License-Identifier: Apache-2.0
"""What an emitter returns: files, not yet written anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transect.base.room import put
from transect.core import ir


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of one emitted policy: relative path → content."""

    files: dict[str, bytes]

    def write(self, folder: Path) -> list[Path]:
        """Write the files below `folder`, which is created if it is missing.  Returns their paths."""
        paths = [folder / name for name in self.files]
        for path, content in zip(paths, self.files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, content)
        return paths


def line_of(program: ir.Program) -> int:
    """The first line of the policy in its own file, as far as the program knows."""
    spans = [*(f.span for f in program.state), *(h.span for h in program.handlers)]
    return min((s.line for s in spans if s.path == program.path), default=1)
