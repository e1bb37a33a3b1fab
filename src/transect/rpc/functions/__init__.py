# SPDX-License-Identifier: Apache-2.0
"""Functions for policies that change what messages hold: sealing (authenticated encryption) and compression; and a
digest, for recognising a secret without having it.

They are pure: the policy draws a nonce and gives it as an argument, so that the tape has it.  The compiler reads the
signatures in this file; `meanings.py` says what the functions do, and `runtime/functions.h` the same in C for native
carriers.  The `…_text` functions work on `str` fields, whose values must stay text: what they seal or compress becomes
base64.
"""

from __future__ import annotations

from transect.lang import intrinsic


@intrinsic(effect="pure")
def seal(plain: bytes, key: bytes, first: int, second: int) -> bytes | None:
    """XChaCha20-Poly1305: nonce (16 bytes), ciphertext, tag (16 bytes); None unless the key has 32 bytes.

    `first` and `second` make the nonce and must never repeat together under one key: `rand_below(1 << 62)` each.
    """
    from transect.rpc.functions import meanings

    return meanings.seal(plain, key, first, second)


@intrinsic(effect="pure")
def unseal(sealed: bytes, key: bytes) -> bytes | None:
    """What `seal` was given; None when the key is another one, or a bit was changed."""
    from transect.rpc.functions import meanings

    return meanings.unseal(sealed, key)


@intrinsic(effect="pure")
def compress(plain: bytes) -> bytes:
    """The original size (u32, little-endian), then an LZ4 block."""
    from transect.rpc.functions import meanings

    return meanings.compress(plain)


@intrinsic(effect="pure")
def expand(packed: bytes, most: int) -> bytes | None:
    """What `compress` was given; None when that has more than `most` bytes, or `packed` is not from `compress`."""
    from transect.rpc.functions import meanings

    return meanings.expand(packed, most)


@intrinsic(effect="pure")
def seal_text(plain: str, key: bytes, first: int, second: int) -> str | None:
    """`seal` of a text, in base64."""
    from transect.rpc.functions import meanings

    return meanings.seal_text(plain, key, first, second)


@intrinsic(effect="pure")
def unseal_text(sealed: str, key: bytes) -> str | None:
    """What `seal_text` was given; None when `sealed` is not from `seal_text` under this key, or holds no text."""
    from transect.rpc.functions import meanings

    return meanings.unseal_text(sealed, key)


@intrinsic(effect="pure")
def compress_text(plain: str) -> str:
    """`compress` of a text, in base64."""
    from transect.rpc.functions import meanings

    return meanings.compress_text(plain)


@intrinsic(effect="pure")
def expand_text(packed: str, most: int) -> str | None:
    """What `compress_text` was given; None when that has more than `most` bytes, or `packed` is not from it."""
    from transect.rpc.functions import meanings

    return meanings.expand_text(packed, most)


@intrinsic(effect="pure")
def digest(text: str) -> str:
    """SHA-256 of a text, as 64 hexadecimal digits."""
    from transect.rpc.functions import meanings

    return meanings.digest(text)
