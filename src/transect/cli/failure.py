# SPDX-License-Identifier: Apache-2.0
"""What is said when a command cannot do its work: because the machine lacks something, or because we made a mistake."""

from __future__ import annotations

import errno
import shlex
import sys
import traceback
from collections.abc import Sequence

from transect.base.unavailable import Unavailable
from transect.cli.exits import Exit


def report(error: Exception, words: Sequence[str]) -> int:
    """Say on stderr what happened, and return the exit code."""
    if isinstance(error, Unavailable):
        return unavailable(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        print(f"transect: {error.filename}: {error.strerror}", file=sys.stderr)
        return Exit.USAGE if error.errno == errno.ENAMETOOLONG else Exit.UNAVAILABLE
    from transect.control.sockets import NoName, Unsafe

    if isinstance(error, NoName):
        return usage(str(error), "--name NAME")
    if isinstance(error, Unsafe):
        print(f"transect: {error}", file=sys.stderr)
        return Exit.UNAVAILABLE
    print(ours(error, words), file=sys.stderr)
    return Exit.OURS


def unavailable(lacking: Unavailable) -> int:
    """What is missing, why, and the one command that helps."""
    print(f"transect: {lacking.what}: {lacking.why}", file=sys.stderr)
    if lacking.hint:
        print(f"  hint: {lacking.hint}", file=sys.stderr)
    return Exit.UNAVAILABLE


def usage(message: str, hint: str = "") -> int:
    """A mistake in the command itself which only the verb could see."""
    print(f"transect: {message}", file=sys.stderr)
    if hint:
        print(f"  hint: {hint}", file=sys.stderr)
    return Exit.USAGE


def no_file(place: str) -> int:
    """A file that a command line names and that is not there."""
    return usage(f"no such file: {place}")


def refused(why: object) -> int:
    """A policy that cannot be taken: its diagnostics as they are; else the sentence that says so.

    On stderr: what `run` and `simulate` would have said stands on stdout.
    """
    text = str(why).strip()
    print(text if "\n" in text else f"transect: {text}", file=sys.stderr)
    return Exit.NO


def ours(error: Exception, words: Sequence[str]) -> str:
    """The text to report: versions, command and where it happened."""
    import platform

    from transect import __version__

    where = "".join(traceback.format_exception(error)).rstrip()
    return "\n".join(
        [
            "transect: this is a mistake of transect, not yours.  Please report it with the text between the lines.",
            "-" * 72,
            f"transect {__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}",
            f"command: {shlex.join(['transect', *words])}",
            where,
            "-" * 72,
        ]
    )
