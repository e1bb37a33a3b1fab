# SPDX-License-Identifier: Apache-2.0
"""Programs that are run for their output, with a limit of time and of output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from transect.base.bounded import AT_ONCE

SAID = 16 << 20  # most bytes of a program's output, unless the caller gives another limit


class Endless(Exception):
    """The program did not end in time or wrote more than its limit; the text says which.  It has been killed, with all
    that it has started.
    """


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended."""

    status: int  # as Popen has it: negative for a signal
    out: bytes
    err: bytes

    @property
    def said(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def complaint(self) -> str:
        return self.err.decode(errors="replace")


def ran(
    command: Sequence[str], *, patience_s: float, most: int = SAID, given: bytes = b"", **options: Any
) -> Ended:
    """Run the command to its end.  `most`: limit of bytes for each of its outputs; `given`: its standard input;
    `options`: those of Popen.  Raises OSError if it does not start, and Endless.
    """
    until = time.monotonic() + patience_s
    # A file: nobody has to write while we read.  Without input none is needed, and no room for it.
    with tempfile.TemporaryFile() if given else open(os.devnull, "w+b") as text:
        if given:
            text.write(given)
            text.seek(0)
        process = subprocess.Popen(
            command,
            stdin=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
    with process:
        assert process.stdout is not None and process.stderr is not None
        try:
            out, err = _heard([process.stdout, process.stderr], until, most)
            process.wait(max(0, until - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise Endless(f"it does not end within {patience_s:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return Ended(process.returncode, out, err)


def _heard(streams: Sequence[IO[bytes]], until: float, most: int) -> list[bytes]:
    """The whole output of each stream.  Raises TimeoutError and Endless."""
    found = {stream.fileno(): bytearray() for stream in streams}
    with selectors.DefaultSelector() as open_ones:
        for descriptor in found:
            open_ones.register(descriptor, selectors.EVENT_READ)
        while open_ones.get_map():
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            for key, _ in open_ones.select(left_s):
                piece = os.read(key.fd, AT_ONCE)
                found[key.fd] += piece
                if not piece:
                    open_ones.unregister(key.fd)
                elif len(found[key.fd]) > most:
                    raise Endless(f"it says more than {most:,} bytes")
    return list(map(bytes, found.values()))
