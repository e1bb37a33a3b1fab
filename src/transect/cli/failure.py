# SPDX-License-Identifier: Apache-2.0
"""What is said when a command cannot do its work: because the machine lacks something, or because we made a mistake."""

from __future__ import annotations

import errno
import shlex
import sys
import traceback
from collections.abc import Sequence

from transect.base.places import ANOTHER_CACHE, ANOTHER_TEMPORARY, place, temporary
from transect.base.room import FULL, full_ones
from transect.base.snippet import echoed, visible
from transect.base.unavailable import NoName, Unavailable, Unsafe
from transect.cli.exits import Exit


def report(error: Exception, words: Sequence[str]) -> int:
    """Say on stderr what happened, and return the exit code."""
    if isinstance(error, Unavailable):
        return unavailable(error)
    if isinstance(error, OSError) and error.errno in FULL:
        return full(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        tell(f"{echoed(str(error.filename))}: {error.strerror}")
        return Exit.USAGE if error.errno == errno.ENAMETOOLONG else Exit.UNAVAILABLE
    if isinstance(error, NoName):
        return usage(str(error), error.hint)
    if isinstance(error, Unsafe):
        tell(error)
        return Exit.UNAVAILABLE
    print("\n".join(map(visible, ours(error, words).split("\n"))), file=sys.stderr)
    return Exit.OURS


def tell(what: object, hint: str = "") -> None:
    """Say on stderr what is wrong, and what helps.  Names in it may be anybody's, so no control character passes."""
    print("transect: " + "\n".join(map(echoed, str(what).split("\n"))), file=sys.stderr, flush=True)
    if hint:
        print(f"  hint: {echoed(hint)}", file=sys.stderr, flush=True)


def unavailable(lacking: Unavailable) -> int:
    """What is missing, why, and the one command that helps."""
    tell(f"{echoed(lacking.what)}: {lacking.why}", lacking.hint)
    return Exit.UNAVAILABLE


def full(error: OSError) -> int:
    """A disk that is full: which one, as far as can be known, and what helps."""
    if error.filename is not None:
        tell(f"{echoed(str(error.filename))}: {error.strerror}", "make room there, or name another place")
        return Exit.UNAVAILABLE
    try:
        kept = [place("")]
    except Unavailable:
        kept = []
    where = ", ".join(full_ones([temporary(), *kept, "."])) or "a disk that is written to"
    hint = f"make room there; for files under way {ANOTHER_TEMPORARY}, for what is kept {ANOTHER_CACHE}"
    tell(f"{where}: {error.strerror}", hint)
    return Exit.UNAVAILABLE


def usage(message: str, hint: str = "") -> int:
    """A mistake in the command itself which only the verb could see."""
    tell(echoed(message), hint)
    return Exit.USAGE


def no_file(place: str) -> int:
    """A file that a command line names and that is not there."""
    return usage(f"no such file: {place}")


def refused(why: object) -> int:
    """Say why a policy is refused: with its diagnostics as they are, or in a sentence.

    On stderr, because stdout is for the output of `run` and `simulate`.
    """
    text = str(why).strip()
    if "\n" in text:
        print(text, file=sys.stderr)
    else:
        tell(text)
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
