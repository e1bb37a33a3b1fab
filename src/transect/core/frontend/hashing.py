# SPDX-License-Identifier: Apache-2.0
"""SHA-256 without OpenSSL, whose loading would be a tenth of the time of a whole `transect check`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def _implementation() -> Callable[[bytes], Any]:
    """Python's own code, as the standard library's `random` takes it; `hashlib` where it is not there."""
    for module in ("_sha2", "_sha256"):  # from 3.12 on; before
        try:
            found: Callable[[bytes], Any] = import_module(module).sha256
        except (ImportError, AttributeError):
            continue
        return found
    from hashlib import sha256

    return sha256


def sha256_of(data: bytes) -> str:
    """The digest in hexadecimal."""
    digest: str = _implementation()(data).hexdigest()
    return digest
