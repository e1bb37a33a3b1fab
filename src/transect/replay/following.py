# SPDX-License-Identifier: Apache-2.0
"""Reading a log while it is written.  What has been read is given back to the disk: such a log is no file to keep."""

from __future__ import annotations

import ctypes
import heapq
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

from transect.replay.log import CHECK, FRAME, MAGIC, READ, Header, LogError, Policy, Record
from transect.replay.reader import Reading

AT_ONCE = 1 << 20  # bytes that are read at once
LARGEST = 256 << 20  # bytes of a frame
KNOWN = 1 << 16  # numbers of calls that are remembered
APART = 1024  # records that may come before one that took effect earlier
PAGE = 4096
PUNCH = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE

_libc = ctypes.CDLL(None, use_errno=True)


class Following:
    """A log under way, from its beginning."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("r+b", buffering=0)
        self._rest = b""
        self._read = 0
        self._begun = False
        self._reading = Reading(b"")

    def close(self) -> None:
        self._file.close()

    @property
    def header(self) -> Header | None:
        return self._reading.header

    @property
    def clients(self) -> Mapping[int, str]:
        """What clients are called, as far as it has been said."""
        return self._reading.clients

    @property
    def behind(self) -> int:
        """Bytes that have been written and not been read."""
        return os.fstat(self._file.fileno()).st_size - self._read

    @property
    def ended(self) -> bool:
        """Whether the log has been closed."""
        return self._reading.trailer is not None

    def more(self) -> Iterator[Policy | Record]:
        """What is there by now, some of it at a time.  Raises `LogError`, OSError."""
        data = self._file.read(AT_ONCE)
        self._read += len(data)
        self._rest += data
        at = self._head()
        while (frame := self._frame(at)) is not None:
            end, kind, payload = frame
            yield from self._taken(kind, payload)
            at = end
        self._rest = self._rest[at:]
        self._give_back()

    def _head(self) -> int:
        """Where frames go on."""
        if self._begun or len(self._rest) < len(MAGIC) + 4:
            return 0
        if not self._rest.startswith(MAGIC):
            raise LogError("this is no log of transect")
        version = int.from_bytes(self._rest[len(MAGIC) : len(MAGIC) + 4], "little")
        if version not in READ:
            raise LogError(f"log version {version} is not known")
        self._begun = True
        return len(MAGIC) + 4

    def _frame(self, at: int) -> tuple[int, bytes, bytes] | None:
        if not self._begun or len(self._rest) - at < FRAME.size:
            return None
        kind, size = FRAME.unpack_from(self._rest, at)
        if size > LARGEST:
            raise LogError(f"a frame of {size:,} bytes is more than a shadow takes")
        end = at + FRAME.size + size + CHECK.size
        if end > len(self._rest):
            return None
        return end, kind, self._rest[at + FRAME.size : end - CHECK.size]

    def _taken(self, kind: bytes, payload: bytes) -> Iterator[Policy | Record]:
        reading = self._reading
        reading.take(kind, payload)
        if kind == b"P":
            yield reading.policies[-1]
        while reading.records:
            yield reading.records.pop()
        reading.names.clear()  # they would be all that ever came

    def _give_back(self) -> None:
        """Where a file system cannot, the file stays as long as it is."""
        whole = self._read // PAGE * PAGE
        if whole:
            _libc.fallocate(self._file.fileno(), PUNCH, ctypes.c_long(0), ctypes.c_long(whole))


class InOrder:
    """Records of each policy in the order in which calls took effect; writers on several threads hand them over in
    another one.

    The policies of a chain may share one clock, or each have its own: a number that another policy's record has is not
    missing.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[tuple[int, int, Record]]] = {}
        self._next: dict[int, int] = {}
        self._numbers: OrderedDict[int, None] = OrderedDict()  # the last ones that came
        self._came = 0
        self.missing = 0  # calls that never came

    def begins(self, policy: int, first: int) -> None:
        """The number of a policy's first call."""
        self._next[policy] = first

    def add(self, record: Record) -> None:
        self._came += 1
        self._numbers[record.sequence] = None
        if len(self._numbers) > KNOWN:
            self._numbers.popitem(last=False)
        heapq.heappush(self._waiting.setdefault(record.policy, []), (record.sequence, self._came, record))

    def ready(self, *, quiet: bool) -> Iterator[Record]:
        """Those before which nothing can come any more; `quiet`: nothing has come for a while."""
        for policy, waiting in self._waiting.items():
            while waiting:
                sequence = waiting[0][0]
                lacking = self._lacking(policy, sequence)
                if lacking and not quiet and len(waiting) < APART:
                    break
                self.missing += 0 if policy not in self._next else lacking
                self._next[policy] = max(sequence + 1, self._next.get(policy, 0))
                yield heapq.heappop(waiting)[2]

    def _lacking(self, policy: int, sequence: int) -> int:
        """How many calls before this one may still come."""
        after = self._next.get(policy)
        if after is None:
            return 1
        return sum(number not in self._numbers for number in range(after, min(sequence, after + KNOWN)))
