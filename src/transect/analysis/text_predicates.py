# SPDX-License-Identifier: Apache-2.0
"""Questions about one text that a stratum decides in Python, such as whether a header may hold it.

To the solver such a question is an unknown predicate whose value is known only for constants.  The texts of a model are
then chosen so that each has the answer which the model gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TextPredicate:
    """Two predicates with the same name are the same question."""

    name: str
    holds: Callable[[bytes], bool]
    example: Callable[[bytes, bool], bytes]
    """From a text which is like no other: one of which it holds, or not, and which is still like no other; where it can
    be, as long as the first."""
    language: Callable[[Any], Any] | None = None
    """By the z3 module, the regular expression of the texts of which it holds; None: the predicate stays unknown where
    texts are taken as they are."""

    def mended(self, data: bytes, wanted: bool) -> bytes:
        """The text, or an example if the answer is another."""
        return data if self.holds(data) is wanted else self.example(data, wanted)
