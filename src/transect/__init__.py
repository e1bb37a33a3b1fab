# SPDX-License-Identifier: Apache-2.0
"""Write a policy once, in strict Python; run it in RPCs, LLM serving, the CPU scheduler and memory introspection."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_LOADER = "transect.emit.py.load"
"""By name, since the language below asks for the compiler above it; and only when a policy is built."""


def compile_class(cls: type[Any]) -> type[Any]:
    """The class whose objects run what the policy class `cls` means; building a policy calls this.

    Raises `PolicyError` with the rendered diagnostics.
    """
    emitted: type[Any] = import_module(_LOADER).emitted_class(cls)
    return emitted


def load(text: str) -> ModuleType:
    """The text of a policy file as a module, for documents and tests: `load(text).Acl()` builds its policy `Acl`."""
    module: ModuleType = import_module(_LOADER).load_text(text)
    return module
