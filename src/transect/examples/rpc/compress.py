# SPDX-License-Identifier: Apache-2.0
"""Compress a field at one end of an edge (LZ4, in base64); `expand.py` is the other end."""

from transect.rpc import Element, Forward, Message, Rpc, Verdict, compress_text


class Ask(Message):
    text: str


class Compress(Element):
    """Pack the field where that makes it smaller, and say so in a header."""

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        packed = compress_text(rpc.msg.text)
        rpc.headers.remove("x-packed")
        if len(packed) < len(rpc.msg.text):
            rpc.msg.text = packed
            rpc.headers.set("x-packed", "lz4")
        return Forward()
