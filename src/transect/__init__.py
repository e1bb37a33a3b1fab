# SPDX-License-Identifier: Apache-2.0
"""Write a policy once, in strict Python; run it in RPCs, LLM serving, the CPU scheduler and memory introspection."""

from __future__ import annotations

from types import ModuleType
from typing import Any

__version__ = "0.1.0"


def compile_class(cls: type[Any]) -> type[Any]:
    """The class whose objects run what the policy class `cls` means.  Building a policy calls this; so `import
    transect` costs nothing, and the compiler is loaded by who builds a policy.

    Raises `PolicyError` with the rendered diagnostics.
    """
    from transect.emit.py.load import emitted_class

    return emitted_class(cls)


def load(text: str) -> ModuleType:
    """The text of a policy file as a module, for documents and tests: `load(text).Acl()` builds its policy `Acl`."""
    from transect.emit.py.load import load_text

    return load_text(text)
