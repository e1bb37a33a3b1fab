# SPDX-License-Identifier: Apache-2.0
"""An attached chain as its user sees it: its state, its parameters, its recording, its versions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.base.unavailable import Unavailable
from transect.control.host import NOTHING_BEFORE, Records
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.lang.functions import PolicyError
from transect.rpc.chain.binding import Binding
from transect.rpc.grpcio.handle import Handle
from transect.rpc.grpcio.making import Maker, numbered
from transect.rpc.grpcio.standing import Standing
from transect.rpc.grpcio.versions import Versions
from transect.rpc.grpcio.yielding import yielding
from transect.rpc.versions.upgrade import (
    NOT_ALONE,
    TOGETHER,
    Handover,
    Settling,
    Version,
    read_version,
)

if TYPE_CHECKING:
    from transect.control.server import Server
    from transect.replay.log import Trailer
    from transect.rpc.grpcio.recording import Recording

SETTLE_S = (
    0.02,
    1.0,
)  # between two looks at what RPCs of an old version have done: while some are under way, and later


class Attached:
    """One chain in front of one channel or server: its `.chain`."""

    def __init__(self, maker: Maker, first: Standing) -> None:
        self._maker = maker
        self.now = first
        self.number = 1  # of the version in force
        self.versions = Versions(_carried(first))
        self.carrier = maker.carrier.name.removeprefix("a ")  # such as `grpcio client`
        self.name = "+".join(self.elements)
        self.recording: Recording | None = None
        self.server: Server | None = None  # makes the chain reachable for operators
        self._settling: Settling | None = None
        self._before: Version | None = None  # the version before the last upgrade
        self.joined = False  # this is one of several processors, which change together
        self.changing = threading.RLock()  # held while versions, or the state of one, change

    def __repr__(self) -> str:
        how = "native" if self.native else f"emitted Python ({self.reason})"
        return f"<chain {', '.join(self.elements)}: {how}>"

    @property
    def binding(self) -> Binding:
        return self.now.binding

    @property
    def handle(self) -> Handle:
        return self.now.handle

    @property
    def native(self) -> bool:
        return not self.now.reason

    @property
    def reason(self) -> str:
        """Why the chain is not native; empty: it is."""
        return self.now.reason

    @property
    def elements(self) -> tuple[str, ...]:
        return self.now.elements

    @property
    def programs(self) -> tuple[Program, ...]:
        return tuple(element.program for element in self.binding.elements)

    # ------------------------------------------------------------ state

    def index(self, element: str | int) -> int:
        """Position of an element; KeyError when there is none of that name."""
        if isinstance(element, int):
            return range(len(self.elements))[element]
        if element not in self.elements:
            raise KeyError(f"no element {element!r}; there are {', '.join(self.elements)}")
        return self.elements.index(element)

    def state(self, element: str | int) -> Any:
        """A policy object with the element's state of this moment; changing that object does not change the chain."""
        with self.changing:
            index = self.index(element)
            return self.now.object(index, self.now.save(index))

    def set(self, element: str | int, **fields: Any) -> None:
        """Change parameters, or other state, of the running element as one step: `set("RateLimit", per_second=50)`.

        Raises AttributeError, TypeError or ValueError as assigning to the policy object would, and `Records` while a
        log is written.
        """
        with self.changing:
            self._check_that_no_log_is_written()
            self.now.set(self.index(element), fields)

    def _check_that_no_log_is_written(self) -> None:
        if self.recording is not None:
            raise Records("`.chain.end_record()` ends the recording")

    def swap(self, index: int, change: Callable[[bytes], bytes]) -> None:
        """Put what `change` makes of the state's image in force, as one step."""
        with self.changing:
            self.now.swap(index, change)

    # ------------------------------------------------------------ versions

    def upgrade(self, path: Path, automatic_return: bool = True) -> Mapping[str, str]:
        """Put in force the elements of a chain file, or policies in the place of those of the same names.

        Returns what becomes of each field of the state.  RPCs under way end on the version that began them.  Raises
        Refused, and the old version goes on, for a file that is not understood, for state that cannot go over (or,
        unless `automatic_return` is False, not back), and for code that does not load or fails a trial in a process of
        its own.
        """
        with self.changing, yielding():
            self._check_that_no_log_is_written()
            if self.joined:
                raise Refused(NOT_ALONE, TOGETHER)
            version = read_version(path, self.now.version)
            handover = Handover.of(self.now.version.origins, version)
            handover.check(automatic_return)
            new, bases = self.ready(version, handover, self.now.save)
            self.put(numbered(new, str(self.number + 1)), handover, bases)
            return handover.fields()

    def go_back(self) -> Mapping[str, str]:
        """Put the version before the last upgrade in force again, with its state given back; else as `upgrade`."""
        with self.changing, yielding():
            self._check_that_no_log_is_written()
            if self.joined:
                raise Refused(NOT_ALONE, TOGETHER)
            if self._before is None:
                raise Refused(*NOTHING_BEFORE)
            handover = Handover.back(self.now.version, self._before)
            new, bases = self.ready(self._before, handover, self.now.save)
            self.put(numbered(new, str(self.number + 1)), handover, bases)
            self._before = None
            return handover.fields()

    def ready(
        self, version: Version, handover: Handover, image: Callable[[int], bytes]
    ) -> tuple[Standing, dict[int, bytes]]:
        """The new version with the state that it begins with, and the old images from which that state was made."""
        new = self._made(version, handover, image)
        images, bases = handover.start(image)
        for index, data in enumerate(images):
            fits = new.handle.load(index, data)
            assert fits, f"{new.elements[index]} takes no image of its own state"
        return new, bases

    def _made(self, version: Version, handover: Handover, image: Callable[[int], bytes]) -> Standing:
        from transect.emit.py.build import build
        from transect.rpc.grpcio.trial import tried

        def trial(library: Path) -> None:
            images, _ = handover.start(image)
            tried(library, [method.path for method in binding.methods], images)

        try:
            binding = self._maker.bound(version.programs, lambda: dict(version.sources))
            policies = [build(program)() for program in version.programs]
            return self._maker.standing(version, binding, policies, trial)
        except PolicyError as error:
            raise Refused(f"the new version cannot run here: {error}") from error
        except Unavailable as lacking:
            raise Refused(f"{lacking.what}: {lacking.why}", lacking.hint) from lacking

    def put(self, new: Standing, handover: Handover, bases: Mapping[int, bytes]) -> None:
        """Put the new version in force for RPCs that begin from now on; the caller holds `changing`."""
        self.number += 1
        self._before = self.now.version
        old = self.now.retired()
        self.now = new
        self.versions.put(_carried(new))
        self._settling = Settling(handover, old, new, bases, self._settling)
        threading.Thread(
            target=self._settle, args=(self._settling,), name="transect-settling", daemon=True
        ).start()

    def _settle(self, settling: Settling) -> None:
        """Carry over what RPCs of the old version do, until nobody can use it or a later version takes this over."""
        while True:
            time.sleep(SETTLE_S[settling.quiet])
            with self.changing:
                if self._settling is not settling:
                    return
                if settling.settle():
                    self._settling = None
                    return

    @property
    def settled(self) -> bool:
        """Whether no RPC of an older version is under way, and what such RPCs did has gone over."""
        settling = self._settling
        return settling is None or settling.quiet

    # ------------------------------------------------------------ recording, control

    def record(self, path: str | Path) -> Recording:
        """Write every handler call into a new log, for `transect replay`.  Raises FileExistsError, OSError."""
        from transect.rpc.grpcio.recording import Recording

        assert self.recording is None, "one recording at a time"
        self.recording = Recording(Path(path), self.name, self.binding, self.handle, self.carrier)
        return self.recording

    def end_record(self) -> Trailer:
        """Close the log."""
        assert self.recording is not None, "nothing is recorded"
        recording, self.recording = self.recording, None
        return recording.end()

    def close(self) -> None:
        """End the recording, and close the socket for operators; the chain itself goes on."""
        if self.server is not None:
            self.server.close()
            self.server = None
        if self.recording is not None:
            self.end_record()


def _carried(standing: Standing) -> Any:
    carried = standing.carried()
    assert carried is not None, "it takes RPCs"
    return carried
