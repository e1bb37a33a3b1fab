# SPDX-License-Identifier: Apache-2.0
"""What makes a counter-example easy to find: small inputs, and values of the stratum's functions that were computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transect.analysis.small import small
from transect.analysis.terms import Term, walk
from transect.rpc.equivalence.levels import Element
from transect.rpc.equivalence.samples import is_computed, sampled


def conditions(elements: Sequence[Element], question: Iterable[Term], *, params: bool) -> list[Term]:
    """For the inputs of the question, tried from the strictest; `params`: they are as declared."""
    question = list(question)
    computed = [t for t in walk(*question) if is_computed(t)]
    programs = [(e.name, e.program) for e in elements]
    near = small(programs, question, params=params, texts=not computed)  # computed texts may be long
    return [*near, *sampled(computed)]
