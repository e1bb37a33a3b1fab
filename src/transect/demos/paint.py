# SPDX-License-Identifier: Apache-2.0
"""Colour on a terminal."""

from __future__ import annotations

GREEN = "32"
YELLOW = "33"


def painted(text: str, color: str, on: bool) -> str:
    """Bold, in that colour, if `on`."""
    return f"\033[1;{color}m{text}\033[0m" if on else text
