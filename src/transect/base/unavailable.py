# SPDX-License-Identifier: Apache-2.0
"""What this machine lacks, or cannot give.  Raised by whatever needs it; nothing silently does less."""


class Unavailable(Exception):
    """A part that cannot run here: `what` is missing, `why`, and the one command that helps (`hint`)."""

    def __init__(self, what: str, why: str, hint: str) -> None:
        super().__init__(f"{what}: {why} ({hint})")
        self.what = what
        self.why = why
        self.hint = hint


class NoName(ValueError):
    """A name that no instance can have, or none where several run; says why, and what helps (`hint`)."""

    def __init__(self, why: str, hint: str = "--name NAME") -> None:
        super().__init__(why)
        self.hint = hint


class Unsafe(Exception):
    """A folder for sockets in which other users could put theirs."""
