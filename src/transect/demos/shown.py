# SPDX-License-Identifier: Apache-2.0
"""How a demonstration ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """Whether it came out as it should, and what stood in for parts that this machine lacks, a phrase each."""

    right: bool
    stand_ins: tuple[str, ...] = ()
