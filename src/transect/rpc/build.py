# SPDX-License-Identifier: Apache-2.0
"""Compiling chains.  What is built is named by the hash of everything it was built from, so a file that is there is the
right one, and a new version never takes the place of one which is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.emit.artifact import Artifact

RPC_RUNTIME = Path(__file__).parent / "runtime"
C_RUNTIME = Path(__file__).parents[1] / "emit" / "c" / "runtime"
FLAGS: tuple[str, ...] = (
    "-std=gnu11",
    "-O2",
    "-g1",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
)


class BuildError(Exception):
    """The compiler refuses what it was given; the text is what it says."""


@dataclass(frozen=True, slots=True)
class Compiler:
    path: str
    version: str  # its own words


def cache_folder() -> Path:
    """Where built chains are kept when the caller names no folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transect" / "chains"


def compiler() -> Compiler:
    """The C compiler: CC=…, else `cc`, else `gcc`; Unavailable when there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc"):
        if name and (path := shutil.which(name)):
            return Compiler(path, _version(path))
    raise Unavailable("a C compiler", "neither cc nor gcc is on PATH", "apt-get install gcc")


@cache
def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


Compile = Callable[[Path, Mapping[str, bytes], Sequence[str], Path | None], None]
"""In a folder that holds these files: compile those that are C, and link them with these objects into a file; without
one, leave objects there.  Raises BuildError."""


def kept(
    stem: str,
    suffix: str,
    sources: Mapping[str, bytes],
    fixed: Mapping[str, bytes],
    *,
    folder: Path,
    compile: Compile,
    by: Iterable[bytes],
) -> Path:
    """`folder`/STEM_HASH.SUFFIX, made of `sources` (relative path → content) unless it is there.

    `fixed`: more of them, the same for many; their objects are kept.  `by`: all else that decides what is made: the
    compiler, its flags, files that it finds elsewhere.  Raises Unavailable when others may write into `folder`, and as
    `compile`.
    """
    by = list(by)
    target = folder / f"{stem}_{_key({**fixed, **sources}, by)}{suffix}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    must_be_ours(folder)
    if target.exists():
        return target
    objects = _objects(folder / f"objects_{_key(fixed, by)}", fixed, compile) if fixed else []
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as work:
        built = Path(work) / target.name
        _write(Path(work), sources)
        compile(Path(work), sources, objects, built)
        # Whoever builds the same at the same time gets the same; the later one wins, unseen.
        os.replace(built, target)
    return target


def _objects(place: Path, fixed: Mapping[str, bytes], compile: Compile) -> list[str]:
    """The objects in that folder, made unless it is there."""
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix=".building-", dir=place.parent) as work:
            made = Path(work) / "made"
            made.mkdir()
            _write(made, fixed)
            compile(made, fixed, (), None)
            with contextlib.suppress(OSError):  # somebody else has made the same meanwhile
                made.rename(place)
    return sorted(map(str, place.absolute().glob("*.o")))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _key(files: Mapping[str, bytes], by: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in (*by, *(one for name in sorted(files) for one in (name.encode(), files[name]))):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:20]


def shared_object(
    stem: str,
    sources: Mapping[str, bytes],
    *,
    folder: Path,
    fixed: Mapping[str, bytes] = {},
    include: Sequence[Path] = (),
    flags: Sequence[str] = (),
    suffix: str = ".so",
) -> Path:
    """Compile all `.c` files among `sources` and `fixed` into `folder/STEM_HASH.SUFFIX`: as of `kept`.

    Headers are looked for among the sources, then in our runtimes, then in `include`.  `{name}` in a flag stands for
    `STEM_HASH`; what is fixed does not get such a flag.  Raises Unavailable without a compiler, BuildError when it
    refuses.
    """
    tool = compiler()

    def compile(work: Path, units: Mapping[str, bytes], objects: Sequence[str], target: Path | None) -> None:
        name = "" if target is None else target.name.removesuffix(suffix)
        named = [flag.replace("{name}", name) for flag in flags if target or "{name}" not in flag]
        places = [f"-I{place}" for place in (work, RPC_RUNTIME, C_RUNTIME, *include)]
        called = sorted(path for path in units if path.endswith(".c"))
        output = ["-c"] if target is None else ["-o", str(target.absolute())]
        command = [tool.path, *FLAGS, *named, *places, *called, *objects, *output]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if done.returncode:
            raise BuildError(done.stderr.strip())

    headers = [path for place in (RPC_RUNTIME, C_RUNTIME) for path in sorted(place.glob("*.h"))]
    words = [tool.path, tool.version, *FLAGS, *flags, *map(str, include)]
    by = [*(path.read_bytes() for path in headers), *(word.encode() for word in words)]
    return kept(stem, suffix, sources, fixed, folder=folder, compile=compile, by=by)


ENVOY_FLAGS = ("-D_GNU_SOURCE", "-pthread", "-Wl,-Bsymbolic", "-lm")


def envoy_module(chain: Artifact, folder: Path, *, flags: Sequence[str] = ()) -> Path:
    """`folder`/libtransect_HASH.so: an emitted chain and our C around it, as a module of Envoy; compiled once, and kept
    in the cache.

    Another version of a chain never has the name of the one before: Envoy loads a path only once.  Raises as
    `shared_object`.
    """
    module = {path.name: path.read_bytes() for path in RPC_RUNTIME.glob("envoy_*.c")}
    wanted = (*ENVOY_FLAGS, f"-DTS_LAYOUT=0x{_layout(module)}", *flags)
    built = shared_object("libtransect", chain.files, folder=cache_folder(), fixed=module, flags=wanted)
    return linked(built, folder)


def _layout(module: Mapping[str, bytes]) -> str:
    """Modules with the same one have the same C around their chains: `envoy_edge.c`."""
    headers = sorted(RPC_RUNTIME.glob("*.h"))
    parts = [*(content for _, content in sorted(module.items())), *(path.read_bytes() for path in headers)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:15]


def linked(built: Path, folder: Path) -> Path:
    """The same file in another folder, which whoever may not look into the cache can read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    must_be_ours(folder)
    target = folder / built.name
    if not target.exists():
        with contextlib.suppress(FileExistsError):
            try:
                os.link(built, target)
            except OSError:  # another file system
                shutil.copy2(built, target)
    return target


def must_be_ours(folder: Path) -> None:
    """Names in it can be foretold, and what has the right name is loaded: nobody else may put anything there."""
    found = folder.stat()
    what = f"{folder}, for compiled chains"
    if found.st_uid not in (os.geteuid(), 0):
        raise Unavailable(
            what, f"it belongs to user {found.st_uid}", "give another one: `cache=`, XDG_CACHE_HOME"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"mode {stat.S_IMODE(found.st_mode):o}"
        raise Unavailable(what, f"others may write there ({mode})", f"rm -r {folder}, or chmod go-w it")
