# SPDX-License-Identifier: Apache-2.0
"""From a policy class, as Python imported it, to the class whose objects run what the policy means.

The source text comes through `linecache`, as tracebacks get it: from files, doctests and consoles alike.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import linecache
import re
import sys
import threading
import types
from typing import Any
from weakref import WeakKeyDictionary

from transect.base.render import render_text
from transect.core import ir
from transect.core.frontend import Compiled, compile_file, compile_text
from transect.core.frontend.source import text_now
from transect.emit.py.build import build
from transect.lang.functions import PolicyError

LINE_END = re.compile(r"\r\n?")  # Python normalises line ends in the text that it gives

_lock = threading.RLock()
_classes: WeakKeyDictionary[type[Any], type[Any]] = WeakKeyDictionary()
_compiled: dict[tuple[str, str], Compiled] = {}  # by file and hash of its text


def emitted_class(cls: type[Any]) -> type[Any]:
    """The class, a subclass of `cls`, whose objects run the policy.  Raises `PolicyError` with the diagnostics."""
    with _lock:
        if cls not in _classes:
            path, text = source_of(cls)
            _classes[cls] = build(program_of(path, text, cls.__name__), cls)
        return _classes[cls]


def source_of(cls: type[Any]) -> tuple[str, str]:
    """The file in which the class is written, and that file's text."""
    functions = (inspect.unwrap(f) for f in vars(cls).values() if isinstance(f, types.FunctionType))
    paths = [f.__code__.co_filename for f in functions]
    module = sys.modules.get(cls.__module__)
    path = paths[0] if paths else getattr(module, "__file__", None)
    lines = linecache.getlines(path, vars(module) if module else None) if path else []
    if not path or not lines:
        raise PolicyError(
            f"the source text of `{cls.__name__}` cannot be found; write the policy into a file, "
            "or load its text by `transect.load`"
        )
    return path, "".join(lines)


def program_of(path: str, text: str, name: str) -> ir.Program:
    """The policy of that name in a text.  Raises `PolicyError`."""
    key = (path, hashlib.sha256(text.encode()).hexdigest())
    if key not in _compiled:
        on_disk = LINE_END.sub("\n", text_now(path)) == text
        _compiled[key] = compile_file(path) if on_disk else compile_text(text, path)
    compiled = _compiled[key]
    if compiled.diagnostics.failed:
        raise PolicyError("\n" + render_text(compiled.diagnostics, compiled.sources))
    found = next((p for p in compiled.programs if p.name == name), None)
    if found is None:
        raise PolicyError(
            f"{path} has no policy `{name}` at its top level; it has {[p.name for p in compiled.programs]}"
        )
    return found


_texts = itertools.count(1)


def load_text(text: str) -> types.ModuleType:
    """A policy file's text as a module, as if it had been imported from a file."""
    name = f"transect_text_{next(_texts)}"
    path = f"<{name}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module  # classes look for their module there
    exec(compile(text, path, "exec", dont_inherit=True), vars(module))
    return module
