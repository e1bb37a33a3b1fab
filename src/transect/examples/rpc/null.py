# SPDX-License-Identifier: Apache-2.0
"""The element that does nothing: what an element costs by itself."""

from transect.rpc import Element, Forward, Rpc, Verdict


class Null(Element):
    """Everything passes."""

    def request(self, rpc: Rpc) -> Verdict:
        return Forward()
