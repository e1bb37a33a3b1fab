# SPDX-License-Identifier: Apache-2.0
"""Encrypt a field at one end of an edge; `decrypt.py` is the other end.

XChaCha20-Poly1305 with a random nonce: who does not have the key can neither read the field nor change it unnoticed.
They can drop it, send it again, and see how long it is.
"""

from transect.lang import rand_below
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict, seal_text


class Ask(Message):
    text: str


class Encrypt(Element):
    """Seal the field under a key of 32 bytes."""

    key: bytes = b""

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        sealed = seal_text(rpc.msg.text, self.key, rand_below(1 << 62), rand_below(1 << 62))
        if sealed is None:
            return Reject(Code.FAILED_PRECONDITION, "no key of 32 bytes")
        rpc.msg.text = sealed
        return Forward()
