# SPDX-License-Identifier: Apache-2.0
"""Envoy's own HTTP filters in place of elements that provably do the same.

| module      | is for                                                                             |
|-------------|------------------------------------------------------------------------------------|
| `filters`   | what Envoy is told: refusals by header (`rbac`), header changes (`header_mutation`) |
| `meaning`   | what a filter does under its configuration, as a policy of our language             |
| `candidate` | the filters that an element may equal, read off the terms of its handlers           |
| `proof`     | whether it equals them: the element does the same as the meaning of the filters     |
| `running`   | such filters in an Envoy, and what an operator may ask of them                      |
"""

from transect.rpc.builtin.filters import Filter, Mutation, NotAFilter, Refusal
from transect.rpc.builtin.proof import filters_of

__all__ = ["Filter", "Mutation", "NotAFilter", "Refusal", "filters_of"]
