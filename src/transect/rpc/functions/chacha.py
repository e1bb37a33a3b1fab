# SPDX-License-Identifier: Apache-2.0
"""XChaCha20-Poly1305: the cipher and authenticator of RFC 8439, with nonces of 24 bytes (draft-irtf-cfrg-xchacha-03).

The twin of `runtime/seal.h`.  It serves where there is no compiler, and as the oracle; it is slow and not
constant-time: whoever can time it may learn how long numbers are.
"""

from __future__ import annotations

import hmac
from struct import pack, unpack

KEY_BYTES, TAG_BYTES = 32, 16
MASK = 0xFFFF_FFFF
WORDS = b"expand 32-byte k"
PRIME = (1 << 130) - 5
CLAMP = 0x0FFFFFFC_0FFFFFFC_0FFFFFFC_0FFFFFFF
QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def seal(plain: bytes, key: bytes, nonce: bytes) -> bytes:
    """Ciphertext and tag."""
    inner, rest = _inner(key, nonce)
    sealed = _streamed(plain, inner, rest)
    return sealed + _tag(sealed, inner, rest)


def unseal(sealed: bytes, key: bytes, nonce: bytes) -> bytes | None:
    """The plain bytes; None when the tag does not fit."""
    inner, rest = _inner(key, nonce)
    data, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    return _streamed(data, inner, rest) if hmac.compare_digest(tag, _tag(data, inner, rest)) else None


def _inner(key: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """The key and the nonce of ChaCha20 for a long nonce (HChaCha20)."""
    words = _rounds([*unpack("<4I", WORDS), *unpack("<8I", key), *unpack("<4I", nonce[:16])])
    return pack("<8I", *words[:4], *words[12:]), bytes(4) + nonce[16:]


def _rounds(words: list[int]) -> list[int]:
    for _ in range(10):
        for a, b, c, d in QUARTERS:
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                words[x] = (words[x] + words[y]) & MASK
                mixed = words[z] ^ words[x]
                words[z] = (mixed << turn | mixed >> (32 - turn)) & MASK
    return words


def _block(key: bytes, nonce: bytes, counter: int) -> bytes:
    start = [*unpack("<4I", WORDS), *unpack("<8I", key), counter, *unpack("<3I", nonce)]
    return pack("<16I", *((a + b) & MASK for a, b in zip(start, _rounds(list(start)), strict=True)))


def _streamed(data: bytes, key: bytes, nonce: bytes) -> bytes:
    blocks = (_block(key, nonce, 1 + i) for i in range((len(data) + 63) // 64))
    stream = b"".join(blocks)[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))


def _tag(data: bytes, key: bytes, nonce: bytes) -> bytes:
    """Poly1305 over the padded ciphertext and two sizes: of the additional data (there is none), of the ciphertext."""
    first = _block(key, nonce, 0)
    factor = int.from_bytes(first[:16], "little") & CLAMP
    text = data + bytes(-len(data) % 16) + pack("<QQ", 0, len(data))
    total = 0
    for at in range(0, len(text), 16):
        total = (total + int.from_bytes(text[at : at + 16] + b"\1", "little")) * factor % PRIME
    total += int.from_bytes(first[16:32], "little")
    return (total % (1 << 128)).to_bytes(16, "little")
