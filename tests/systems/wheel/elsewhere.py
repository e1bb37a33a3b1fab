# SPDX-License-Identifier: Apache-2.0
"""Run by the test: `python elsewhere.py WORDS` is `transect WORDS` on a machine that is no Linux.

Modules that only Linux or only Unix has, and the packages of the strata, cannot be imported there.  What of transect
was loaded goes to standard error when the verb is done, a name a line.
"""

from __future__ import annotations

import sys  # nothing else: what the verb imports must not be there yet

ABSENT = {
    *(
        "_curses",
        "_posixshmem",
        "crypt",
        "curses",
        "fcntl",
        "grp",
        "nis",
        "ossaudiodev",
        "pty",
        "pwd",
        "readline",
    ),
    *("resource", "spwd", "syslog", "termios", "tty"),
    *("google", "grpc", "grpc_reflection", "uvloop", "z3"),
}


class Elsewhere:
    """Says of each absent module that there is none."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r} elsewhere", name=name)


def main() -> int:
    assert not ABSENT & sys.modules.keys(), sorted(ABSENT & sys.modules.keys())
    sys.meta_path.insert(0, Elsewhere)
    from transect.cli import main as transect

    code = transect(sys.argv[1:])
    print(*sorted(name for name in sys.modules if name.startswith("transect.")), sep="\n", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
