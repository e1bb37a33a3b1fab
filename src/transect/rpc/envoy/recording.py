# SPDX-License-Identifier: Apache-2.0
"""A log of what a module's chain does: this process writes its head and end, the module every call between them.

A recording that begins with Envoy is complete.  One that begins later starts from the state at that moment; the log
does not know the past of RPCs then under way, so it says how many there were (`under_way`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.core.ir import Program
from transect.core.schema import schema
from transect.replay.log import MAGIC, VERSION, Header, Policy, Trailer, json_frame
from transect.replay.writer import create
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.needs import HOOKS
from transect.rpc.chain.replay import about
from transect.rpc.envoy.control import Control

NO_HOOK = 0xFFFF


def hook_numbers(programs: Sequence[Program]) -> tuple[tuple[int, int, int], ...]:
    """For `Settings.hooks`: which of each policy's hooks are request, response, finish."""
    named = [[h.name for h in program.handlers] for program in programs]
    triples = [tuple(names.index(h) if h in names else NO_HOOK for h in HOOKS) for names in named]
    return tuple((request, response, finish) for request, response, finish in triples)


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded, and for whom."""

    path: Path
    name: str  # of the chain
    binding: Binding
    sources: Mapping[str, str]  # path -> text of the policies

    def begin(self, starts: Sequence[bytes]) -> None:
        """Write the head, before Envoy starts with `Settings.record` at this path.  Raises FileExistsError."""
        self._head(starts, 0)

    def join(self, control: Control) -> int:
        """Begin on a running module; return how many RPCs were under way.  Raises ControlError, FileExistsError."""
        under_way = 0

        def head(images: Sequence[bytes], unfinished: int) -> Path:
            nonlocal under_way
            under_way = unfinished
            self._head(images, unfinished)
            return self.path.absolute()

        control.record(head)
        return under_way

    def end(self, records: int, dropped: int, images: Sequence[bytes]) -> Trailer:
        """Close the log, with the results of `Control.stop_recording`.  Raises OSError."""
        trailer = Trailer(records, dropped, dict(enumerate(images)))
        with self.path.open("ab") as file:
            file.write(json_frame(b"T", trailer.to_json()))
        return trailer

    def _head(self, starts: Sequence[bytes], under_way: int) -> None:
        header = Header(
            "rpc", self.name, True, about(self.binding) | {"carrier": "Envoy", "under_way": under_way}
        )
        pieces = [MAGIC + VERSION.to_bytes(4, "little"), json_frame(b"H", header.to_json())]
        for element, start in zip(self.binding.elements, starts, strict=True):
            program = element.program
            policy = Policy.of(program, schema(program), start, sources=self.sources)
            pieces.append(json_frame(b"P", policy.to_json()))
        file = create(self.path)
        try:
            with file:
                file.write(b"".join(pieces))
        except OSError:
            self.path.unlink()  # an incomplete head is no log
            raise
