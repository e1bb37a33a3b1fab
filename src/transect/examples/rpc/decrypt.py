# SPDX-License-Identifier: Apache-2.0
"""The other end of `encrypt.py`."""

from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict, unseal_text


class Ask(Message):
    text: str


class Decrypt(Element):
    """Open the field; whatever was not sealed with this very key does not pass."""

    key: bytes = b""

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        plain = unseal_text(rpc.msg.text, self.key)
        if plain is None:
            return Reject(Code.UNAUTHENTICATED, "not sealed with this key")
        rpc.msg.text = plain
        return Forward()
