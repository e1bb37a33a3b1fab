# SPDX-License-Identifier: Apache-2.0
"""The other end of `compress.py`."""

from transect.lang import Param, param
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict, expand_text


class Ask(Message):
    text: str


class Expand(Element):
    """Unpack the field; one that would have more than `most` bytes does not pass."""

    most: Param[int] = param(1_000_000)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.headers.get("x-packed") is not None:
            plain = expand_text(rpc.msg.text, self.most)
            if plain is None:
                return Reject(Code.INVALID_ARGUMENT, "not packed, or too large")
            rpc.msg.text = plain
            rpc.headers.remove("x-packed")
        return Forward()
