# SPDX-License-Identifier: Apache-2.0
"""What the functions of `__init__.py` do, in Python; `runtime/functions.h` is the twin in C."""

from __future__ import annotations

import base64
import binascii
import hashlib

from transect.rpc.functions import chacha, lz4


def seal(plain: bytes, key: bytes, first: int, second: int) -> bytes | None:
    nonce = (first % (1 << 64)).to_bytes(8, "little") + (second % (1 << 64)).to_bytes(8, "little")
    return nonce + chacha.seal(plain, key, nonce + bytes(8)) if len(key) == chacha.KEY_BYTES else None


def unseal(sealed: bytes, key: bytes) -> bytes | None:
    if len(key) != chacha.KEY_BYTES or len(sealed) < 16 + chacha.TAG_BYTES:
        return None
    return chacha.unseal(sealed[16:], key, sealed[:16] + bytes(8))


def compress(plain: bytes) -> bytes:
    return lz4.compress(plain)


def expand(packed: bytes, most: int) -> bytes | None:
    return lz4.expand(packed, most)


def seal_text(plain: str, key: bytes, first: int, second: int) -> str | None:
    sealed = seal(plain.encode(), key, first, second)
    return None if sealed is None else base64.b64encode(sealed).decode()


def unseal_text(sealed: str, key: bytes) -> str | None:
    data = _from_base64(sealed)
    return _text(None if data is None else unseal(data, key))


def compress_text(plain: str) -> str:
    return base64.b64encode(compress(plain.encode())).decode()


def expand_text(packed: str, most: int) -> str | None:
    data = _from_base64(packed)
    return _text(None if data is None else expand(data, most))


class Redacted(str):
    """The digest that a record holds in the place of a secret field."""

    __slots__ = ()


def digest(text: str) -> str:
    if isinstance(text, Redacted):
        return str(text)
    return digest_of(text.encode())


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _from_base64(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text.encode(), validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data).decode() == text else None


def _text(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None
