# SPDX-License-Identifier: Apache-2.0
"""Calling compilers, and keeping what they make.  A result is named by the hash of everything that it was made from, so
an existing file is the right one, and a new version never replaces one which is loaded.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transect.base.bounded import whole
from transect.base.cache import Folder, full_workplace, opened
from transect.base.places import ANOTHER_TEMPORARY
from transect.base.programs import Endless, ran
from transect.base.room import FULL, SAYS, is_full
from transect.base.unavailable import Unavailable

PATIENCE_S = 60.0  # for a compiler; what we emit takes some seconds
LARGEST = 256 << 20  # bytes of a result; emitted code compiles to some hundred kilobytes
VERSION_S = 10.0  # for a compiler to tell its version


class BuildError(Exception):
    """The compiler refuses its input; the text is its output."""


@dataclass(frozen=True, slots=True)
class Compiler:
    path: str
    version: str  # its own words


def compiler_at(path: str) -> Compiler:
    """Raises Unavailable for one that does not say its version."""
    return Compiler(path, _version(path))


@cache
def _version(path: str) -> str:
    return called([path, "--version"], Path("/"), VERSION_S).partition("\n")[0]


def called(command: Sequence[str], folder: Path, patience_s: float | None = None) -> str:
    """Run a compiler in a folder, which also takes its temporary files, and return its output.

    Raises BuildError when it refuses its input, Unavailable when it does not start, does not end or writes too much, or
    where there is no room for what it makes.
    """
    patience_s = PATIENCE_S if patience_s is None else patience_s
    environment = {**os.environ, "TMPDIR": "."}
    try:
        done = ran(command, patience_s=patience_s, cwd=folder, env=environment)
    except OSError as error:
        raise Unavailable(
            command[0], f"it does not start: {error.strerror}", "give another one: CC="
        ) from error
    except Endless as endless:
        raise Unavailable(command[0], str(endless), "give another one: CC=") from None
    if done.status and (SAYS in done.complaint or is_full(folder)):
        raise _full(folder)
    if done.status:
        raise BuildError(done.complaint.strip() or f"{command[0]} ended with status {done.status}")
    return done.said


# ---------------------------------------------------------------- what is kept

Compile = Callable[[Path, Sequence[str], Sequence[str], str | None], None]
"""In a folder: compile these units, and link them with these objects into a file of that name; without one, leave their
objects there.  Paths are relative to the folder.  Raises BuildError, Unavailable."""


def kept(
    stem: str,
    suffix: str,
    sources: Mapping[str, bytes],
    fixed: Mapping[str, bytes],
    *,
    folder: Path,
    compile: Compile,
    by: Iterable[bytes],
    units: Sequence[str] | None = None,
) -> Path:
    """`folder`/STEM_HASH.SUFFIX, compiled from `sources` (relative path → content) unless it exists.  It is sealed, to
    be loaded by `cache.loadable`.  `fixed`: more sources, which are the same for many programs; their objects are kept.
    `by`: everything else that decides the result: the compiler, its flags, files that it finds elsewhere.  `units`:
    those of the sources that are compiled; by default all in C. Raises Unavailable when others could write into
    `folder` or it cannot be written, and what `compile` raises.
    """
    by = list(by)
    name = f"{stem}_{_key({**fixed, **sources}, [*by, *_words(units or ())])}{suffix}"
    with opened(folder, make=True) as held:
        if held.read(name) is None:
            held.tidy()
            objects = _objects(held, _key(fixed, by), fixed, compile) if fixed else {}
            with held.workplace() as work:
                _write(work, {**sources, **objects})
                compile(work, _in_c(sources) if units is None else units, sorted(objects), name)
                held.keep(name, _made(work / name))
    return folder / name


def _objects(held: Folder, key: str, fixed: Mapping[str, bytes], compile: Compile) -> dict[str, bytes]:
    """The objects of the fixed sources, compiled unless all of them exist."""
    units = _in_c(fixed)
    names = {f"{Path(unit).stem}.o": f"{key}_{Path(unit).stem}.o" for unit in units}
    found = {f"fixed_{made}": held.read(name) for made, name in names.items()}
    whole = {path: data for path, data in found.items() if data is not None}
    if len(whole) == len(names):
        return whole
    with held.workplace() as work:
        _write(work, fixed)
        compile(work, units, (), None)
        for made, name in names.items():
            whole[f"fixed_{made}"] = _made(work / made)
            held.keep(name, whole[f"fixed_{made}"])
    return whole


def _made(file: Path) -> bytes:
    """What a compiler has made.  Raises Unavailable if there is no result, or one that is far too large."""
    try:
        return whole(file, LARGEST)
    except OSError as wrong:
        why = f"what it says that it has made: {wrong.strerror}"
        raise Unavailable("a compiler", why, "give another one: CC=") from wrong


def _in_c(files: Iterable[str]) -> list[str]:
    return sorted(name for name in files if name.endswith(".c"))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into the folder.  Raises Unavailable, for example for a full disk."""
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        if error.errno in FULL:
            raise _full(folder) from error
        raise Unavailable(
            "a place to compile in", error.strerror or str(error), f"look at {os.path.realpath(folder)}"
        ) from error


def _full(folder: Path) -> Unavailable:
    """The folder that a compiler was run in has no room, so that it is not the compiler's fault."""
    hint = f"make room there, or {ANOTHER_TEMPORARY}"
    return full_workplace(folder) or Unavailable(f"the folder {os.path.realpath(folder)}", SAYS, hint)


def _words(words: Iterable[str]) -> list[bytes]:
    return [word.encode() for word in words]


def _key(files: Mapping[str, bytes], by: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in (*by, *(one for name in sorted(files) for one in (name.encode(), files[name]))):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:20]


def on_path(*names: str | None) -> str | None:
    """The path of the first of these programs that is installed."""
    return next((path for name in names if name and (path := shutil.which(name))), None)
