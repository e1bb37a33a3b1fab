# SPDX-License-Identifier: Apache-2.0
"""The command line.  `main` starts it; a verb's module is imported only when the verb is wanted.

`check` is run by editors and hooks at every save, `memory ps` and `lsmod` at a prompt.  Their usual forms are
recognised here, before the library that parses command lines is imported; everything else, `check --help` included,
goes through `app.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from transect.cli.exits import Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("transect: interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return Exit.PIPE
    except Exception as error:
        from transect.cli.failure import report

        return report(error, words)


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["check"]:
        from transect.cli.checking import check, usual_form

        request = usual_form(words[1:])
        if request is not None:
            return check(*request)
    if words[:1] == ["memory"]:
        from transect.cli.memory import listing

        listed = listing.usual_form(words[1:])
        if listed is not None:
            return listing.listing(*listed)
    from transect.cli.app import run

    return run(words)
