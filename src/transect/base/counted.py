# SPDX-License-Identifier: Apache-2.0
"""Numbers of things, in words that people read."""


def counted(number: int, one: str, many: str = "") -> str:
    """`1 call`, `1200 calls`; `many`: the plural where it is not `one` and an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"
